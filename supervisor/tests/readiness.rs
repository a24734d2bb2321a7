//! Installs, readiness and health of real processes.
#![allow(clippy::expect_used)]

mod common;

use common::World;
use std::time::Duration;
use swarm_manifests::{
    bundle::{Health, Install, Probe, Ready},
    manifest::Mode,
    status::State,
};
use swarm_supervisor::protocol::{InstallSpec, Request, RunSpec};

const FOREVER: &str = "while :; do sleep 1; done";

fn with_install(mut spec: RunSpec, command: &[&str]) -> RunSpec {
    let install = Install {
        command: command.iter().map(ToString::to_string).collect(),
        network: false,
    };
    spec.install = Some(InstallSpec {
        install,
        engine: "sh".into(),
        engine_version: "1".into(),
    });
    spec
}

#[test]
fn an_install_runs_once_in_a_copy_that_is_then_read_only() {
    let mut world = World::new();
    let script = "cat $SWARM_BUNDLE/made; echo x > $SWARM_BUNDLE/made && echo written; while :; do sleep 1; done";
    let spec = with_install(
        world.script("built", Mode::Daemon, script),
        &["/bin/sh", "-c", "echo installing; echo $$ > made"],
    );
    world.put(&spec);
    world.reaches("built", State::Running);
    let first = world.until("it printed", |world| {
        world
            .log("built")
            .into_iter()
            .find(|line| line.parse::<u32>().is_ok())
    });
    assert!(!world.log("built").contains(&"written".to_owned()));
    assert!(world.log("built").contains(&"installing".to_owned()));
    world.ask(&Request::Restart {
        workflow: "built".into(),
        reason: None,
    });
    let numbers = world.until("it printed again", |world| {
        let numbers: Vec<_> = world
            .log("built")
            .into_iter()
            .filter(|line| line.parse::<u32>().is_ok())
            .collect();
        (numbers.len() >= 2).then_some(numbers)
    });
    assert_eq!(numbers, [first.clone(), first]);
    assert!(!spec.store.join("tree/made").exists());
}

#[test]
fn a_failed_install_keeps_the_old_version() {
    let mut world = World::new();
    let old = world.script("web", Mode::Daemon, FOREVER);
    let new = with_install(
        world.script("web", Mode::Daemon, "echo new; while :; do sleep 1; done"),
        &["/bin/false"],
    );
    world.put(&old);
    let pid = world.reaches("web", State::Running).pid;
    world.put(&new);
    let row = world.until("the install failed", |world| {
        world
            .rows()
            .into_iter()
            .find(|row| row.next.as_ref().is_some_and(|n| n.state == State::Failed))
    });
    assert_eq!((row.pid, row.state), (pid, State::Running));
    assert_eq!(
        row.next.and_then(|next| next.rule).as_deref(),
        Some("S-RUN-09")
    );
}

#[test]
fn a_line_of_the_log_makes_it_ready() {
    let mut world = World::new();
    let mut spec = world.script(
        "web",
        Mode::Daemon,
        "echo warming; sleep 0.2; echo now serving; while :; do sleep 1; done",
    );
    spec.ready = Some(Ready {
        probe: Probe::Log("serving".into()),
        timeout: Duration::from_secs(20),
    });
    world.put(&spec);
    world.reaches("web", State::Ready);
    assert_eq!(world.log("web"), ["warming", "now serving"]);
}

#[test]
fn a_line_that_is_printed_at_once_is_not_missed() {
    let mut world = World::new();
    let mut spec = world.script("web", Mode::Daemon, &format!("echo serving; {FOREVER}"));
    spec.instances = 40;
    spec.ready = Some(Ready {
        probe: Probe::Log("serving".into()),
        timeout: Duration::from_secs(600),
    });
    world.put(&spec);
    world.until("each of them is ready", |world| {
        let rows = world.rows();
        let ready = rows.iter().filter(|row| row.state == State::Ready).count();
        (ready == 40).then_some(())
    });
}

#[test]
fn a_line_that_matches_makes_it_ready() {
    let mut world = World::new();
    let mut spec = world.script(
        "web",
        Mode::Daemon,
        "echo port unknown; touch $SWARM_STATE/up; until test -e $SWARM_STATE/go; do sleep 0.02; done; echo port 8080; while :; do sleep 1; done",
    );
    spec.ready = Some(Ready {
        probe: Probe::LogRegex("^port [0-9]+$".into()),
        timeout: Duration::from_secs(20),
    });
    world.put(&spec);
    world.until("it printed something else", |world| {
        (world.log("web").len() == 1).then_some(())
    });
    world.reaches("web", State::Starting);
    std::fs::write(world.state().join("workflows/web/0/go"), "").expect("a file");
    world.reaches("web", State::Ready);
}

#[test]
fn a_command_makes_it_ready_and_its_failures_restart_it() {
    let mut world = World::new();
    let mut spec = world.script(
        "web",
        Mode::Daemon,
        "touch $SWARM_STATE/up; while :; do sleep 1; done",
    );
    let probe = Probe::Exec(vec![
        "/bin/sh".into(),
        "-c".into(),
        "test -e {state}/up".into(),
    ]);
    spec.ready = Some(Ready {
        probe: probe.clone(),
        timeout: Duration::from_secs(20),
    });
    spec.health = Some(Health {
        probe,
        every: Duration::from_millis(100),
        failures: 2,
    });
    world.put(&spec);
    let pid = world.reaches("web", State::Ready).pid;
    std::fs::remove_file(world.state().join("workflows/web/0/up")).expect("its file");
    world.until("it is restarted", |world| {
        world
            .rows()
            .into_iter()
            .find(|row| row.state == State::Ready && row.pid != pid)
    });
}

#[test]
fn what_never_gets_ready_is_stopped_and_says_so() {
    let mut world = World::new();
    let mut spec = world.script("web", Mode::Once, FOREVER);
    spec.ready = Some(Ready {
        probe: Probe::Tcp(1),
        timeout: Duration::from_millis(300),
    });
    world.put(&spec);
    assert_eq!(
        world.reaches("web", State::Failed).rule.as_deref(),
        Some("S-RUN-10")
    );
}

#[test]
fn the_stop_command_is_tried_before_the_signal() {
    let mut world = World::new();
    let mut spec = world.script(
        "app",
        Mode::Daemon,
        "trap '' TERM; while ! test -e $SWARM_STATE/stop; do sleep 0.05; done; echo bye",
    );
    spec.stop.command = Some(vec![
        "/bin/sh".into(),
        "-c".into(),
        "touch $SWARM_STATE/stop".into(),
    ]);
    spec.stop.grace = Duration::from_secs(20);
    world.put(&spec);
    world.reaches("app", State::Running);
    world.ask(&Request::Kill {
        workflow: "app".into(),
        reason: None,
        hold: false,
    });
    assert_eq!(world.log("app"), ["bye"]);
}

#[test]
fn the_stop_command_is_tried_before_the_signal_at_our_own_end_too() {
    let mut world = World::new();
    let stops = |mut spec: RunSpec, command: &str| {
        spec.stop.command = Some(vec!["/bin/sh".into(), "-c".into(), command.into()]);
        spec.stop.grace = Duration::from_secs(600);
        spec
    };
    let good = world.script(
        "good",
        Mode::Daemon,
        "trap '' TERM; while ! test -e $SWARM_STATE/stop; do sleep 0.05; done; echo bye",
    );
    let broken = world.script(
        "broken",
        Mode::Daemon,
        "trap 'echo signalled; exit' TERM; while :; do sleep 0.05; done",
    );
    world.put(&stops(good, "touch $SWARM_STATE/stop"));
    world.put(&stops(broken, "exit 1"));
    for workflow in ["good", "broken"] {
        world.reaches(workflow, State::Running);
    }
    world.end();
    let log = |workflow: &str| {
        let path = world.state().join("supervisor/logs").join(workflow);
        std::fs::read_to_string(path.join("0.log")).expect("a log")
    };
    assert!(log("good").contains("bye"), "{}", log("good"));
    assert!(log("broken").contains("signalled"), "{}", log("broken"));
}

#[test]
fn a_version_that_does_not_get_ready_gives_way_to_the_last_good_one_over_a_crash_of_ours() {
    let mut world = World::new();
    let asks = |mut spec: RunSpec, version: &str| {
        spec.version = version.into();
        spec.ready = Some(Ready {
            probe: Probe::Log("serving".into()),
            timeout: Duration::from_secs(600),
        });
        spec
    };
    let good = format!("echo serving; {FOREVER}");
    let old = asks(world.script("web", Mode::Daemon, &good), "1.0.0");
    let new = asks(
        world.script("web", Mode::Daemon, "echo broken >&2; exit 3"),
        "1.1.0",
    );
    world.put(&old);
    world.reaches("web", State::Ready);
    world.put(&new);
    let returned = |world: &mut World| {
        world.rows().into_iter().find(|row| {
            row.state == State::Ready && row.next.as_ref().is_some_and(|n| n.state == State::Failed)
        })
    };
    let row = world.until("the good one is back", returned);
    let next = row.next.expect("what is held");
    assert_eq!(row.version.as_deref(), Some("1.0.0"));
    assert_eq!(
        (next.version.as_deref(), next.rule.as_deref()),
        (Some("1.1.0"), Some("S-RUN-10"))
    );
    assert!(
        next.reason.contains("exited with code 3"),
        "{}",
        next.reason
    );
    world.crash();
    world.start();
    world.put(&new);
    let again = world.until("it is still held", returned);
    assert_eq!(again.pid, row.pid);
    let broken = world.log("web").iter().filter(|l| *l == "broken").count();
    assert_eq!(broken, 5, "five attempts, and none since");
}

#[test]
fn a_workflow_of_which_no_version_was_ever_ready_is_failed() {
    let mut world = World::new();
    let mut spec = world.script("web", Mode::Daemon, "echo broken; exit 3");
    spec.ready = Some(Ready {
        probe: Probe::Log("serving".into()),
        timeout: Duration::from_secs(20),
    });
    world.put(&spec);
    let row = world.reaches("web", State::Failed);
    assert_eq!(row.rule.as_deref(), Some("S-RUN-10"));
    assert_eq!(world.log("web"), ["broken"; 5]);
}
