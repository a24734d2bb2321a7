//! The commands' questions asked of the map: which boxes are meant, what a wrong word costs, how long something has been up.

use anyhow::{Context, Result};
use serde_json::Value;
use swarm_tests::{Deploy, Map, SwarmBox, World, until};

const LOOP: &str = "while :; do sleep 1; done\n";

/// A box with its map and one workflow.
fn fleet<'a>(world: &'a World, deploy: &Deploy<'_>) -> Result<(Map<'a>, SwarmBox<'a>)> {
    let map = Map::start(world)?;
    deploy.daemon("lp", "1.0.0", LOOP)?;
    deploy.push()?;
    let remote = deploy.remote().display().to_string();
    let settings = map.settings_for("box-1")?;
    let mut here = SwarmBox::new(
        world,
        "box-1",
        deploy,
        &remote,
        "poll = \"1s\"\n",
        &settings,
    )?;
    here.run()?;
    here.until_runs("lp", "1.0.0")?;
    until("the workflow on the map", || {
        let rows = map.items("/v1/workflows").ok()?;
        (rows.first()?["states"]["running"] == 1).then_some(())
    })?;
    Ok((map, here))
}

#[test]
fn who_is_not_there_is_exit_code_3_and_a_wrong_word_2() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_map, here) = fleet(&world, &deploy)?;
    for (words, exit) in [
        (&["list", "--map"][..], 0),
        (&["list", "--box", "box-1"], 0),
        (&["list", "--where", "site == \"test\""], 0),
        (&["list", "--where", "site == \"elsewhere\""], 0),
        (&["why", "lp", "--map"], 0),
        (&["why", "lp", "--box", "box-1"], 0),
        (&["history", "lp", "--box", "box-1"], 0),
        (&["status", "--map"], 0),
        (&["list", "--box", "nobody"], 3),
        (&["status", "--box", "nobody"], 3),
        (&["why", "lp", "--box", "nobody"], 3),
        (&["why", "lp", "--where", "site == \"elsewhere\""], 3),
        (&["why", "nobody", "--map"], 3),
        (&["history", "--box", "nobody"], 3),
        (&["list", "--where", "site =="], 2),
        (&["why", "lp", "--where", "(("], 2),
        (&["list", "--map=ftp://map"], 2),
        (&["list", "--map=http://127.0.0.1:1"], 5),
    ] {
        let ended = here.try_agent(words)?;
        assert_eq!(ended.status.code(), Some(exit), "{words:?} {ended:?}");
    }
    let elsewhere = ["history", "--where", "site == \"elsewhere\"", "--json"];
    assert_eq!(here.agent(&elsewhere)?.trim(), "[]");
    let why = here.agent(&["why", "lp", "--map"])?;
    for word in [
        "lp on box-1: running",
        "bundle: lp 1.0.0",
        "by: alice",
        "commit: ",
    ] {
        assert!(why.contains(word), "no {word:?} in {why}");
    }
    Ok(())
}

#[test]
fn what_runs_on_is_up_longer_each_time_the_map_is_asked() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_map, here) = fleet(&world, &deploy)?;
    let up = || -> Result<f64> {
        let rows: Vec<Value> = serde_json::from_str(&here.agent(&["list", "--map", "--json"])?)?;
        rows[0]["up_s"].as_f64().context("no up_s")
    };
    let before = up()?;
    // Nothing happens to it: only heartbeats come.
    until("it being up longer", || {
        (up().ok()? >= before + 2.0).then_some(())
    })
}
