//! "Signatures and policy" of the attacks, end to end: a second person is required, and a key is stolen.

use anyhow::{Context, Result};
use std::{fs, process::Command};
use swarm_manifests::{
    approval::Subject,
    id::Digest,
    name::Name,
    status::{Row, State},
};
use swarm_tests::{Deploy, SwarmBox, TICKER, World, daemon, everywhere, process::run};

/// alice changes the policy: version 2 or later, with this done to the text.
fn change_policy(deploy: &Deploy<'_>, change: impl FnOnce(String) -> String) -> Result<()> {
    let file = deploy.path("policy.toml");
    let text = fs::read_to_string(&file)?;
    let line = text
        .lines()
        .find(|line| line.starts_with("version = "))
        .context("a version")?
        .to_string();
    let version: u64 = line["version = ".len()..].trim().parse()?;
    let next = text.replacen(&line, &format!("version = {}", version + 1), 1);
    fs::write(&file, change(next))?;
    deploy.git(&["add", "-A"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "policy"])?;
    deploy.push()
}

fn public(world: &World, person: &str) -> Result<String> {
    let key = world.key(person)?.with_extension("pub");
    Ok(fs::read_to_string(key)?.trim().to_string())
}

/// Somebody else commits what was added, signed with their own key, and pushes.
fn commit_as(world: &World, deploy: &Deploy<'_>, person: &str) -> Result<()> {
    let key = format!("user.signingkey={}", world.key(person)?.display());
    deploy.git(&["add", "-A"])?;
    deploy.git(&["-c", &key, "commit", "-q", "-S", "-m", "deploy"])?;
    deploy.push()
}

#[test]
fn a_workflow_that_needs_two_people_waits_for_the_second_and_starts_when_they_approve() -> Result<()>
{
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, before) = SwarmBox::ticking(&world, &deploy)?;
    let bob = public(&world, "bob")?;
    change_policy(&deploy, |text| {
        let text = text.replace("people = [\"alice\"]", "people = [\"alice\", \"bob\"]");
        let text = text.replace(
            "[[grant]]",
            &format!("[people.bob]\nkeys = [{bob:?}]\n[[grant]]"),
        );
        text.replace("workflows = [\"*\"]", "workflows = [\"*\"]\napprovals = 2")
    })?;
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
    let digest = |file: &str| -> Result<Digest> { Ok(Digest::of(&fs::read(deploy.path(file))?)) };
    let policy = fs::read_to_string(deploy.path("policy.toml"))?;
    let repository = policy.split('"').nth(1).context("an id")?;
    let statement = Subject {
        repository,
        workflow: &Name::new("ticker")?,
        manifest: digest("manifests/ticker.toml")?,
        bundle: digest("bundles/ticker/1.1.0/bundle.lock")?,
        commit: deploy.head()?.parse()?,
    }
    .statement();
    let file = deploy.write("approvals/ticker/bob", statement)?;
    run(Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "swarm-manifest@v1", "-f"])
        .arg(world.key("bob")?)
        .arg(&file))?;
    fs::remove_file(&file)?;
    commit_as(&world, &deploy, "bob")?;
    here.until_runs("ticker", "1.1.0")?;
    here.assert_no_panic();
    Ok(())
}

#[test]
fn what_a_stolen_key_brought_stops_when_it_is_revoked_and_the_version_before_returns() -> Result<()>
{
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, _) = SwarmBox::ticking(&world, &deploy)?;
    let eve = public(&world, "eve")?;
    change_policy(&deploy, |text| {
        let text = text.replace("people = [\"alice\"]", "people = [\"alice\", \"eve\"]");
        text.replace(
            "[[grant]]",
            &format!("[people.eve]\nkeys = [{eve:?}]\n[[grant]]"),
        )
    })?;
    deploy.write(
        "manifests/ticker.toml",
        everywhere("1.0.0", "mode = \"daemon\"\n[env]\nSTOLEN = \"1\""),
    )?;
    deploy.write(
        "manifests/evil.toml",
        format!("bundle = \"ticker\"\n{}", daemon("1.0.0")),
    )?;
    commit_as(&world, &deploy, "eve")?;
    let stolen = deploy.head()?;
    let is_stolen = |row: &Row| row.commit.as_deref() == Some(&stolen);
    let by_eve = here.until_row("ticker", "running what eve brought", |row| {
        is_stolen(row) && row.state.is_alive()
    })?;
    let evil = here.until_runs("evil", "1.0.0")?;
    let print = run(Command::new("ssh-keygen")
        .args(["-l", "-f"])
        .arg(world.key("eve")?))?;
    let print = print.split(' ').nth(1).context("a fingerprint")?;
    change_policy(&deploy, |text| {
        text + &format!(
            "\n[[revoked]]\nkey = {print:?}\nfrom = {stolen:?}\nreason = \"laptop stolen\"\n"
        )
    })?;
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
    let pid = evil.pid.context("a process")?;
    assert!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "what the stolen key started still runs"
    );
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
