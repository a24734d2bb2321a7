//! The map's own mirror: what it verifies, whom it wakes, what it says of a stopped trunk.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, path::Path};
use swarm_tests::{
    Deploy, GitOverHttp, GitOverSsh, Mirroring, SwarmBox, TICKER, World, daemon, map::HOOK_SECRET,
    until,
};

#[test]
fn a_head_that_the_mirror_finds_reaches_boxes_that_poll_once_an_hour() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
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
    deploy.daemon("ticker", "1.1.0", TICKER)?;
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
    deploy.write("manifests/mine.toml", daemon("1.0.0"))?;
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

/// A signed commit that changes nothing that runs.
fn note(deploy: &Deploy<'_>, text: &str) -> Result<String> {
    deploy.write("NOTES", text)?;
    deploy.git(&["add", "NOTES"])?;
    deploy.git(&["commit", "-q", "-S", "-m", text])?;
    deploy.head()
}

#[test]
fn a_signed_webhook_brings_the_mirror_to_the_head_long_before_its_poll() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let remote = deploy.remote().display().to_string();
    let map = Mirroring::of(&world, &deploy, &remote, "poll = \"1h\"\n")?;
    let first = deploy.head()?;
    map.until_trunk("the mirror at the introduction", |trunk| {
        trunk["head"]["commit"] == first.as_str()
    })?;
    let second = note(&deploy, "one more")?;
    deploy.push()?;
    assert_eq!(map.hook("somebody else's secret")?, "401");
    assert_eq!(map.trunk()?["head"]["commit"], first.as_str());
    assert_eq!(map.hook(HOOK_SECRET)?, "200");
    map.until_trunk("the mirror at the new head", |trunk| {
        trunk["head"]["commit"] == second.as_str()
    })?;
    Ok(())
}

/// A mirror of this url follows a push.
fn follows(world: &World, deploy: &Deploy<'_>, url: &str, more: &str) -> Result<()> {
    let map = Mirroring::of(world, deploy, url, &format!("poll = \"1s\"\n{more}"))?;
    let head = note(deploy, "one more")?;
    deploy.push()?;
    let trunk = map.until_trunk("the mirror at the head", |trunk| {
        trunk["head"]["commit"] == head.as_str()
    })?;
    assert!(trunk["failure"].is_null(), "{trunk}");
    Ok(())
}

#[test]
fn a_mirror_follows_a_repository_over_http() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    follows(&world, &deploy, &server.url("deploy.git"), "")
}

#[test]
fn a_mirror_follows_a_repository_over_https_by_its_authority() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start_tls(&world)?;
    let ca = server.ca.as_ref().context("an authority")?.display();
    let url = server.url("deploy.git");
    follows(&world, &deploy, &url, &format!("ca = \"{ca}\"\n"))
}

#[test]
fn a_mirror_follows_a_repository_over_ssh() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverSsh::start(&world)?;
    let url = server.url("deploy.git")?;
    follows(&world, &deploy, &url, &server.settings())
}

#[test]
fn a_branch_that_was_set_back_moves_no_mirror_and_is_said() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    note(&deploy, "one")?;
    let newest = note(&deploy, "two")?;
    deploy.push()?;
    let map = Mirroring::start(&world, &deploy)?;
    map.until_trunk("the mirror at the head", |trunk| {
        trunk["head"]["commit"] == newest.as_str()
    })?;
    deploy.git(&["push", "-q", "--no-verify", "-f", "origin", "HEAD~1:main"])?;
    let trunk = map.until_trunk("the trunk astray", |trunk| !trunk["trouble"].is_null())?;
    assert_eq!(trunk["trouble"]["rule"], "S-TRUNK-05");
    assert_eq!(trunk["head"]["commit"], newest.as_str(), "{trunk}");
    deploy.git(&["push", "-q", "--no-verify", "-f", "origin", "HEAD:main"])?;
    map.until_trunk("the trouble gone", |trunk| trunk["trouble"].is_null())?;
    Ok(())
}

#[test]
fn a_mirror_whose_trust_was_lost_begins_at_the_introduction_and_gets_back() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let head = note(&deploy, "one")?;
    deploy.push()?;
    let mut map = Mirroring::start(&world, &deploy)?;
    let at_head = |trunk: &Value| trunk["head"]["commit"] == head.as_str();
    map.until_trunk("the mirror at the head", at_head)?;
    for what in ["removed", "damaged"] {
        map.end();
        let file = world.path("map.db.mirror/trust.json");
        if what == "removed" {
            fs::remove_file(&file)?;
        } else {
            fs::write(&file, "{\"trust\":")?;
        }
        map.run()?;
        map.until_trunk(&format!("the mirror at the head, trust {what}"), at_head)?;
    }
    let said = fs::read_to_string(world.path("logs/map"))?;
    assert!(said.contains("trust.json"), "nobody was told:\n{said}");
    Ok(())
}

#[test]
fn up_waits_until_the_map_says_that_the_boxes_have_it() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let map = Mirroring::start(&world, &deploy)?;
    let remote = deploy.remote().display().to_string();
    let tail = map.settings_for("box-1")?;
    let mut here = SwarmBox::new(&world, "box-1", &deploy, &remote, "poll = \"1h\"\n", &tail)?;
    here.run()?;
    until("the box on the map", || {
        let said: Value = serde_json::from_str(&map.get("/v1/boxes?state=online").ok()?).ok()?;
        (said["items"].as_array()?.len() == 1).then_some(())
    })?;
    let toml = "engine = \"sh\"\nentry = \"main.sh\"\n";
    let folder = deploy.source("ticker", "1.0.0", toml, &[("main.sh", TICKER)])?;
    let words = [
        "up", &folder, "--on", "all", "--mode", "daemon", "--map", &map.url,
    ];
    deploy.pack(&words)?;
    let row = here.row("ticker")?.context("up returned before it runs")?;
    assert_eq!(row.version.as_deref(), Some("1.0.0"));
    deploy.write("sources/ticker/main.sh", format!("{TICKER}# changed\n"))?;
    deploy.pack(&words)?;
    let row = here.row("ticker")?.context("it is gone")?;
    assert_ne!(
        row.version.as_deref(),
        Some("1.0.0"),
        "up returned too soon"
    );
    Ok(())
}
