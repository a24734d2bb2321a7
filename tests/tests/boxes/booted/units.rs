//! It lives well with systemd: our unit killed, restarted, hung; the box rebooted, cut off, without its map.

use anyhow::Result;
use std::collections::BTreeSet;
use swarm_manifests::status::State;
use swarm_tests::{
    Deploy, World,
    boxes::{Booted, Fleet, Installed},
    until, until_ok,
};

const COUNTER: &str = "i=0; while :; do i=$((i + 1)); echo line $i; sleep 0.05; done\n";

/// One box with two daemons, one that is done, and one that runs once and long.
struct Scene {
    world: World,
    fleet: Fleet,
}

impl Scene {
    fn new() -> Result<Self> {
        Ok(Self {
            world: World::new()?,
            fleet: Fleet::boot(1)?,
        })
    }

    fn set(&self) -> Result<Installed<'_, Booted>> {
        let deploy = Deploy::new(&self.world)?;
        for name in ["one", "two"] {
            deploy.publish_sh(name, "1.0.0", COUNTER)?;
            deploy.manifest(
                name,
                "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n",
            )?;
        }
        for (name, script) in [("done", "echo did it\n"), ("long", "exec sleep 100000\n")] {
            deploy.publish_sh(name, "1.0.0", script)?;
            deploy.manifest(
                name,
                "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"once\"\n",
            )?;
        }
        deploy.push()?;
        let here = Installed::on(&self.fleet.boxes()[0], &self.world, &deploy)?;
        here.until_row("done", "finished", |row| row.state == State::Finished)?;
        Ok(here)
    }
}

/// No line is missing, none is there twice, none is torn.
fn assert_whole(here: &Installed<'_, Booted>, workflow: &str) -> Result<()> {
    let text = here
        .machine
        .sh(&format!("swarm-agent logs {workflow} -n 100000"))?;
    let numbers: Vec<u64> = text
        .lines()
        .filter_map(|line| line.rsplit_once("line ")?.1.parse().ok())
        .collect();
    let first = *numbers.first().expect("it printed something");
    let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
    assert_eq!(
        numbers, expected,
        "lines of {workflow} are missing or twice"
    );
    Ok(())
}

#[test]
fn our_unit_killed_ten_times_comes_back_ten_times_and_workflows_keep_their_pids() -> Result<()> {
    let scene = Scene::new()?;
    let here = scene.set()?;
    let pids = [here.until_runs("one")?, here.until_runs("two")?];
    let mut supervisors = BTreeSet::new();
    for _ in 0..10 {
        let before = here.supervisor()?;
        supervisors.insert(before.clone());
        here.machine.sh(&format!("kill -9 {before}"))?;
        here.until_restarted(&before)?;
        assert_eq!([here.until_runs("one")?, here.until_runs("two")?], pids);
    }
    assert_eq!(supervisors.len(), 10);
    assert_eq!(
        here.machine.sh("systemctl show -P NRestarts swarm-agent")?,
        "10"
    );
    here.machine.sh("systemctl restart swarm-agent")?;
    assert_eq!([here.until_runs("one")?, here.until_runs("two")?], pids);
    here.machine
        .sh("systemctl daemon-reload && systemctl daemon-reexec")?;
    assert_eq!([here.until_runs("one")?, here.until_runs("two")?], pids);
    for workflow in ["one", "two"] {
        assert_whole(&here, workflow)?;
        let copies = here.machine.sh(&format!("cat /sys/fs/cgroup/swarm.slice/swarm-workflows.service/swarm-*/{workflow}.0/cgroup.procs | wc -l"))?;
        // The shell and its sleep.
        assert!(
            ["1", "2"].contains(&copies.as_str()),
            "{copies} processes of {workflow}"
        );
    }
    let row = here.until_row("done", "finished", |row| row.state == State::Finished)?;
    assert_eq!(row.restarts, 0, "what was done ran again");
    Ok(())
}

#[test]
fn workflows_live_below_a_unit_of_their_own_and_stopping_it_stops_them() -> Result<()> {
    let scene = Scene::new()?;
    let here = scene.set()?;
    let pid = here.until_runs("one")?;
    let group = here
        .machine
        .sh(&format!("sed -n s/^0:://p /proc/{pid}/cgroup"))?;
    assert!(
        group.starts_with("/swarm.slice/swarm-workflows.service/swarm-"),
        "{group}"
    );
    // Stopping the holder is how a person stops everything.
    here.machine.sh("systemctl stop swarm-workflows")?;
    assert_eq!(
        here.machine
            .sh("systemctl show -P ActiveState swarm-agent")?,
        "inactive"
    );
    here.machine.sh(&format!("! [ -e /proc/{pid} ]"))?;
    here.machine.sh("systemctl start swarm-agent")?;
    assert_ne!(here.until_runs("one")?, pid);
    Ok(())
}

#[test]
fn a_supervisor_that_hangs_is_replaced_by_systemds_watchdog() -> Result<()> {
    let scene = Scene::new()?;
    let here = scene.set()?;
    let pid = here.until_runs("one")?;
    here.machine.sh(
        "mkdir -p /etc/systemd/system/swarm-agent.service.d && \
         printf '[Service]\\nWatchdogSec=2s\\n' >/etc/systemd/system/swarm-agent.service.d/soon.conf && \
         systemctl daemon-reload && systemctl restart swarm-agent",
    )?;
    let before = here.supervisor()?;
    // Three periods in which nothing happens to workflows: the pings come by themselves.
    let pinged = "n=$(journalctl -u swarm-agent -o cat | grep -c -i watchdog || true); echo $n";
    until("three watchdog periods", || {
        let at = here
            .machine
            .sh("systemctl show -P WatchdogTimestampMonotonic swarm-agent")
            .ok()?;
        let begun = here
            .machine
            .sh("systemctl show -P ExecMainStartTimestampMonotonic swarm-agent")
            .ok()?;
        let (at, begun): (u64, u64) = (at.parse().ok()?, begun.parse().ok()?);
        (at > begun + 6_000_000).then_some(())
    })?;
    assert_eq!(here.machine.sh(pinged)?, "0");
    assert_eq!(here.supervisor()?, before);
    here.machine.sh(&format!("kill -STOP {before}"))?;
    here.until_restarted(&before)?;
    assert_eq!(here.until_runs("one")?, pid);
    assert_ne!(
        here.machine.sh(pinged)?,
        "0",
        "it was replaced, but not by the watchdog"
    );
    Ok(())
}

#[test]
fn after_a_reboot_without_network_and_repository_everything_runs_again() -> Result<()> {
    let scene = Scene::new()?;
    let here = scene.set()?;
    let (before, pid) = (here.machine.boot_id()?, here.until_runs("one")?);
    here.until_runs("long")?;
    here.machine.cable(false)?;
    here.machine.sh("mv /srv/deploy.git /srv/away")?;
    assert_eq!(here.until_runs("one")?, pid, "an outage stops nothing");
    let _ = here.machine.try_sh("systemctl reboot");
    here.machine.until_rebooted(&before)?;
    here.until_runs("one")?;
    here.until_runs("two")?;
    let row = here.until_row("done", "finished", |row| row.state == State::Finished)?;
    assert_eq!(row.restarts, 0, "what was done ran again");
    let cut_off = |what: &str| {
        here.until_row("long", what, |row| {
            row.state == State::Interrupted && row.pid.is_none() && row.restarts == 0
        })
    };
    cut_off("interrupted by the reboot")?;
    here.machine.sh("swarm-agent restart long")?;
    here.until_runs("long")?;
    // The machine's power is cut: nobody is told anything.
    let before = here.machine.boot_id()?;
    here.machine.power_off(false)?;
    here.machine.power_on()?;
    here.machine.until_rebooted(&before)?;
    here.until_runs("one")?;
    cut_off("interrupted by the power cut")?;
    here.machine.sh("mv /srv/away /srv/deploy.git")?;
    until_ok("a sync, now that the repository is back", || {
        here.machine.sh("swarm-agent sync")
    })?;
    here.machine.sh("swarm-agent history --verify")?;
    Ok(())
}

#[test]
fn a_limit_without_a_controller_is_said_not_to_be_enforced() -> Result<()> {
    let scene = Scene::new()?;
    let controllers = scene.fleet.boxes()[0].sh("cat /sys/fs/cgroup/cgroup.controllers")?;
    let deploy = Deploy::new(&scene.world)?;
    deploy.publish_sh("one", "1.0.0", COUNTER)?;
    deploy.manifest("one", "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n\n[limits]\ncpu = \"50%\"\n")?;
    deploy.push()?;
    let here = Installed::on(&scene.fleet.boxes()[0], &scene.world, &deploy)?;
    here.until_runs("one")?;
    let why = here.machine.sh("swarm-agent why one")?;
    let missing = why.contains("cpu limit 50% not enforced");
    assert_eq!(
        missing,
        !controllers.contains("cpu"),
        "controllers: {controllers:?}\n{why}"
    );
    Ok(())
}
