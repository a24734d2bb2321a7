//! "Processes" of the attacks, as published workflows on the real box: they try, it holds, the others do not notice.

use anyhow::{Context as _, Result};
use std::fs;
use swarm_manifests::status::State;
use swarm_tests::{Deploy, SwarmBox, TICKER, World, everywhere, process, until};

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

/// What a workflow should not be able to do.
struct Try {
    name: &'static str,
    command: String,
    /// What the kernel, or the program in its words, answers: one of these.
    refusals: &'static [&'static str],
    /// Root can do it outside, and it does no harm there.
    works_outside: bool,
}

/// What is hidden is not there.
const HIDDEN: &[&str] = &["No such file", "nonexistent"];
const DENIED: &[&str] = &["Permission denied"];
const READ_ONLY: &[&str] = &["Read-only file system", "Permission denied"];
const NOT_PERMITTED: &[&str] = &["Operation not permitted"];

fn tries(root: &str, supervisor: u32, victim: i32) -> Vec<Try> {
    let of = |works_outside| {
        move |name, command: String, refusals| Try {
            name,
            command,
            refusals,
            works_outside,
        }
    };
    let (both, inside) = (of(true), of(false));
    vec![
        both("shadow", "cat /etc/shadow".into(), DENIED),
        both("trust", format!("cat {root}/state/agent/trust.json"), HIDDEN),
        inside("trust-write", format!("echo x >> {root}/state/agent/trust.json"), HIDDEN),
        both("list-agent", format!("ls {root}/state/agent"), HIDDEN),
        both("journal", format!("ls {root}/state/supervisor/journal"), HIDDEN),
        both("configuration", format!("cat {root}/agent.toml"), HIDDEN),
        both("victims-secret", format!("cat {root}/state/workflows/victim/0/secret"), HIDDEN),
        inside("store-write", "echo owned >> \"$SWARM_BUNDLE/main.sh\"".into(), READ_ONLY),
        inside("store-extra", "touch \"$SWARM_BUNDLE/evil\"".into(), READ_ONLY),
        inside("etc-write", "touch /etc/evil".into(), READ_ONLY),
        inside("kill-supervisor", format!("kill -9 {supervisor}"), NOT_PERMITTED),
        inside("stop-supervisor", format!("kill -STOP {supervisor}"), NOT_PERMITTED),
        both("see-supervisor", format!("kill -0 {supervisor}"), NOT_PERMITTED),
        inside("kill-victim", format!("kill -9 {victim}"), NOT_PERMITTED),
        both("environ", format!("cat /proc/{victim}/environ"), DENIED),
        both("victims-root", format!("ls /proc/{victim}/root/"), DENIED),
        both("supervisors-files", format!("ls /proc/{supervisor}/fd"), DENIED),
        inside("memory", format!("head -c1 /proc/{supervisor}/mem"), DENIED),
        both("control", format!("ls {root}/control.sock"), HIDDEN),
        both("unshare", "unshare -Ur true".into(), NOT_PERMITTED),
        both("unshare-mount", "unshare -m true".into(), NOT_PERMITTED),
        both("unshare-network", "unshare -n true".into(), NOT_PERMITTED),
        inside("mount", "mount -t tmpfs none /mnt".into(), &["superuser", "ermission denied"]),
        both("chroot", "chroot / true".into(), NOT_PERMITTED),
        both("nice", "renice -n -20 $$ > /dev/null".into(), DENIED),
        inside("hostname", "hostname evil".into(), &["must be root", "not permitted"]),
        inside("clock", "date -s 2001-01-01".into(), NOT_PERMITTED),
        inside("device", "mknod \"$SWARM_STATE/sda\" b 8 0".into(), NOT_PERMITTED),
        inside("dmesg", "dmesg".into(), NOT_PERMITTED),
        inside("sysctl", "echo evil > /proc/sys/kernel/hostname".into(), READ_ONLY),
        inside("cgroup", "for f in $(find /sys/fs/cgroup -name cgroup.procs | head -3); do echo $$ > $f && exit 0; done; exit 1".into(), READ_ONLY),
    ]
}

/// Tries everything, and says of each how it ended.
fn spy(tries: &[Try]) -> String {
    let mut script = String::from(
        "[ \"$(id -u)\" != 0 ] || echo HAD root\ngrep -q '^NoNewPrivs:.1$' /proc/self/status || echo HAD new privileges\n",
    );
    for Try { name, command, .. } in tries {
        script.push_str(&format!(
            "if said=$( ( {command} ) 2>&1 ); then echo HAD {name}; else echo \"NOT {name}: $(echo \"$said\" | tr '\\n' ' ')\"; fi\n"
        ));
    }
    script.push_str("for fd in /proc/self/fd/*; do case ${fd##*/} in 0|1|2|3|10|255) ;; *) echo HAD fd ${fd##*/};; esac; done\necho done\nwhile :; do sleep 1; done\n");
    script
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
    let tries = tries(root, supervisor, victim_pid);
    for one in tries.iter().filter(|one| one.works_outside) {
        // What fails anyway would prove nothing.
        process::run(world.command("sh").arg("-c").arg(&one.command))
            .with_context(|| format!("{} must work for root outside the sandbox", one.name))?;
    }
    let script = spy(&tries);
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
    // Refused, and not for want of a tool.
    let printed = here.printed("spy")?;
    for Try { name, refusals, .. } in &tries {
        let told = format!("NOT {name}: ");
        let said = printed.iter().find_map(|line| line.strip_prefix(&told));
        assert!(
            said.is_some_and(|said| refusals.iter().any(|refusal| said.contains(refusal))),
            "{name} ended otherwise than by {refusals:?}: {said:?}"
        );
    }
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

#[test]
fn the_alarm_is_on_the_clock_that_runs_on_during_suspend() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("ticker", "1.0.0", TICKER)?;
    deploy.manifest(
        "ticker",
        &everywhere("1.0.0", "mode = \"daemon\"\ntime-limit = \"1h\""),
    )?;
    deploy.push()?;
    let mut here = SwarmBox::by_path(&world, &deploy)?;
    here.until_runs("ticker", "1.0.0")?;
    let pid = here.supervisor().pid();
    let alarm = until("the supervisor waiting for the limit", || {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).ok()?.flatten();
        let mut texts = descriptors.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        texts.find(|text| text.contains("clockid:") && !text.contains("it_value: (0, 0)"))
    })?;
    // 7 is CLOCK_BOOTTIME (linux/time.h): it counts while the host sleeps, and nobody can set it.
    assert!(alarm.contains("clockid: 7\n"), "{alarm}");
    Ok(())
}
