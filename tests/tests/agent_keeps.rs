//! What a box keeps, refuses and says: nothing but a verified commit stops what runs, and each refusal names its rule.

use anyhow::Result;
use std::fs;
use swarm_manifests::status::State;
use swarm_tests::{Deploy, GitOverHttp, SwarmBox, TICKER, World, process, until};

fn daemon(version: &str, on: &str) -> String {
    format!("version = \"{version}\"\n\n[on]\n{on}\n\n[run]\nmode = \"daemon\"\n")
}

/// These workflows run on a box that follows the remote by path.
fn running<'a>(world: &'a World, deploy: &Deploy<'_>, names: &[&str]) -> Result<SwarmBox<'a>> {
    for name in names {
        deploy.publish_sh(name, "1.0.0", TICKER)?;
        deploy.manifest(name, &daemon("1.0.0", "all = true"))?;
    }
    deploy.push()?;
    let here = SwarmBox::by_path(world, deploy)?;
    for name in names {
        here.until_runs(name, "1.0.0")?;
    }
    Ok(here)
}

fn until_status(here: &SwarmBox<'_>, rule: &str) -> Result<()> {
    until(&format!("{rule} in status"), || {
        here.agent(&["status"]).ok()?.contains(rule).then_some(())
    })
    .map_err(|error| {
        error.context(format!(
            "{}\n{}",
            here.agent(&["status"]).unwrap_or_default(),
            here.log()
        ))
    })
}

#[test]
fn a_mass_removal_is_held_until_a_commit_allows_it() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let here = running(&world, &deploy, &["one", "two", "three"])?;
    let before = here.until_runs("one", "1.0.0")?;
    deploy.git(&["rm", "-q", "manifests/one.toml", "manifests/two.toml"])?;
    deploy.git(&["commit", "-q", "-S", "-m", "remove two of three"])?;
    deploy.push()?;
    let held = here.until_row("one", "waiting for a word about its removal", |row| {
        row.next
            .as_ref()
            .is_some_and(|next| next.state == State::Waiting)
    })?;
    assert_eq!(held.pid, before.pid);
    let words = "really\n\nAllow-mass-removal: 2";
    deploy.git(&["commit", "-q", "-S", "--allow-empty", "-m", words])?;
    deploy.push()?;
    until("both leaving the list", || {
        let names: Vec<_> = here
            .rows()
            .ok()?
            .into_iter()
            .map(|row| row.workflow)
            .collect();
        (names == ["three"]).then_some(())
    })
}

#[test]
fn a_rewound_a_sidelined_and_an_unrelated_branch_stop_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let here = running(&world, &deploy, &["one"])?;
    let before = here.until_runs("one", "1.0.0")?;
    let good = deploy.head()?;
    let force = |to: &str| {
        deploy.git(&[
            "push",
            "-q",
            "--no-verify",
            "-f",
            "origin",
            &format!("{to}:refs/heads/main"),
        ])
    };
    let unchanged = |here: &SwarmBox<'_>| -> Result<()> {
        assert_eq!(here.until_runs("one", "1.0.0")?.pid, before.pid);
        Ok(())
    };
    force(&format!("{good}~1"))?;
    until_status(&here, "S-TRUNK-05")?;
    unchanged(&here)?;
    let tree = format!("{good}^{{tree}}");
    let orphan = deploy.git(&["commit-tree", "-S", &tree, "-m", "from nowhere"])?;
    force(orphan.trim())?;
    until_status(&here, "S-TRUNK-07")?;
    unchanged(&here)?;
    // `git pull` without rebase: the trusted head is the second parent.
    let base = format!("{good}~1");
    let side = deploy.git(&["commit-tree", "-S", &tree, "-p", &base, "-m", "mine"])?;
    let merge = deploy.git(&[
        "commit-tree",
        "-S",
        &tree,
        "-p",
        side.trim(),
        "-p",
        &good,
        "-m",
        "merge",
    ])?;
    force(merge.trim())?;
    until_status(&here, "S-TRUNK-06")?;
    unchanged(&here)
}

#[test]
fn a_requirement_that_is_not_met_blocks_and_a_fact_that_differs_does_not_choose() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let folder = deploy.source(
        "needy",
        "1.0.0",
        "engine = \"sh\"\nentry = \"main.sh\"\n\n[requires]\nnode = \">=900\"\n",
        &[("main.sh", TICKER)],
    )?;
    deploy.pack(&["publish", &folder])?;
    deploy.manifest("needy", &daemon("1.0.0", "all = true"))?;
    deploy.publish_sh("large", "1.0.0", TICKER)?;
    deploy.manifest("large", &daemon("1.0.0", "where = 'memory >= \"900T\"'"))?;
    let here = running(&world, &deploy, &["one"])?;
    let row = here.until_state("needy", State::Blocked)?;
    assert_eq!(row.rule.as_deref(), Some("S-RUN-01"), "{row:?}");
    let why = here.try_agent(&["why", "large"])?;
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(
        why.contains("not chosen") && why.contains("memory"),
        "{why}"
    );
    Ok(())
}

#[test]
fn lost_trust_is_found_again_from_the_introduction_and_stops_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = running(&world, &deploy, &["one"])?;
    let before = here.until_runs("one", "1.0.0")?;
    let file = here.path("state/agent/trust.json");
    for damage in [Some("{ \"garbage\""), None] {
        here.supervisor().end();
        match damage {
            Some(text) => fs::write(&file, text)?,
            None => fs::remove_file(&file)?,
        }
        here.run()?;
        here.agent(&["sync"])?;
        until("trust being saved anew", || {
            fs::read_to_string(&file)
                .ok()?
                .contains(&deploy.head().ok()?)
                .then_some(())
        })?;
        assert_eq!(here.until_runs("one", "1.0.0")?.pid, before.pid);
    }
    Ok(())
}

#[test]
fn after_a_reboot_without_network_daemons_start_from_the_store() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = running(&world, &deploy, &["one"])?;
    let before = here.until_runs("one", "1.0.0")?;
    here.supervisor().kill();
    let pid = u32::try_from(before.pid.expect("it ran"))?;
    process::signal(pid, "KILL");
    until("its process being gone", || {
        (!process::is_alive(pid)).then_some(())
    })?;
    fs::rename(deploy.remote(), world.path("git/away.git"))?;
    here.run()?;
    let after = here.until_runs("one", "1.0.0")?;
    assert_ne!(after.pid, before.pid);
    Ok(())
}

#[test]
fn a_death_of_the_agent_in_the_middle_of_a_fetch_leaves_nothing_broken() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    let large = "0123456789abcdef".repeat(100_000);
    let folder = deploy.source(
        "large",
        "1.0.0",
        "engine = \"sh\"\nentry = \"main.sh\"\n",
        &[("main.sh", TICKER), ("data.txt", &large)],
    )?;
    deploy.pack(&["publish", &folder])?;
    deploy.manifest("large", &daemon("1.0.0", "all = true"))?;
    deploy.push()?;
    let mut here = SwarmBox::new(
        &world,
        "box-1",
        &deploy,
        &server.url("deploy.git"),
        "poll = \"1s\"\n",
        "",
    )?;
    here.run()?;
    // Whatever they were doing when it came: the next ones do it.
    let supervisor = here.supervisor().pid();
    let mut dead = 0;
    for _ in 0..4 {
        let agent = until("another agent", || {
            below(supervisor)
                .into_iter()
                .find(|child| *child != dead && is_agent(*child))
        })?;
        for indexer in below(agent)
            .into_iter()
            .chain(process::indexer_of(supervisor))
        {
            process::signal(indexer, "KILL");
        }
        process::signal(agent, "KILL");
        dead = agent;
    }
    here.until_runs("large", "1.0.0")?;
    // A look of this moment may have something there; what was left would stay.
    let quarantine = here.quarantine();
    until("an empty quarantine", || {
        fs::read_dir(&quarantine)
            .ok()?
            .next()
            .is_none()
            .then_some(())
    })
}

fn below(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn is_agent(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|text| String::from_utf8_lossy(&text).contains("SWARM_ROLE=agent"))
}
