//! "Signatures and policy" of the attacks, end to end: a second person is required, and a key is stolen.

use anyhow::{Context, Result};
use std::fs;
use swarm_manifests::{
    id::Digest,
    status::{Row, State},
};
use swarm_tests::{Deploy, SwarmBox, TICKER, World, daemon, everywhere, process::is_alive};

#[test]
fn a_workflow_that_needs_two_people_waits_for_the_second_and_starts_when_they_approve() -> Result<()>
{
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, before) = SwarmBox::ticking(&world, &deploy)?;
    deploy.admit(&["bob"], "approvals = 2\n")?;
    deploy.daemon("ticker", "1.1.0", TICKER)?;
    deploy.push()?;
    let row = here.until_row("ticker", "waiting with 1.1.0", |row| {
        row.next.as_ref().is_some_and(|next| {
            next.state == State::Waiting && next.version.as_deref() == Some("1.1.0")
        })
    })?;
    let waiting = row.next.context("what waits")?;
    assert_eq!(waiting.rule.as_deref(), Some("S-APPROVE-01"));
    assert!(
        waiting.reason.contains("1 missing") && waiting.reason.contains("bob could"),
        "{}",
        waiting.reason
    );
    let why = here.agent(&["why", "ticker"])?;
    assert!(
        why.contains("swarm-pack approve manifests/ticker.toml"),
        "{why}"
    );
    assert_eq!(
        here.until_runs("ticker", "1.0.0")?.pid,
        before.pid,
        "waiting touched what runs"
    );
    deploy.approve_as("bob", "ticker", "1.1.0")?;
    deploy.commit_as("bob", "approve")?;
    deploy.push()?;
    here.until_runs("ticker", "1.1.0")?;
    here.assert_no_panic();
    Ok(())
}

/// What runs only because of an approval that counts no more stops; what was approved before by others returns.
#[test]
fn what_ran_because_of_a_stolen_key_s_approval_stops_and_the_version_before_returns() -> Result<()>
{
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, _) = SwarmBox::ticking(&world, &deploy)?;
    deploy.admit(&["bob", "eve"], "approvals = 2\n")?;
    let approved = |person: &str, version: &str| {
        deploy.daemon("ticker", version, TICKER)?;
        deploy.approve_as(person, "ticker", version)?;
        let commit = deploy.commit_as(person, "approve")?;
        deploy.push()?;
        here.until_runs("ticker", version)?;
        Ok::<_, anyhow::Error>(commit)
    };
    approved("bob", "1.1.0")?;
    let stolen = approved("eve", "1.2.0")?;
    deploy.daemon("fresh", "1.0.0", TICKER)?;
    deploy.approve_as("eve", "fresh", "1.0.0")?;
    deploy.commit_as("alice", "approve")?;
    deploy.push()?;
    let fresh = here.until_runs("fresh", "1.0.0")?;
    deploy.revoke("eve", &stolen)?;
    let row = here.until_runs("ticker", "1.1.0")?;
    assert_eq!(row.by.as_deref(), Some("alice"));
    let gone = here.until_row("fresh", "waiting", |row| row.state == State::Waiting)?;
    assert_eq!(
        (gone.pid, gone.rule.as_deref()),
        (None, Some("S-APPROVE-01"))
    );
    let pid = fresh.pid.context("a process")?.try_into()?;
    assert!(
        !is_alive(pid),
        "what only the stolen key approved still runs"
    );
    let why = here.agent(&["why", "ticker"])?;
    assert!(
        why.contains("laptop stolen") && why.contains("approvals/ticker/eve.sig"),
        "{why}"
    );
    here.assert_no_panic();
    Ok(())
}

/// Says what its secret is without saying it.
const KEEPER: &str =
    "echo \"sum $(sha256sum < \"$DB\" | cut -d' ' -f1)\"; while :; do sleep 0.2; done\n";
const KEEPER_TOML: &str = "mode = \"daemon\"\n[secrets]\nDB = \"db\"";

#[test]
fn a_secret_that_a_stolen_key_brought_is_used_no_more_though_no_version_was_before_it() -> Result<()>
{
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, _) = SwarmBox::ticking(&world, &deploy)?;
    let sum = |secret: &str| format!("sum {}", Digest::of(secret.as_bytes()).hex());
    deploy.enlist(&here, "box-1")?;
    deploy.admit(&["eve"], "")?;
    deploy.publish_sh("keeper", "1.0.0", KEEPER)?;
    deploy.manifest("keeper", &everywhere("1.0.0", KEEPER_TOML))?;
    deploy.encrypt("keeper", "db", "alice's")?;
    deploy.commit_as("alice", "a secret")?;
    deploy.push()?;
    here.until_printed("keeper", &sum("alice's"))?;
    deploy.manifest(
        "late",
        &format!("bundle = \"keeper\"\n{}", everywhere("1.0.0", KEEPER_TOML)),
    )?;
    deploy.encrypt("keeper", "db", "eve's")?;
    deploy.encrypt("late", "db", "eve's too")?;
    let stolen = deploy.commit_as("eve", "other secrets")?;
    deploy.push()?;
    here.until_printed("keeper", &sum("eve's"))?;
    here.until_printed("late", &sum("eve's too"))?;
    let late = here.until_runs("late", "1.0.0")?;
    let before = here.printed("keeper")?.len();
    deploy.revoke("eve", &stolen)?;
    here.until_row("late", "refused", |row| {
        row.state == State::Refused && row.pid.is_none()
    })?;
    let pid = late.pid.context("a process")?.try_into()?;
    assert!(
        !is_alive(pid),
        "it goes on with what the stolen key brought"
    );
    swarm_tests::until("the secret before being used again", || {
        let printed = here.printed("keeper").ok()?;
        printed[before..].contains(&sum("alice's")).then_some(())
    })?;
    let history = here.agent(&["history", "late"])?;
    assert!(
        history.contains("the secret db") && history.contains("laptop stolen"),
        "{history}"
    );
    here.assert_no_panic();
    Ok(())
}

#[test]
fn what_a_stolen_key_brought_stops_when_it_is_revoked_and_the_version_before_returns() -> Result<()>
{
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, _) = SwarmBox::ticking(&world, &deploy)?;
    deploy.admit(&["eve"], "")?;
    deploy.write(
        "manifests/ticker.toml",
        everywhere("1.0.0", "mode = \"daemon\"\n[env]\nSTOLEN = \"1\""),
    )?;
    deploy.write(
        "manifests/evil.toml",
        format!("bundle = \"ticker\"\n{}", daemon("1.0.0")),
    )?;
    let stolen = deploy.commit_as("eve", "deploy")?;
    deploy.push()?;
    let is_stolen = |row: &Row| row.commit.as_deref() == Some(&stolen);
    let by_eve = here.until_row("ticker", "running what eve brought", |row| {
        is_stolen(row) && row.state.is_alive()
    })?;
    let evil = here.until_runs("evil", "1.0.0")?;
    deploy.revoke("eve", &stolen)?;
    let after = here.until_row("ticker", "running what alice brought", |row| {
        !is_stolen(row) && matches!(row.state, State::Running | State::Ready)
    })?;
    assert_eq!(after.by.as_deref(), Some("alice"));
    assert_ne!(after.pid, by_eve.pid);
    let gone = here.until_row("evil", "refused", |row| row.state == State::Refused)?;
    assert_eq!(
        (gone.pid, gone.rule.as_deref()),
        (None, Some("S-REVOKE-02"))
    );
    let pid = evil.pid.context("a process")?.try_into()?;
    assert!(!is_alive(pid), "what the stolen key started still runs");
    let history = here.agent(&["history"])?;
    assert!(history.contains("laptop stolen"), "{history}");
    let why = here.agent(&["why", "ticker"])?;
    assert!(why.contains("laptop stolen"), "{why}");
    here.assert_no_panic();
    Ok(())
}

#[test]
fn refs_of_the_remote_and_of_the_mirror_decide_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, before) = SwarmBox::ticking(&world, &deploy)?;
    let good = deploy.head()?;
    deploy.git(&["checkout", "-q", "-b", "evil"])?;
    deploy.write(
        "manifests/evil.toml",
        format!("bundle = \"ticker\"\n{}", daemon("1.0.0")),
    )?;
    deploy.git(&["add", "-A"])?;
    deploy.git(&["commit", "-q", "--no-gpg-sign", "-m", "evil"])?;
    let evil = deploy.head()?;
    for name in [
        "refs/swarm/trusted",
        "refs/swarm/head",
        "refs/heads/master",
        "refs/remotes/origin/main",
        "refs/tags/main",
        "refs/replace/0000000000000000000000000000000000000001",
    ] {
        deploy.git(&[
            "push",
            "-q",
            "--no-verify",
            "origin",
            &format!("{evil}:{name}"),
        ])?;
    }
    // Whoever could write the mirror's refs would gain as little.
    let mirror = here.path("state/agent/mirror");
    for name in ["refs/heads/main", "refs/swarm/trusted", "HEAD"] {
        let file = mirror.join(name);
        fs::create_dir_all(file.parent().context("a folder")?)?;
        fs::write(file, format!("{evil}\n"))?;
    }
    here.agent(&["sync"])?;
    let status = here.agent(&["status"])?;
    assert!(status.contains(&good[..7]), "{status}");
    assert!(here.row("evil")?.is_none(), "a ref made something run");
    assert_eq!(here.until_runs("ticker", "1.0.0")?.pid, before.pid);
    deploy.git(&["checkout", "-q", "main"])?;
    deploy.daemon("ticker", "1.1.0", TICKER)?;
    deploy.push()?;
    here.until_runs("ticker", "1.1.0")?;
    assert!(here.row("evil")?.is_none());
    here.assert_no_panic();
    Ok(())
}
