//! A secret that was rotated: who still holds the old one.

use super::{KEEPER_TOML, enrolled, pid, sum, traces::ours};
use anyhow::{Context, Result};
use std::fs;
use swarm_tests::{Deploy, World, everywhere, process::kill_now, until};

/// How many secrets a process holds in memory of the kernel's.
fn held_by(pid: u32) -> Option<usize> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let secrets = open.filter_map(|fd| {
        let link = fs::read_link(fd.ok()?.path()).ok()?;
        link.to_str()?.starts_with("/memfd:secret").then_some(())
    });
    Some(secrets.count())
}

/// What runs with a secret that was rotated since gets it again after all of ours was killed; what nothing uses any more is forgotten.
#[test]
fn a_rotated_secret_is_there_for_as_long_as_something_runs_with_it_and_no_longer() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let mut here = enrolled(&world, &deploy, "")?;
    let version = |version: &str| deploy.manifest("keeper", &everywhere(version, KEEPER_TOML));
    let rotate = |secret: &str| -> Result<()> {
        deploy.encrypt("keeper", "db", secret)?;
        deploy.commit_as("alice", "a secret")?;
        deploy.push()
    };
    version("1.0.0")?;
    rotate("one")?;
    here.until_printed("keeper", &format!("sum {}", sum("one")))?;
    // The version that is to run with the second one is not there.
    version("9.9.9")?;
    rotate("two")?;
    until("the new version being refused", || {
        let why = here.agent(&["why", "keeper"]).ok()?;
        why.contains("9.9.9").then_some(())
    })?;
    let before = here.until_runs("keeper", "1.0.0")?;
    let printed = here.printed("keeper")?.len();
    here.supervisor().kill();
    here.run()?;
    kill_now(pid(&before)?);
    until("the keeper starting again with what it ran with", || {
        let lines = here.printed("keeper").ok()?;
        let line = format!("sum {}", sum("one"));
        lines[printed..].contains(&line).then_some(())
    })?;
    version("1.0.0")?;
    for secret in ["three", "four", "five"] {
        rotate(secret)?;
        here.until_printed("keeper", &format!("sum {}", sum(secret)))?;
    }
    let supervisor = here.supervisor_pid().context("a supervisor")?;
    let ours = ours(supervisor)?;
    // That of what runs, and that of what it would go back to.
    until(
        "two secrets of five being left in each of our processes",
        || {
            let held: Option<Vec<usize>> = ours.iter().map(|pid| held_by(*pid)).collect();
            held?.iter().all(|count| *count <= 2).then_some(())
        },
    )?;
    here.assert_no_panic();
    Ok(())
}
