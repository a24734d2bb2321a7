//! "Secrets" of the attacks, end to end: who reads a secret, where it is found, and what is refused.

mod refused;
mod rotated;
mod traces;

use anyhow::{Context, Result, ensure};
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};
use swarm_manifests::status::Row;
use swarm_tests::{Deploy, SwarmBox, TICKER, World, everywhere, process::kill_now, until};

/// Nothing else on any machine has this text. In two parts, so that this program's own file has it nowhere.
fn canary() -> String {
    ["canary-7f3a9c51", "e2d84b06-sings"].concat()
}

/// Says of its secret what anybody may know, and holds it open.
const KEEPER: &str = r#"
exec 3< "$DB"
echo "at $DB mode $(stat -c %a "$DB") kind $(stat -f -c %T "$DB")"
echo "sum $(sha256sum < "$DB" | cut -d' ' -f1)"
while :; do sleep 0.2; done
"#;
const KEEPER_TOML: &str =
    "mode = \"daemon\"\n[restart]\nmax-delay = \"0s\"\n[secrets]\nDB = \"db\"";

/// A box `lab-1`, running, whose own key stands in the signed roster; and a bundle that says what it reads.
fn enrolled<'a>(world: &'a World, deploy: &Deploy<'_>, tail: &str) -> Result<SwarmBox<'a>> {
    let remote = deploy.remote().display().to_string();
    let mut here = SwarmBox::new(world, "lab-1", deploy, &remote, "poll = \"1s\"\n", tail)?;
    here.run()?;
    deploy.publish_sh("keeper", "1.0.0", KEEPER)?;
    deploy.enlist(&here, "lab-1")?;
    Ok(here)
}

fn sum(text: &str) -> String {
    swarm_manifests::id::Digest::of(text.as_bytes()).hex()
}

fn pid(row: &Row) -> Result<u32> {
    Ok(row.pid.context("a pid")?.try_into()?)
}

/// Where the keeper says that its secret is.
fn place(here: &SwarmBox<'_>) -> Result<PathBuf> {
    let line = until("the keeper saying where its secret is", || {
        let printed = here.printed("keeper").ok()?;
        printed.into_iter().rfind(|line| line.starts_with("at "))
    })?;
    let path = line.split(' ').nth(1).context("a path")?;
    Ok(path.into())
}

#[test]
fn a_secret_is_read_by_its_workflow_alone_and_is_gone_with_it() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = enrolled(&world, &deploy, "")?;
    let secret = canary();
    deploy.manifest("keeper", &everywhere("1.0.0", KEEPER_TOML))?;
    deploy.encrypt("keeper", "db", &secret)?;
    deploy.commit_as("alice", "a secret")?;
    deploy.push()?;
    here.until_printed("keeper", &format!("sum {}", sum(&secret)))?;
    let path = place(&here)?;
    let printed = here.printed("keeper")?.join("\n");
    ensure!(printed.contains("mode 400 kind tmpfs"), "{printed}");

    // Another workflow on the same box, with another user.
    let spy = format!("cat {} 2>&1 || echo denied\nsleep 1000\n", path.display());
    deploy.publish_sh("spy", "1.0.0", &spy)?;
    deploy.manifest("spy", &everywhere("1.0.0", "mode = \"daemon\""))?;
    deploy.push()?;
    here.until_printed("spy", "denied")?;
    ensure!(
        !here.printed("spy")?.join("").contains(&secret),
        "another workflow read it"
    );

    // The main process is killed, and gets it again; everything of ours is killed, and it stays as long as the workflow does.
    let before = here.until_runs("keeper", "1.0.0")?;
    kill_now(pid(&before)?);
    let again = here.until_row("keeper", "started again", |row| {
        row.restarts > before.restarts && row.pid.is_some()
    })?;
    here.supervisor().kill();
    here.run()?;
    let found = here.until_runs("keeper", "1.0.0")?;
    assert_eq!(found.pid, again.pid);
    ensure!(path.exists(), "it is gone though the workflow runs");
    kill_now(pid(&found)?);
    here.until_row("keeper", "started by another supervisor", |row| {
        row.pid.is_some() && row.pid != found.pid
    })?;

    // A kill takes it along, and so does kill -9 of everything and then of the workflow.
    here.agent(&["kill", "keeper"])?;
    ensure!(!path.exists(), "{} outlived the kill", path.display());
    here.agent(&["start", "keeper"])?;
    let last = here.until_runs("keeper", "1.0.0")?;
    until("the secret being there again", || {
        path.exists().then_some(())
    })?;
    deploy.git(&["rm", "-q", "manifests/keeper.toml"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "no keeper"])?;
    here.supervisor().kill();
    kill_now(pid(&last)?);
    deploy.push()?;
    here.run()?;
    here.agent(&["sync"])?;
    until("the secret being gone", || (!path.exists()).then_some(()))?;
    here.assert_no_panic();
    Ok(())
}

/// What runs goes on also where its successor is held back, and starts again with its secret when all of ours was killed.
#[test]
fn a_workflow_whose_new_version_is_refused_keeps_its_secret() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = enrolled(&world, &deploy, "")?;
    deploy.manifest("keeper", &everywhere("1.0.0", KEEPER_TOML))?;
    deploy.encrypt("keeper", "db", &canary())?;
    deploy.commit_as("alice", "a secret")?;
    deploy.push()?;
    here.until_printed("keeper", "sum ")?;
    deploy.manifest("keeper", &everywhere("9.9.9", KEEPER_TOML))?;
    deploy.push()?;
    until("the new version being refused", || {
        let why = here.agent(&["why", "keeper"]).ok()?;
        why.contains("9.9.9").then_some(())
    })?;
    let before = here.until_runs("keeper", "1.0.0")?;
    here.supervisor().kill();
    here.run()?;
    kill_now(pid(&before)?);
    here.until_row("keeper", "started again with its secret", |row| {
        row.pid.is_some() && row.pid != before.pid
    })?;
    here.assert_no_panic();
    Ok(())
}

#[test]
fn a_box_key_that_others_can_read_starts_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = enrolled(&world, &deploy, "")?;
    here.supervisor().end();
    let key = here.path("state/agent/box.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
    here.run()?;
    until("the agent saying why it does not start", || {
        here.log().contains("can be read by others").then_some(())
    })?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let asked = here.try_agent(&["sync", "--timeout", "5s"])?;
    assert_eq!(asked.status.code(), Some(5), "{asked:?}");
    ensure!(here.rows()?.is_empty(), "it followed the trunk");
    // Closed again, it goes on: with the next start of the agent, which comes by itself.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    here.until_runs("ticker", "1.0.0")?;
    Ok(())
}
