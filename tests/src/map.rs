//! A map with `SQLite`, open to read.

use crate::{
    World,
    process::{Running, free_port, run, until},
};
use anyhow::{Context, Result};
use serde_json::Value;

/// What signs webhooks for the map of a test.
pub const HOOK_SECRET: &str = "a secret of the map";

/// `swarm-map serve`
#[derive(Debug)]
pub struct Map<'a> {
    world: &'a World,
    process: Option<Running>,
    port: u16,
    heartbeat: &'static str,
    /// The url that boxes are told, where it is not its own.
    told: Option<String>,
}

impl<'a> Map<'a> {
    /// Starts it with `--public-read` and a short heartbeat.
    pub fn start(world: &'a World) -> Result<Self> {
        Self::start_with(world, "1s")
    }

    /// The same with another heartbeat.
    pub fn start_with(world: &'a World, heartbeat: &'static str) -> Result<Self> {
        let mut map = Self {
            world,
            process: None,
            port: free_port()?,
            heartbeat,
            told: None,
        };
        map.run()?;
        Ok(map)
    }

    /// Starts it again, as the map that is reached at this url.
    pub fn be_reached_at(&mut self, url: &str) -> Result<()> {
        self.end();
        self.told = Some(url.into());
        self.run()
    }

    /// Starts it again, at the same address with the same store.
    pub fn run(&mut self) -> Result<()> {
        let secret = self.world.path("keys/map.hook");
        std::fs::write(&secret, format!("{HOOK_SECRET}\n"))?;
        let mut command = self.world.map();
        command
            .arg("serve")
            .arg("--webhook-secret-file")
            .arg(secret);
        command.args([
            "--public-read",
            "--heartbeat",
            self.heartbeat,
            "--listen",
            &format!("127.0.0.1:{}", self.port),
            "--store",
            &self.store(),
        ]);
        command.args(self.told.iter().flat_map(|url| ["--url", url]));
        self.process = Some(Running::start(
            "map",
            &mut command,
            &self.world.path("logs/map"),
        )?);
        until("the map being ready", || self.get("/readyz").ok()).map(drop)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.process = None;
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn store(&self) -> String {
        format!("sqlite:{}", self.world.path("map.db").display())
    }

    /// An enrolment token for a box, in a file.
    pub fn token(&self, name: &str) -> Result<String> {
        let token = run(self
            .world
            .map()
            .args(["token", "--store", &self.store(), "--box", name]))?;
        let path = self.world.path(format!("keys/{name}.token"));
        std::fs::write(&path, token)?;
        Ok(path.display().to_string())
    }

    /// `[map]` of a box's agent.toml, with a new token.
    pub fn settings_for(&self, name: &str) -> Result<String> {
        Ok(format!(
            "[map]\nurl = \"{}\"\ntoken-file = \"{}\"\n",
            self.url(),
            self.token(name)?
        ))
    }

    /// GET, as text, by curl; an error for every status but 2xx.
    pub fn get(&self, path: &str) -> Result<String> {
        run(self.world.command("curl").args([
            "-sS",
            "--fail",
            "--max-time",
            "20",
            &format!("{}{path}", self.url()),
        ]))
    }

    /// GET, as JSON.
    pub fn json(&self, path: &str) -> Result<Value> {
        let text = self.get(path)?;
        serde_json::from_str(&text).with_context(|| format!("{path} gave {text}"))
    }

    /// The items of a page.
    pub fn items(&self, path: &str) -> Result<Vec<Value>> {
        Ok(self.json(path)?["items"]
            .as_array()
            .cloned()
            .unwrap_or_default())
    }
}
