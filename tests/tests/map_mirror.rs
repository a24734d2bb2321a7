//! The map's own mirror: what it verifies, whom it wakes, what it says of a stopped trunk.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, path::Path};
use swarm_tests::{
    Deploy, Running, SwarmBox, World,
    process::{free_port, run},
    until,
};

const TICKER: &str = "while :; do echo tick; sleep 0.2; done\n";

fn manifest(version: &str) -> String {
    format!("version = \"{version}\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n")
}

/// A map with a mirror that looks every second.
struct Mirroring<'a> {
    world: &'a World,
    _process: Running,
    url: String,
    store: String,
}

impl<'a> Mirroring<'a> {
    fn start(world: &'a World, deploy: &Deploy<'_>) -> Result<Self> {
        let port = free_port()?;
        let store = format!("sqlite:{}", world.path("map.db").display());
        let config = world.path("map.toml");
        let text = format!(
            "listen = \"127.0.0.1:{port}\"\nstore = \"{store}\"\npublic-read = true\nheartbeat = \"1s\"\n\n[repository]\nurl = \"{}\"\npoll = \"1s\"\n\n[trust]\nintroduction = \"{}\"\npolicy-sha256 = \"{}\"\n",
            deploy.remote().display(),
            deploy.introduction,
            deploy.policy_sha256
        );
        fs::write(&config, text)?;
        let process = Running::start(
            "map",
            world.map().arg("serve").arg("--config").arg(&config),
            &world.path("logs/map"),
        )?;
        let map = Self {
            world,
            _process: process,
            url: format!("http://127.0.0.1:{port}"),
            store,
        };
        until("the map being ready", || map.get("/readyz").ok())?;
        Ok(map)
    }

    fn get(&self, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.url);
        run(self
            .world
            .command("curl")
            .args(["-sS", "--fail", "--max-time", "20", &url]))
    }

    fn trunk(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("/v1/trunk")?)?)
    }

    fn until_trunk(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        until(what, || self.trunk().ok().filter(|trunk| wanted(trunk)))
            .with_context(|| format!("{:?}", self.trunk()))
    }

    /// `[map]` of a box's agent.toml.
    fn settings_for(&self, name: &str) -> Result<String> {
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

#[test]
fn a_head_that_the_mirror_finds_reaches_boxes_that_poll_once_an_hour() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("ticker", "1.0.0", TICKER)?;
    deploy.manifest("ticker", &manifest("1.0.0"))?;
    deploy.push()?;
    let map = Mirroring::start(&world, &deploy)?;
    let remote = deploy.remote().display().to_string();
    let mut boxes = Vec::new();
    for name in ["box-1", "box-2"] {
        let tail = map.settings_for(name)?;
        let mut here = SwarmBox::new(&world, name, &deploy, &remote, "poll = \"1h\"\n", &tail)?;
        here.run()?;
        boxes.push(here);
    }
    for here in &boxes {
        here.until_runs("ticker", "1.0.0")?;
    }
    until("both boxes on the map", || {
        let said: Value = serde_json::from_str(&map.get("/v1/boxes?state=online").ok()?).ok()?;
        (said["items"].as_array()?.len() == 2).then_some(())
    })?;
    deploy.publish_sh("ticker", "1.1.0", TICKER)?;
    deploy.manifest("ticker", &manifest("1.1.0"))?;
    deploy.push()?;
    for here in &boxes {
        here.until_runs("ticker", "1.1.0")?;
    }
    let head = deploy.head()?;
    let trunk = map.until_trunk("the mirror at the head", |trunk| {
        trunk["head"]["commit"] == head.as_str()
    })?;
    let count = deploy.git(&["rev-list", "--count", "--first-parent", "HEAD"])?;
    assert_eq!(
        trunk["head"]["position"].as_u64(),
        Some(count.trim().parse::<u64>()? - 1)
    );
    assert!(map.get("/")?.contains(&head[..10]), "not on the page");
    assert!(Path::new(&world.path("map.db.mirror/trust.json")).exists());
    Ok(())
}

#[test]
fn a_stopped_trunk_stands_first_on_the_page_with_commit_and_rule() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let map = Mirroring::start(&world, &deploy)?;
    let good = deploy.head()?;
    map.until_trunk("the mirror at the introduction", |trunk| {
        trunk["head"]["commit"] == good.as_str()
    })?;
    let mallory = world.key("mallory")?;
    deploy.write("manifests/mine.toml", manifest("1.0.0"))?;
    deploy.git(&["add", "."])?;
    let signer = format!("user.signingkey={}.pub", mallory.display());
    deploy.git(&["-c", &signer, "commit", "-q", "-S", "-m", "mine"])?;
    deploy.push()?;
    let bad = deploy.head()?;
    let trunk = map.until_trunk("the trunk being stopped", |trunk| {
        !trunk["trouble"].is_null()
    })?;
    assert_eq!(
        trunk["head"]["commit"],
        good.as_str(),
        "a refused commit is trusted"
    );
    assert_eq!(trunk["trouble"]["commit"], bad.as_str());
    assert_eq!(trunk["trouble"]["rule"], "S-TRUNK-04");
    let page = map.get("/")?;
    let wrong = page.find("S-TRUNK-04").context("the page has no rule")?;
    assert!(
        wrong < page.find("id=\"boxes\"").context("no boxes")?,
        "it is not first"
    );
    assert!(
        page.contains(&bad[..10]),
        "the page does not name the commit"
    );
    Ok(())
}
