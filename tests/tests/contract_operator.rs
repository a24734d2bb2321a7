//! What an operator reads who was not there when it happened: a held removal, a stopped trunk, a wrong agent.toml, an install.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{fs, process::Output};
use swarm_manifests::status::State;
use swarm_tests::{Deploy, SwarmBox, World, daemon, until};

const LOOP: &str = "while :; do sleep 1; done\n";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn why(here: &SwarmBox<'_>, workflow: &str) -> Result<Value> {
    Ok(serde_json::from_str(
        &here.agent(&["why", workflow, "--json"])?,
    )?)
}

/// The records of a workflow that say that something waits.
fn waits(here: &SwarmBox<'_>, workflow: &str) -> Result<usize> {
    let text = here.agent(&["history", workflow, "--json"])?;
    let records: Vec<Value> = serde_json::from_str(&text)?;
    let waits = records.iter().filter(|record| record["action"] == "wait");
    Ok(waits.count())
}

#[test]
fn a_held_removal_is_told_once_with_the_commit_that_deleted_and_how_to_allow_it() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("lp", "1.0.0", LOOP)?;
    let names = ["one", "two", "three", "four", "five"];
    for name in names {
        deploy.manifest(name, &format!("bundle = \"lp\"\n{}", daemon("1.0.0")))?;
    }
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    for name in names {
        here.until_runs(name, "1.0.0")?;
    }
    deploy.git(&["rm", "-q", "-r", "manifests"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "clear"])?;
    let deleting = deploy.head()?;
    deploy.git(&["commit", "-q", "-S", "--allow-empty", "-m", "later"])?;
    deploy.push()?;
    for _ in 0..2 {
        let sync = here.try_agent(&["sync"])?;
        let told = stderr(&sync);
        assert!(sync.status.success(), "nothing was refused: {told}");
        assert!(told.contains("5 removals are held"), "{told}");
        assert_eq!(told.matches("S-REMOVE-01").count(), 1, "{told}");
        let row = here.row("two")?.context("a row")?;
        let next = row.next.context("what waits")?;
        assert_eq!(next.commit.as_deref(), Some(&*deleting));
        assert_eq!(waits(&here, "two")?, 1);
        deploy.git(&["commit", "-q", "-S", "--allow-empty", "-m", "another"])?;
        deploy.push()?;
    }
    let listed = stderr(&here.try_agent(&["list"])?);
    assert_eq!(listed.matches("S-REMOVE-01").count(), 1, "{listed}");
    let body = why(&here, "two")?;
    assert_eq!(
        (&body["state"], &body["rule"]),
        (&"running".into(), &Value::Null),
        "{body:#}"
    );
    assert_eq!(body["next"]["rule"], "S-REMOVE-01");
    deploy.git(&[
        "commit",
        "-q",
        "-S",
        "--allow-empty",
        "-m",
        "it is meant",
        "-m",
        "Allow-mass-removal: 5",
    ])?;
    deploy.push()?;
    here.agent(&["sync"])?;
    until("all five removed", || {
        here.rows().ok()?.is_empty().then_some(())
    })?;
    let gone = here.try_agent(&["why", "two"])?;
    assert_eq!(gone.status.code(), Some(3));
    assert!(
        stderr(&gone).contains("swarm-agent history two"),
        "{}",
        stderr(&gone)
    );
    Ok(())
}

#[test]
fn why_has_the_installs_hash_and_measures_now() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let toml = "engine = \"sh\"\nentry = \"main.sh\"\n\n[install]\ncommand = [\"/bin/sh\", \"-c\", \"echo made > made\"]\n";
    let source = deploy.source("made", "1.0.0", toml, &[("main.sh", LOOP)])?;
    deploy.pack(&["publish", &source])?;
    deploy.manifest("made", &daemon("1.0.0"))?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    here.until_runs("made", "1.0.0")?;
    let body = why(&here, "made")?;
    let hash = body["install"].as_str().context("the install's hash")?;
    assert!(hash.starts_with("sha256:") && hash.len() == 71, "{hash}");
    let text = here.agent(&["why", "made"])?;
    assert!(text.contains(hash), "{text}");
    let row = &body["rows"][0];
    let listed = serde_json::to_value(here.row("made")?)?;
    for field in ["protections", "pid", "since", "digest"] {
        assert_eq!(row[field], listed[field], "{field}");
    }
    assert_eq!(
        row["memory_bytes"].is_null(),
        listed["memory_bytes"].is_null()
    );
    let up = |row: &Value| row["up_s"].as_f64().context("up_s");
    let first = up(row)?;
    assert!(
        up(&why(&here, "made")?["rows"][0])? > first,
        "it is measured anew"
    );
    Ok(())
}

#[test]
fn a_stopped_trunk_is_told_by_plan_and_list() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("lp", "1.0.0", LOOP)?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    here.until_runs("lp", "1.0.0")?;
    let healthy = stderr(&here.try_agent(&["list"])?);
    assert_eq!(healthy, "");
    deploy.write("note.txt", "unsigned\n")?;
    deploy.git(&["add", "note.txt"])?;
    deploy.git(&["commit", "-q", "--no-gpg-sign", "-m", "unsigned"])?;
    deploy.push()?;
    let sync = here.try_agent(&["sync"])?;
    assert_eq!(sync.status.code(), Some(1), "{}", stderr(&sync));
    let plan = here.try_agent(&["plan"])?;
    let told = stderr(&plan);
    assert_eq!(plan.status.code(), Some(1));
    assert!(
        told.contains("[S-TRUNK-") && !told.contains("Nothing would change"),
        "{told}"
    );
    let listed = stderr(&here.try_agent(&["list"])?);
    assert!(
        listed.lines().count() == 1 && listed.contains("[S-TRUNK-"),
        "{listed}"
    );
    deploy.git(&["reset", "-q", "--hard", "HEAD~1"])?;
    deploy.git(&["push", "-q", "--no-verify", "-f", "origin", "main"])?;
    here.agent(&["sync"])?;
    assert_eq!(stderr(&here.try_agent(&["list"])?), "");
    Ok(())
}

#[test]
fn a_mistake_in_agent_toml_takes_no_command_away() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("lp", "1.0.0", LOOP)?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    here.until_runs("lp", "1.0.0")?;
    let file = here.path("agent.toml");
    let good = fs::read_to_string(&file)?;
    for mistake in ["bogus = 1\n", "bogus =\n"] {
        fs::write(&file, format!("{mistake}{good}"))?;
        for words in [
            &["list"][..],
            &["why", "lp"],
            &["logs", "lp"],
            &["history"],
            &["kill", "lp"],
            &["start", "lp"],
            &["restart", "lp"],
        ] {
            let output = here.try_agent(words)?;
            let told = stderr(&output);
            assert!(output.status.success(), "{words:?}: {told}");
            assert!(
                told.contains("warning: ") && told.contains("S-FILE-0"),
                "{words:?}: {told}"
            );
        }
        let status: Value = serde_json::from_str(&here.agent(&["status", "--json"])?)?;
        assert!(
            status["warnings"].to_string().contains("S-FILE-0"),
            "{status:#}"
        );
    }
    fs::write(&file, good)?;
    here.agent(&["kill", "lp"])?;
    here.until_state("lp", State::Killed)?;
    Ok(())
}
