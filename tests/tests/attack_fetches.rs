//! "Git" of the attacks, on the way: a fetch that breaks off, one whose indexer is killed, one that brings other bytes. What runs
//! goes on, nothing half is left, and the next fetch works.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use swarm_tests::{
    Deploy, GitOverHttp, SwarmBox, TICKER, World, daemon, large,
    process::{Running, cgroup_of, child_in_role, indexer_of, is_alive, signal},
    tap::{Act, Tap},
    until,
};

/// The new version's bytes, none of which can be compressed.
const LARGE: usize = 6_000_000;

/// A box that runs `ticker` 1.0.0, behind a tap.
fn tapped<'a>(world: &'a World, deploy: &Deploy<'_>) -> Result<(GitOverHttp, Tap, SwarmBox<'a>)> {
    let server = GitOverHttp::start(world)?;
    let tap = Tap::before(server.port())?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let url = format!("http://127.0.0.1:{}/deploy.git", tap.port());
    let here = SwarmBox::start(world, "box-1", deploy, &url)?;
    here.until_runs("ticker", "1.0.0")?;
    // Nothing of the first fetch is under way any more.
    here.agent(&["sync"])?;
    Ok((server, tap, here))
}

/// Pushes `ticker` 1.1.0, large.
fn push_large(deploy: &Deploy<'_>) -> Result<()> {
    let toml = "engine = \"sh\"\nentry = \"main.sh\"\n";
    let folder = deploy.source("ticker", "1.1.0", toml, &[("main.sh", TICKER)])?;
    deploy.write(&format!("{folder}/data"), large::noise(LARGE)?)?;
    deploy.pack(&["publish", &folder])?;
    deploy.manifest("ticker", &daemon("1.1.0"))?;
    deploy.push()
}

/// What is left of fetches.
fn left(here: &SwarmBox<'_>) -> Result<Vec<String>> {
    let quarantine = fs::read_dir(here.quarantine())?;
    let half = fs::read_dir(here.path("state/agent/mirror/objects/pack"))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            !name
                .rsplit_once('.')
                .is_some_and(|(_, kind)| kind == "pack" || kind == "idx")
        });
    let pending = quarantine
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(pending.chain(half).collect())
}

/// With the tap open the new version comes, and nothing is left of what went before.
fn recovers(here: &SwarmBox<'_>, tap: &Tap) -> Result<()> {
    tap.open();
    here.until_runs("ticker", "1.1.0")?;
    here.agent(&["sync"])?;
    until("an empty quarantine", || {
        left(here).ok()?.is_empty().then_some(())
    })?;
    ensure!(!here.log().contains("panicked"), "{}", here.log());
    Ok(())
}

#[test]
fn a_fetch_that_breaks_off_at_nine_tenths_leaves_nothing_broken() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_server, tap, here) = tapped(&world, &deploy)?;
    let before = here.until_runs("ticker", "1.0.0")?;
    tap.turn(LARGE as u64 * 9 / 10, Act::Cut);
    push_large(&deploy)?;
    until("the connection broken off", || {
        tap.has_acted().then_some(())
    })?;
    until("the box saying so", || {
        let status = here.agent(&["status"]).ok()?;
        status.contains("S-GIT-").then_some(())
    })?;
    assert_eq!(here.until_runs("ticker", "1.0.0")?.pid, before.pid);
    recovers(&here, &tap)
}

#[test]
fn an_indexer_killed_in_the_middle_of_a_fetch_leaves_nothing_broken() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_server, tap, here) = tapped(&world, &deploy)?;
    let before = here.until_runs("ticker", "1.0.0")?;
    tap.turn(LARGE as u64 / 2, Act::Hold);
    push_large(&deploy)?;
    until("half of it here", || tap.has_acted().then_some(()))?;
    let indexer = until("an indexer under way", || {
        indexer_of(here.supervisor_pid()?)
    })?;
    signal(indexer, "KILL");
    assert_eq!(here.until_runs("ticker", "1.0.0")?.pid, before.pid);
    recovers(&here, &tap)
}

#[test]
fn a_pack_with_other_bytes_is_refused_as_often_as_it_comes() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_server, tap, here) = tapped(&world, &deploy)?;
    let before = here.until_runs("ticker", "1.0.0")?;
    tap.turn(LARGE as u64 / 2, Act::Spoil);
    push_large(&deploy)?;
    until("the box saying so, twice", || {
        let status = here.agent(&["status", "--json"]).ok()?;
        let status: Value = serde_json::from_str(&status).ok()?;
        let is_refused = status["failure"]["rule"] == "S-GIT-04";
        (is_refused && status["failures"].as_u64()? >= 2).then_some(())
    })
    .with_context(|| here.agent(&["status"]).unwrap_or_default())?;
    assert_eq!(here.until_runs("ticker", "1.0.0")?.pid, before.pid);
    recovers(&here, &tap)
}

/// What `/proc` says of a process.
fn status_of(pid: u32, field: &str) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    Ok(value.context("no such field")?.trim().to_owned())
}

#[test]
fn the_indexer_is_a_user_without_network_rights_or_anything_of_the_disk() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_server, tap, here) = tapped(&world, &deploy)?;
    tap.turn(LARGE as u64 / 2, Act::Hold);
    push_large(&deploy)?;
    until("half of it here", || tap.has_acted().then_some(()))?;
    let supervisor = here.supervisor_pid().context("it runs")?;
    let agent = child_in_role(supervisor, "agent").context("no agent")?;
    let indexer = until("an indexer under way", || indexer_of(supervisor))?;
    for (field, value) in [
        ("Seccomp:", "2"),
        ("NoNewPrivs:", "1"),
        ("CapEff:", "0000000000000000"),
    ] {
        assert_eq!(status_of(indexer, field)?, value, "{field}");
    }
    let limits = fs::read_to_string(format!("/proc/{indexer}/limits"))?;
    for name in ["Max address space", "Max cpu time", "Max file size"] {
        let line = limits.lines().find(|line| line.starts_with(name));
        let line = line.context("no such limit")?;
        assert!(!line.contains("unlimited"), "{line}");
    }
    if is_root() {
        let (its, agents) = (status_of(indexer, "Uid:")?, status_of(agent, "Uid:")?);
        assert_ne!(its, agents);
        assert!(!its.split_whitespace().any(|uid| uid == "0"), "{its}");
        for namespace in ["net", "mnt"] {
            let of = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/{namespace}"));
            assert_ne!(of(indexer)?, of(agent)?, "{namespace}");
        }
        let inside = format!("/proc/{indexer}/root{}", here.path("state").display());
        assert!(fs::metadata(format!("{inside}/indexer/quarantine")).is_ok());
        for hidden in ["agent", "supervisor", "workflows"] {
            assert!(
                fs::metadata(format!("{inside}/{hidden}")).is_err(),
                "{hidden}"
            );
        }
    }
    recovers(&here, &tap)
}

/// The indexer in the middle of a pack, and what it would have made had it been taken over: it hears nothing, and beside it in its
/// cgroup is another process, where there is a cgroup of its own.
fn taken_over(world: &World, here: &SwarmBox<'_>, tap: &Tap) -> Result<(u32, Option<Running>)> {
    until("half of it here", || tap.has_acted().then_some(()))?;
    let supervisor = here.supervisor_pid().context("it runs")?;
    let indexer = until("an indexer under way", || indexer_of(supervisor))?;
    let own = cgroup_of(indexer).filter(|group| {
        let name = group.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("indexer-")
    });
    ensure!(!is_root() || own.is_some(), "it has no cgroup of its own");
    let other = own.map(|group| {
        let mut sleep = world.command("sleep");
        let other = Running::start("other", sleep.arg("600"), &world.path("logs/other"))?;
        fs::write(group.join("cgroup.procs"), other.pid().to_string())?;
        anyhow::Ok(other)
    });
    Ok((indexer, other.transpose()?))
}

fn until_gone(indexer: u32, other: Option<Running>) -> Result<()> {
    until("the indexer gone", || (!is_alive(indexer)).then_some(()))?;
    let Some(mut other) = other else {
        return Ok(());
    };
    until("what it left gone", || (!other.is_alive()).then_some(()))
}

#[test]
fn an_indexer_that_was_taken_over_ends_with_its_agent() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_server, tap, here) = tapped(&world, &deploy)?;
    tap.turn(LARGE as u64 / 2, Act::Hold);
    push_large(&deploy)?;
    let (indexer, other) = taken_over(&world, &here, &tap)?;
    signal(indexer, "STOP");
    let agent = here
        .supervisor_pid()
        .and_then(|pid| child_in_role(pid, "agent"));
    signal(agent.context("no agent")?, "KILL");
    until_gone(indexer, other)?;
    recovers(&here, &tap)
}

#[test]
fn an_indexer_that_was_taken_over_ends_with_its_supervisor_and_what_it_left_with_the_next()
-> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_server, tap, mut here) = tapped(&world, &deploy)?;
    tap.turn(LARGE as u64 / 2, Act::Hold);
    push_large(&deploy)?;
    let (indexer, other) = taken_over(&world, &here, &tap)?;
    signal(indexer, "STOP");
    here.supervisor().kill();
    if is_root() {
        until_gone(indexer, None)?;
    }
    here.run()?;
    until_gone(indexer, other)?;
    recovers(&here, &tap)
}

#[test]
fn what_an_indexer_made_that_leaves_a_process_behind_counts_for_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (_server, tap, here) = tapped(&world, &deploy)?;
    tap.turn(LARGE as u64 / 2, Act::Hold);
    push_large(&deploy)?;
    let (indexer, other) = taken_over(&world, &here, &tap)?;
    let was_left = other.is_some();
    recovers(&here, &tap)?;
    until_gone(indexer, other)?;
    let said = here.log().contains("left processes behind");
    assert_eq!(said, was_left, "{}", here.log());
    Ok(())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
