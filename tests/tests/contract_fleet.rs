//! The commands' questions asked of the map: which boxes are meant, what a wrong word costs, how long something has been up.

use anyhow::{Context, Result};
use serde_json::Value;
use swarm_tests::{
    Deploy, Map, SwarmBox, World,
    process::{child_in_role, kill_now},
    until,
};

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

/// What a command that fails prints with `--json`: one object with the exit code and the reason, as a script reads it.
fn problem(here: &SwarmBox<'_>, words: &[&str], exit: i32) -> Result<Value> {
    let ended = here.try_agent(&[words, &["--json"]].concat())?;
    assert_eq!(ended.status.code(), Some(exit), "{words:?} {ended:?}");
    let told: Value = serde_json::from_slice(&ended.stdout)
        .with_context(|| format!("{words:?} printed no document: {ended:?}"))?;
    assert_eq!(told["exit"], exit, "{words:?}: {told}");
    let message = told["message"].as_str().context("a message")?;
    let talk = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        !message.is_empty() && talk.contains(message),
        "{told} {talk}"
    );
    Ok(told)
}

#[test]
fn with_json_each_failure_is_an_object_on_stdout() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_map, mut here) = fleet(&world, &deploy)?;
    for (words, exit) in [
        (&["why", "nobody"][..], 3),
        (&["history", "nobody"], 3),
        (&["logs", "nobody"], 3),
        (&["logs", "nobody", "-f"], 3),
        (&["logs", "lp", "--since", "yesterday"], 2),
        (&["kill", "nobody"], 3),
        (&["sync", "--timeout", "soon"], 2),
        (&["explain", "S-NOBODY-01"], 2),
        (&["list", "--where", "site =="], 2),
        (&["status", "--box", "nobody"], 3),
        (&["why", "nobody", "--map"], 3),
        (&["list", "--map=http://127.0.0.1:1"], 5),
        (&["status", "--map=http://127.0.0.1:1"], 5),
        (&["why", "lp", "--map=http://127.0.0.1:1"], 5),
        (&["history", "--map=http://127.0.0.1:1"], 5),
        (&["kill", "lp", "--map"], 4),
        (&["logs", "lp", "--map"], 4),
    ] {
        problem(&here, words, exit)?;
    }
    // An agent that cannot start again: the supervisor tells what it knows by itself.
    let file = here.path("agent.toml");
    let good = std::fs::read_to_string(&file)?;
    std::fs::write(&file, format!("bogus = 1\n{good}"))?;
    let supervisor = here.supervisor_pid().context("a supervisor")?;
    let agent = child_in_role(supervisor, "agent").context("an agent")?;
    kill_now(agent);
    until("the agent being away", || {
        let ended = here.try_agent(&["plan", "--json"]).ok()?;
        (ended.status.code() == Some(5)).then_some(())
    })?;
    problem(&here, &["plan"], 5)?;
    problem(&here, &["sync", "--timeout", "1s"], 5)?;
    let status = problem(&here, &["status"], 5)?;
    assert_eq!(
        (&status["box"], &status["agent"]),
        (&"box-1".into(), &"away".into())
    );
    let why = problem(&here, &["why", "lp"], 5)?;
    assert_eq!(why["rows"][0]["state"], "running", "{why}");
    let said = here.try_agent(&["status"])?;
    assert!(
        String::from_utf8_lossy(&said.stdout).contains("agent: away"),
        "{said:?}"
    );
    for words in [
        &["list", "--json"][..],
        &["history", "--json"],
        &["logs", "lp", "--json"],
    ] {
        let told: Value = serde_json::from_str(&here.agent(words)?)?;
        assert!(told.is_array(), "{words:?}: {told}");
    }
    std::fs::write(&file, good)?;
    // No supervisor: nobody knows anything.
    here.agent(&["kill", "lp"])?;
    here.supervisor().end();
    for words in [
        &["list"][..],
        &["status"],
        &["why", "lp"],
        &["history"],
        &["logs", "lp"],
        &["kill", "lp"],
        &["plan"],
        &["sync"],
    ] {
        problem(&here, words, 5)?;
    }
    Ok(())
}

#[test]
fn the_map_says_what_each_instance_uses() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (map, here) = fleet(&world, &deploy)?;
    // It starts, and nothing else happens to it: heartbeats bring what it uses.
    let used = until("memory and processor time on the map", || {
        let text = here.agent(&["list", "--map", "--json"]).ok()?;
        let rows: Vec<Value> = serde_json::from_str(&text).ok()?;
        Some((
            rows.first()?["memory_bytes"].as_u64()?,
            rows.first()?["cpu_s"].as_f64()?,
        ))
    })?;
    assert!(used.0 > 100_000, "a shell has more than {used:?}");
    let rows = map.items("/v1/workflows")?;
    assert!(rows[0]["boxes"][0]["memory_bytes"].is_u64(), "{rows:?}");
    let table = here.agent(&["list", "--map"])?;
    let row = table.lines().nth(1).context("a row")?;
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_ne!(cells[cells.len() - 2], "-", "MEMORY in {table}");
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
