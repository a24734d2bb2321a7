//! A kernel of its own, with every cgroup v2 controller: limits, want of memory, clocks, a full disk.

use anyhow::Result;
use swarm_manifests::status::State;
use swarm_tests::{
    Deploy, World,
    boxes::{
        Vm,
        installed::{self, Installed, Machine},
        vm::Init,
    },
    until,
};

const DAEMON: &str = "[on]\nall = true\n\n[run]\nmode = \"daemon\"\n";

/// Forks without end, and outlives each refusal.
const FORKS: &str = "exec python3 -c '
import os, time
while True:
    try:
        if os.fork() == 0:
            time.sleep(1000)
    except OSError:
        time.sleep(1)
'
";

fn limited(deploy: &Deploy<'_>, name: &str, script: &str, limits: &str) -> Result<()> {
    deploy.publish_sh(name, "1.0.0", script)?;
    deploy.manifest(
        name,
        &format!("version = \"1.0.0\"\n\n{DAEMON}\n[limits]\n{limits}\n"),
    )
}

/// The folder of the workflow's tree.
fn group(vm: &Vm, workflow: &str) -> Result<String> {
    vm.sh(&format!(
        "echo /sys/fs/cgroup/swarm.slice/swarm-workflows.service/swarm-*/{workflow}.0"
    ))
}

#[test]
fn limits_are_enforced_read_back_and_survive_our_unit_killed_ten_times() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    limited(
        &deploy,
        "quiet",
        "while :; do echo tick; sleep 1; done\n",
        "memory = \"32M\"\npids = 20\ncpu = \"40%\"",
    )?;
    limited(&deploy, "busy", "while :; do :; done\n", "cpu = \"5%\"")?;
    limited(&deploy, "forks", FORKS, "pids = 6")?;
    limited(
        &deploy,
        "hungry",
        "exec python3 -c 'x = bytearray(200 << 20); input()'\n",
        "memory = \"24M\"",
    )?;
    deploy.push()?;
    let mut machine = Vm::new(|root| {
        installed::install_below(root, &world, &deploy, "")?;
        installed::enable_below(root)
    })?;
    machine.boot(Init::Systemd)?;
    let (vm, here) = (&machine, Installed { machine: &machine });

    let pid = here.until_runs("quiet")?;
    let quiet = group(vm, "quiet")?;
    let read = |file: &str| vm.sh(&format!("cat {quiet}/{file}"));
    let limits = || -> Result<[String; 3]> {
        Ok([read("memory.max")?, read("pids.max")?, read("cpu.max")?])
    };
    let expected = ["33554432", "20", "40000 100000"].map(str::to_string);
    assert_eq!(limits()?, expected);
    let why = vm.sh("swarm-agent why quiet")?;
    for said in ["memory limit 32M", "pids limit 20", "cpu limit 40%"] {
        assert!(why.contains(said), "why does not say {said}: {why}");
    }
    assert!(!why.contains("not enforced"), "{why}");

    let score = |pid: &str| vm.sh(&format!("cat /proc/{pid}/oom_score_adj"));
    assert_eq!(score(&here.supervisor()?)?, "-900");
    assert_eq!(
        score(&pid.to_string())?,
        "0",
        "the supervisor's protection was inherited"
    );

    let busy = group(vm, "busy")?;
    until("the processor's quota holding busy back", || {
        vm.sh(&format!(
            "awk '$1 == \"nr_throttled\" && $2 > 5' {busy}/cpu.stat | grep ."
        ))
        .ok()
    })?;
    let forks = group(vm, "forks")?;
    until("the kernel refusing forks", || {
        vm.sh(&format!(
            "awk '$1 == \"max\" && $2 > 0' {forks}/pids.events | grep ."
        ))
        .ok()
    })?;
    here.until_row("hungry", "killed for want of memory", |row| {
        row.reason
            .as_deref()
            .is_some_and(|reason| reason.contains("memory limit of 24M"))
    })?;

    for _ in 0..10 {
        let before = here.supervisor()?;
        vm.sh(&format!("kill -9 {before}"))?;
        here.until_restarted(&before)?;
        assert_eq!(here.until_runs("quiet")?, pid);
    }
    vm.sh("systemctl daemon-reload")?;
    assert_eq!(here.until_runs("quiet")?, pid);
    assert_eq!(limits()?, expected, "limits were lost");
    Ok(())
}

#[test]
fn clocks_that_jump_and_a_full_disk_stop_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh(
        "steady",
        "1.0.0",
        "while :; do echo tick; sleep 0.5; done\n",
    )?;
    deploy.manifest(
        "steady",
        &format!(
            "version = \"1.0.0\"\n\n{}",
            DAEMON.replace("\"daemon\"", "\"daemon\"\ntime-limit = \"20h\"")
        ),
    )?;
    deploy.push()?;
    let mut machine = Vm::new(|root| installed::install_below(root, &world, &deploy, ""))?;
    machine.boot(Init::Bare)?;
    let (vm, here) = (&machine, Installed { machine: &machine });
    let pid = here.until_runs("steady")?;
    for jump in ["+3 days", "-20 years", "+25 years"] {
        vm.sh(&format!("date -s \"$(date -d '{jump}' '+%F %T')\""))?;
        vm.sh("swarm-agent sync")?;
        assert_eq!(here.until_runs("steady")?, pid, "after a jump of {jump}");
    }
    vm.sh("dd if=/dev/zero of=/filler bs=1M 2>/dev/null || true; dd if=/dev/zero of=/filler2 bs=1k 2>/dev/null || true")?;
    vm.sh("! sh -c 'echo more >/var/lib/swarm/more' 2>/dev/null || true")?;
    // A kill has to be journalled first; that it cannot be stops neither the kill nor anything else.
    let lines = || -> Result<u64> {
        Ok(vm
            .sh("swarm-agent logs steady -n 100000 | wc -l")?
            .parse()?)
    };
    assert_eq!(here.until_runs("steady")?, pid);
    vm.sh("rm /filler /filler2")?;
    let before = lines()?;
    until("the log going on", || {
        (lines().ok()? > before).then_some(())
    })?;
    vm.sh("swarm-agent sync && swarm-agent history --verify")?;
    assert_eq!(here.until_runs("steady")?, pid);
    vm.sh("swarm-agent kill steady")?;
    here.until_row("steady", "killed", |row| row.state == State::Killed)
        .map(drop)
}
