//! The commands' contract as a script finds it: exit codes, what goes where, what a closed pipe does.

use anyhow::Result;
use std::process::Stdio;
use swarm_manifests::status::{Row, State};
use swarm_tests::{Deploy, SwarmBox, World, daemon, everywhere, until};

const LOOP: &str = "while :; do sleep 1; done\n";

fn started<'a>(world: &'a World, deploy: &Deploy<'a>) -> Result<SwarmBox<'a>> {
    SwarmBox::by_path(world, deploy)
}

#[test]
fn sync_says_once_what_was_refused_and_why() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("lp", "1.0.0", LOOP)?;
    let good = everywhere("1.0.0", "mode = \"daemon\"\ninstances = 3");
    deploy.manifest("lp", &good)?;
    deploy.push()?;
    let here = started(&world, &deploy)?;
    here.until_runs("lp", "1.0.0")?;
    deploy.manifest("lp", &good.replace("mode =", "mod ="))?;
    deploy.push()?;
    let output = here.try_agent(&["sync"])?;
    let talk = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert_eq!(talk.matches("S-FILE-0").count(), 1, "{talk}");
    assert!(talk.contains("manifests/lp.toml"), "{talk}");
    let output = here.try_agent(&["sync", "--json"])?;
    let body: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(
        body["refused"].as_array().map(Vec::len),
        Some(1),
        "{body:#}"
    );
    let output = here.try_agent(&["list"])?;
    let talk = String::from_utf8(output.stderr)?;
    assert_eq!(talk.lines().count(), 1, "{talk}");
    Ok(())
}

#[test]
fn a_sync_after_the_mending_push_says_that_all_is_well() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let good = daemon("1.0.0");
    let wrong = good.replace("mode =", "mod =");
    // One that runs, and one that never did.
    for name in ["runs", "new"] {
        deploy.publish_sh(name, "1.0.0", LOOP)?;
    }
    deploy.manifest("runs", &good)?;
    deploy.manifest("new", &wrong)?;
    deploy.push()?;
    let here = started(&world, &deploy)?;
    here.until_runs("runs", "1.0.0")?;
    for round in 0..6 {
        deploy.manifest("runs", &wrong)?;
        deploy.push()?;
        assert_eq!(here.try_agent(&["sync"])?.status.code(), Some(1));
        deploy.manifest("runs", &good)?;
        deploy.manifest("new", &good)?;
        deploy.push()?;
        let output = here.try_agent(&["sync", "--json"])?;
        let said = String::from_utf8(output.stdout)?;
        assert_eq!(output.status.code(), Some(0), "round {round}: {said}");
        deploy.git(&["rm", "-q", "manifests/new.toml"])?;
        deploy.git(&["commit", "-q", "-S", "-m", "away"])?;
        deploy.manifest("new", &wrong)?;
    }
    Ok(())
}

#[test]
fn history_knows_who_never_was_and_verifies_in_json() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("lp", "1.0.0", LOOP)?;
    deploy.push()?;
    let here = started(&world, &deploy)?;
    here.until_runs("lp", "1.0.0")?;
    assert_eq!(
        here.try_agent(&["history", "nobody"])?.status.code(),
        Some(3)
    );
    let body: serde_json::Value =
        serde_json::from_str(&here.agent(&["history", "--verify", "--json"])?)?;
    assert_eq!(body["whole"], true, "{body}");
    Ok(())
}

#[test]
fn a_repository_below_a_closed_folder_is_missed_when_it_goes_and_found_when_it_is_back()
-> Result<()> {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    let world = World::new()?;
    fs::set_permissions(world.path("."), fs::Permissions::from_mode(0o700))?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("lp", "1.0.0", LOOP)?;
    let manifest = daemon("1.0.0");
    deploy.manifest("lp", &manifest)?;
    deploy.push()?;
    let here = started(&world, &deploy)?;
    let before = here.until_runs("lp", "1.0.0")?;
    fs::rename(deploy.remote(), world.path("git/away.git"))?;
    let exit = here.try_agent(&["sync"])?.status.code();
    assert_eq!(exit, Some(5));
    assert_eq!(here.until_runs("lp", "1.0.0")?.pid, before.pid);
    fs::rename(world.path("git/away.git"), deploy.remote())?;
    until("a sync that reaches the remote", || {
        let output = here.try_agent(&["sync"]).ok()?;
        output.status.success().then_some(())
    })?;
    assert_eq!(here.until_runs("lp", "1.0.0")?.pid, before.pid);
    Ok(())
}

#[test]
fn logs_say_which_instance_printed_a_line_and_how_it_ended() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("once", "1.0.0", "echo hello\nexit 3\n")?;
    let one = everywhere("1.0.0", "mode = \"once\"");
    deploy.manifest("once", &one)?;
    let two = everywhere("1.0.0", "mode = \"once\"\ninstances = 2");
    deploy.manifest("twice", &format!("bundle = \"once\"\n{two}"))?;
    deploy.push()?;
    let here = started(&world, &deploy)?;
    let lines = |workflow: &str| -> Result<Vec<String>> {
        let text = here.agent(&["logs", workflow])?;
        let said = text.lines().filter_map(|line| line.split_once(' '));
        Ok(said.map(|(_, said)| said.to_string()).collect())
    };
    here.until_state("once", State::Failed)?;
    let said = lines("once")?;
    assert!(
        said[0].starts_with("-- started once 1.0.0 as pid "),
        "{said:?}"
    );
    assert_eq!(said[1..], ["hello", "-- exited with code 3"]);
    let ended = |row: &Row| row.workflow == "twice" && row.state == State::Failed;
    until("both instances having ended", || {
        let rows = here.rows().ok()?;
        (rows.iter().filter(|row| ended(row)).count() == 2).then_some(())
    })?;
    let said = lines("twice")?;
    for instance in ["/0", "/1"] {
        let of = said.iter().filter(|line| line.starts_with(instance));
        assert_eq!(of.count(), 3, "{said:?}");
    }
    assert_eq!(said.len(), 6, "{said:?}");
    Ok(())
}

#[test]
fn a_closed_pipe_ends_a_command_without_a_panic() -> Result<()> {
    let world = World::new()?;
    let mut command = world.agent();
    command
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    let talk = String::from_utf8(output.stderr)?;
    assert!(talk.is_empty(), "{talk}");
    Ok(())
}

#[test]
fn what_cannot_be_printed_is_a_failure_and_no_panic() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.daemon("lp", "1.0.0", LOOP)?;
    deploy.push()?;
    let here = started(&world, &deploy)?;
    here.until_runs("lp", "1.0.0")?;
    for words in [
        &["list"][..],
        &["list", "--json"],
        &["status"],
        &["why", "lp"],
        &["history"],
        &["sync"],
        &["check-config"],
        &["explain", "S-TRUNK-01"],
        &["completions", "bash"],
    ] {
        let mut command = world.agent();
        command
            .args(words)
            .arg("--config")
            .arg(here.path("agent.toml"));
        command.stdout(std::fs::File::options().write(true).open("/dev/full")?);
        let output = command.stderr(Stdio::piped()).spawn()?.wait_with_output()?;
        let talk = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{words:?}: {talk}");
        assert!(talk.contains("stdout"), "{words:?}: {talk}");
    }
    Ok(())
}
