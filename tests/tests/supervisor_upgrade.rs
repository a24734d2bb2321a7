//! `swarm-agent upgrade` with the real programs: supervisor and agent are others afterwards, and nothing that runs noticed.

use anyhow::{Context as _, Result, ensure};
use std::{fs, path::PathBuf};
use swarm_tests::{Deploy, SwarmBox, World, process, until, world::swarm_program};

const COUNTER: &str =
    "i=0; while :; do echo $i; i=$((i+1)); [ $((i % 50)) != 0 ] || sleep 0.01; done\n";

fn program_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// The process that the supervisor started as its agent.
fn agent_of(supervisor: u32) -> Option<u32> {
    let children =
        fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).ok()?;
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .find(|pid| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|env| env.split(|b| *b == 0).any(|v| v == b"SWARM_ROLE=agent"))
        })
}

#[test]
fn supervisor_and_agent_become_another_program_and_no_workflow_notices() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("counter", "1.0.0", COUNTER)?;
    deploy.manifest(
        "counter",
        "version = \"1.0.0\"\n[on]\nall = true\n[run]\nmode = \"daemon\"\n",
    )?;
    deploy.push()?;
    let url = deploy.remote().display().to_string();
    let mut here = SwarmBox::start(&world, "box-1", &deploy, &url)?;
    let row = here.until_runs("counter", "1.0.0")?;
    let supervisor = here.supervisor().pid();
    let agent = until("the agent's process", || agent_of(supervisor))?;

    // One that cannot run here is refused with what it says.
    let bad = here.path("bad-agent");
    fs::copy("/bin/false", &bad)?;
    let refused = here.try_agent(&["upgrade", "--binary", &bad.display().to_string()])?;
    assert_eq!(refused.status.code(), Some(1));
    let says = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(says.contains("exited with code 1"), "{says}");
    assert_eq!(agent_of(supervisor), Some(agent), "nothing was replaced");

    let new = here.path("new-agent");
    fs::copy(swarm_program("swarm-agent"), &new)?;
    for path in [Some(&new), None] {
        let mut words = vec!["upgrade".to_string()];
        words.extend(path.map(|path| format!("--binary={}", path.display())));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let before = until("an agent", || agent_of(supervisor))?;
        let done = here.try_agent(&words)?;
        let says = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "{says}\n{}", here.log());
        ensure!(says.contains("upgraded in place"), "{says}");
        let wanted = path.cloned().unwrap_or(swarm_program("swarm-agent"));
        let wanted = wanted.canonicalize()?;
        assert_eq!(program_of(supervisor), Some(wanted.clone()));
        until("another agent of the new program", || {
            agent_of(supervisor)
                .filter(|pid| *pid != before && program_of(*pid).as_ref() == Some(&wanted))
        })
        .with_context(|| here.log())?;
        let now = here.until_runs("counter", "1.0.0")?;
        assert_eq!((now.pid, now.restarts), (row.pid, 0));
    }
    // The signal that package scripts send does the same, and the agent goes on with its work.
    let before = until("an agent", || agent_of(supervisor))?;
    process::signal(supervisor, "USR2");
    until("another agent", || {
        agent_of(supervisor).filter(|pid| *pid != before)
    })?;
    deploy.publish_sh("late", "1.0.0", "while :; do sleep 1; done\n")?;
    deploy.manifest(
        "late",
        "version = \"1.0.0\"\n[on]\nall = true\n[run]\nmode = \"daemon\"\n",
    )?;
    deploy.push()?;
    here.until_runs("late", "1.0.0")?;
    assert_eq!(here.until_runs("counter", "1.0.0")?.pid, row.pid);
    let lines = here.printed("counter")?;
    let first: usize = lines[0].parse()?;
    let wrong = lines
        .iter()
        .enumerate()
        .find(|(at, line)| **line != (first + at).to_string());
    ensure!(wrong.is_none(), "{wrong:?} of {}", lines.len());
    here.agent(&["history", "--verify"])?;
    Ok(())
}
