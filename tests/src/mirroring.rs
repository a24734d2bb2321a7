//! A map with a mirror of the deploy repository, from a map.toml as a person writes it.

use crate::{
    Deploy, World,
    map::HOOK_SECRET,
    process::{Running, feed, free_port, program, run, until},
};
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::fs;

/// A map with a mirror that looks every second.
#[derive(Debug)]
pub struct Mirroring<'a> {
    world: &'a World,
    process: Option<Running>,
    /// `http://127.0.0.1:PORT`
    pub url: String,
    store: String,
}

impl<'a> Mirroring<'a> {
    /// One that mirrors the remote of `deploy` and looks every second.
    pub fn start(world: &'a World, deploy: &Deploy<'_>) -> Result<Self> {
        let remote = deploy.remote().display().to_string();
        Self::of(world, deploy, &remote, "poll = \"1s\"\n")
    }

    /// A map that mirrors this url; `more` goes below `[repository]`.
    pub fn of(world: &'a World, deploy: &Deploy<'_>, remote: &str, more: &str) -> Result<Self> {
        let port = free_port()?;
        let store = format!("sqlite:{}", world.path("map.db").display());
        let secret = world.path("keys/map.hook");
        fs::write(&secret, format!("{HOOK_SECRET}\n"))?;
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\nstore = \"{store}\"\npublic-read = true\nheartbeat = \"1s\"\nwebhook-secret-file = \"{}\"\n\n[repository]\nurl = \"{remote}\"\n{more}\n[trust]\nintroduction = \"{}\"\npolicy-sha256 = \"{}\"\n",
            secret.display(),
            deploy.introduction,
            deploy.policy_sha256
        );
        fs::write(world.path("map.toml"), text)?;
        let mut map = Self {
            world,
            process: None,
            url: format!("http://127.0.0.1:{port}"),
            store,
        };
        map.run()?;
        Ok(map)
    }

    /// Starts it, again where it was ended.
    pub fn run(&mut self) -> Result<()> {
        let mut command = self.world.map();
        command
            .arg("serve")
            .arg("--config")
            .arg(self.world.path("map.toml"));
        let log = self.world.path("logs/map");
        self.process = Some(Running::start("map", &mut command, &log)?);
        until("the map being ready", || self.get("/readyz").ok()).map(drop)
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.process = None;
    }

    /// A webhook as a forge sends it, signed with this secret; gives the status.
    pub fn hook(&self, secret: &str) -> Result<String> {
        let body = "{\"ref\":\"refs/heads/main\"}";
        let mut openssl = self.world.command(program("openssl", "openssl")?);
        openssl.args(["dgst", "-sha256", "-r", "-hmac", secret]);
        let printed = feed(&mut openssl, body.as_bytes())?;
        let mac = printed.split(' ').next().context("a digest")?;
        let mut curl = self.world.command("curl");
        curl.args([
            "-sS",
            "--max-time",
            "20",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ]);
        curl.args(["-H", &format!("X-Swarm-Signature-256: sha256={mac}")]);
        run(curl.args(["--data", body, &format!("{}/hooks/generic", self.url)]))
    }

    /// GET, as text, by curl; an error for every status but 2xx.
    pub fn get(&self, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.url);
        run(self
            .world
            .command("curl")
            .args(["-sS", "--fail", "--max-time", "20", &url]))
    }

    /// What it says of the trunk.
    pub fn trunk(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("/v1/trunk")?)?)
    }

    /// Waits until it says this of the trunk.
    pub fn until_trunk(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        until(what, || self.trunk().ok().filter(|trunk| wanted(trunk)))
            .with_context(|| format!("{:?}", self.trunk()))
    }

    /// The states of boxes, by name.
    pub fn states(&self) -> Result<Vec<(String, String)>> {
        let said: Value = serde_json::from_str(&self.get("/v1/boxes")?)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = said["items"].as_array().context("items")?;
        Ok(items
            .iter()
            .map(|one| (text(&one["box"]), text(&one["state"])))
            .collect())
    }

    /// `swarm-map …` on its store.
    pub fn command(&self, words: &[&str]) -> Result<String> {
        run(self.world.map().args(words).args(["--store", &self.store]))
    }

    /// `[map]` of a box's agent.toml.
    pub fn settings_for(&self, name: &str) -> Result<String> {
        let mut command = self.world.map();
        let token = run(command.args(["token", "--store", &self.store, "--box", name]))?;
        let path = self.world.path(format!("keys/{name}.token"));
        fs::write(&path, token)?;
        Ok(format!(
            "[map]\nurl = \"{}\"\ntoken-file = \"{}\"\n",
            self.url,
            path.display()
        ))
    }
}
