//! "Processes" of the attacks, as published workflows on the real box: they try, it holds, the others do not notice.

use anyhow::Result;
use std::fs;
use swarm_manifests::status::State;
use swarm_tests::{Deploy, SwarmBox, TICKER, World, process, until};

fn manifest(mode: &str) -> String {
    format!("version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"{mode}\"\n")
}

fn publish(deploy: &Deploy<'_>, name: &str, mode: &str, script: &str) -> Result<()> {
    deploy.publish_sh(name, "1.0.0", script)?;
    deploy.manifest(name, &manifest(mode))
}

fn start<'a>(world: &'a World, deploy: &Deploy<'_>) -> Result<SwarmBox<'a>> {
    deploy.push()?;
    SwarmBox::by_path(world, deploy)
}

/// CPU time of a process in clock ticks.
fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let field = |at: usize| {
        after
            .split(' ')
            .nth(at)
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap_or_default()
    };
    field(11) + field(12)
}

#[test]
fn a_curious_workflow_gets_at_nothing_of_ours_and_of_others() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    publish(
        &deploy,
        "victim",
        "daemon",
        "echo precious > \"$SWARM_STATE/secret\"; while :; do sleep 1; done\n",
    )?;
    let mut here = start(&world, &deploy)?;
    let victim = here.until_runs("victim", "1.0.0")?;
    let supervisor = here.supervisor().pid();
    let root = here.path("");
    let root = root.display().to_string();
    let root = root.trim_end_matches('/');
    let victim_pid = victim.pid.unwrap_or_default();
    // Each line: a name, and a command that must not succeed.
    let tries = [
        ("shadow", "cat /etc/shadow".to_string()),
        ("trust", format!("cat {root}/state/agent/trust.json")),
        ("trust-write", format!("echo x >> {root}/state/agent/trust.json")),
        ("list-agent", format!("ls {root}/state/agent")),
        ("journal", format!("cat {root}/state/journal* || cat {root}/state/*/journal*")),
        ("configuration", format!("cat {root}/agent.toml")),
        ("victims-secret", format!("[ -n \"$(find {root}/state -name secret)\" ]")),
        ("store-write", "echo owned >> \"$SWARM_BUNDLE/main.sh\"".to_string()),
        ("store-extra", "touch \"$SWARM_BUNDLE/evil\"".to_string()),
        ("etc-write", "touch /etc/evil".to_string()),
        ("kill-supervisor", format!("kill -9 {supervisor}")),
        ("stop-supervisor", format!("kill -STOP {supervisor}")),
        ("kill-victim", format!("kill -9 {victim_pid}")),
        ("environ", format!("cat /proc/{victim_pid}/environ")),
        ("memory", format!("head -c1 /proc/{supervisor}/mem")),
        ("victims-root", format!("ls /proc/{victim_pid}/root/")),
        ("supervisors-files", format!("ls /proc/{supervisor}/fd")),
        ("control", format!("curl -sf --max-time 3 --unix-socket {root}/control.sock http://x/ -o /dev/null || [ $? = 52 -o $? = 1 ]")),
        ("unshare", "unshare -Ur true".to_string()),
        ("unshare-mount", "unshare -m true".to_string()),
        ("mount", "mount -t tmpfs none /mnt".to_string()),
        ("chroot", "chroot / true".to_string()),
        ("nice", "nice -n -10 true 2>&1 | grep -q . && false".to_string()),
        ("sudo", "sudo -n true".to_string()),
        ("su", "su -c true < /dev/null".to_string()),
        ("hostname", "hostname evil".to_string()),
        ("clock", "date -s 2001-01-01".to_string()),
        ("device", "mknod \"$SWARM_STATE/sda\" b 8 0".to_string()),
        ("dmesg", "dmesg".to_string()),
        ("sysctl", "echo 1 > /proc/sys/kernel/sysrq".to_string()),
        ("cgroup", "for f in $(find /sys/fs/cgroup -name cgroup.procs | head -3); do echo $$ > $f && exit 0; done; exit 1".to_string()),
    ];
    let mut script = String::from(
        "cp /bin/sh \"$SWARM_STATE/sh\" && chmod 6755 \"$SWARM_STATE/sh\"; [ \"$(\"$SWARM_STATE/sh\" -pc 'id -u')\" = \"$(id -u)\" ] || echo HAD setuid\n[ \"$(id -u)\" != 0 ] || echo HAD root\n",
    );
    for (name, command) in &tries {
        script.push_str(&format!(
            "if ( {command} ) > /dev/null 2>&1; then echo HAD {name}; fi\n"
        ));
    }
    script.push_str("for fd in /proc/self/fd/*; do case ${fd##*/} in 0|1|2|3|10|255) ;; *) echo HAD fd ${fd##*/};; esac; done\necho done\nwhile :; do sleep 1; done\n");
    publish(&deploy, "spy", "daemon", &script)?;
    deploy.push()?;
    here.until_runs("spy", "1.0.0")?;
    here.until_printed("spy", "done")?;
    let had: Vec<_> = here
        .printed("spy")?
        .into_iter()
        .filter(|line| line.starts_with("HAD"))
        .collect();
    assert!(had.is_empty(), "the spy got at {had:?}");
    assert!(here.supervisor().is_alive());
    assert_eq!(here.until_runs("victim", "1.0.0")?.pid, victim.pid);
    assert!(
        here.row("spy")?.is_some(),
        "the control socket still answers"
    );
    here.assert_no_panic();
    Ok(())
}

#[test]
fn bombs_floods_and_loops_are_held_and_nothing_is_left_of_them() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    publish(&deploy, "ticker", "daemon", TICKER)?;
    let folder = deploy.source(
        "bomb",
        "1.0.0",
        "engine = \"sh\"\nentry = \"main.sh\"\n\n[limits]\npids = 32\n\n[stop]\ngrace = \"1s\"\n",
        &[(
            "main.sh",
            "trap '' TERM\necho begun\nf() { f | f & }\nf\nwhile :; do :; done\n",
        )],
    )?;
    deploy.pack(&["publish", &folder])?;
    deploy.manifest("bomb", &manifest("daemon"))?;
    publish(
        &deploy,
        "flood",
        "daemon",
        "yes 0123456789012345678901234567890123456789012345678901234567890123\n",
    )?;
    publish(&deploy, "flash", "daemon", "exit 1\n")?;
    publish(
        &deploy,
        "runaway",
        "daemon",
        "cp /bin/sleep \"$SWARM_STATE/swarm-runaway\"\n( setsid sh -c 'trap \"\" TERM HUP; \"$SWARM_STATE/swarm-runaway\" 4242 & \"$SWARM_STATE/swarm-runaway\" 4243' & ) &\nsleep 0.5; echo begun; while :; do sleep 1; done\n",
    )?;
    let mut here = start(&world, &deploy)?;
    let ticker = here.until_runs("ticker", "1.0.0")?;
    for name in ["bomb", "runaway"] {
        here.until_printed(name, "begun")?;
    }
    here.until_row("flash", "in backoff", |row| {
        row.state == State::Backoff && row.restarts >= 3
    })?;
    // The others still answer and are still heard.
    let seen = here.printed("ticker")?.len();
    until("the ticker being heard beside the flood", || {
        (here.printed("ticker").ok()?.len() > seen).then_some(())
    })?;
    let log = process::run(
        std::process::Command::new("du")
            .args(["-sm", "--exclude=mirror"])
            .arg(here.path("state")),
    )?;
    let megabytes: u64 = log.split_whitespace().next().unwrap_or_default().parse()?;
    assert!(megabytes < 200, "the flood wrote {megabytes} MB");
    for name in ["flood", "bomb", "runaway", "flash"] {
        here.agent(&["kill", name])?;
    }
    // Only ours: the same test may run elsewhere on this machine.
    let ours = format!("{}.*swarm-runaway", here.path("state").display());
    let left = process::output(world.command("pgrep").args(["-af", "--", &ours]))?;
    assert!(
        left.stdout.is_empty(),
        "left: {}",
        String::from_utf8_lossy(&left.stdout)
    );
    assert_eq!(here.until_runs("ticker", "1.0.0")?.pid, ticker.pid);
    // Once they are gone, nobody is busy with them: from some moment on, five lines of the ticker cost next to nothing.
    let supervisor = here.supervisor().pid();
    let log = here.path("state/supervisor/logs/ticker/0.log");
    let lines = || fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let mut from = (lines(), ticks(supervisor));
    until("the supervisor at rest", || {
        let now = (lines(), ticks(supervisor));
        if now.0 < from.0 + 5 {
            return None;
        }
        let spent = now.1 - from.1;
        from = now;
        (spent <= 5).then_some(())
    })?;
    here.assert_no_panic();
    Ok(())
}

#[test]
fn what_exits_at_once_for_ever_is_restarted_ever_more_slowly() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    publish(&deploy, "flash", "daemon", "exit 1\n")?;
    let here = start(&world, &deploy)?;
    let row = here.until_row("flash", "waiting", |row| {
        row.state == State::Backoff && row.restarts >= 4
    })?;
    assert!(
        row.reason.is_some_and(|reason| reason.contains("exit")),
        "no reason"
    );
    here.assert_no_panic();
    Ok(())
}

#[test]
fn a_foreign_process_of_the_same_name_is_never_touched() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    publish(&deploy, "namesake", "daemon", "exec sleep 4244\n")?;
    let here = start(&world, &deploy)?;
    here.until_runs("namesake", "1.0.0")?;
    let mut foreign = process::Running::start(
        "foreign",
        world.command("sleep").arg("4244"),
        &world.path("logs/foreign"),
    )?;
    here.agent(&["kill", "namesake"])?;
    here.agent(&["start", "namesake"])?;
    here.until_runs("namesake", "1.0.0")?;
    here.agent(&["kill", "namesake"])?;
    assert!(foreign.is_alive(), "a foreign process was ended");
    foreign.kill();
    here.assert_no_panic();
    Ok(())
}
