//! Real processes under the real supervisor: each mode, kills, crashes.
#![allow(clippy::expect_used)]

mod common;

use common::{World, lives};
use swarm_manifests::{
    manifest::Mode,
    status::{LastExit, State},
};
use swarm_supervisor::protocol::{FromAgent, Origin, Request, Response};

fn kill(workflow: &str) -> Request {
    Request::Kill {
        workflow: workflow.into(),
        reason: Some("test".into()),
        hold: false,
    }
}

fn start(workflow: &str) -> Request {
    Request::Start {
        workflow: workflow.into(),
        reason: None,
    }
}

#[test]
fn a_once_runs_once_and_is_finished_over_a_restart_of_the_supervisor() {
    let mut world = World::new();
    let spec = world.script(
        "ramp",
        Mode::Once,
        "echo hello; echo $SWARM_WORKFLOW $SWARM_INSTANCE $SWARM_VERSION >&2",
    );
    world.put(&spec);
    let row = world.reaches("ramp", State::Finished);
    assert_eq!(row.last_exit, Some(LastExit::Code { code: 0 }));
    assert_eq!(world.log("ramp"), ["hello", "ramp 0 1.0.0"]);
    world.end();
    world.start();
    world.put(&spec);
    assert_eq!(world.rows()[0].state, State::Finished);
    assert_eq!(world.log("ramp"), ["hello", "ramp 0 1.0.0"]);
    world.ask(&start("ramp"));
    world.until("it ran again", |world| {
        (world.log("ramp").len() == 4).then_some(())
    });
}

#[test]
fn a_folder_to_work_in_below_its_state_is_made_for_it() {
    let mut world = World::new();
    let mut spec = world.script("ramp", Mode::Once, "pwd; touch mine && echo written");
    spec.workdir = swarm_manifests::bundle::Workdir::State("a/b".into());
    world.put(&spec);
    world.reaches("ramp", State::Finished);
    let folder = world.state().join("workflows/ramp/0/a/b");
    let expected = [folder.display().to_string(), "written".into()];
    assert_eq!(world.log("ramp"), expected);
}

#[test]
fn a_once_that_fails_is_failed_and_says_how() {
    let mut world = World::new();
    let spec = world.script("ramp", Mode::Once, "exit 3");
    world.put(&spec);
    let row = world.reaches("ramp", State::Failed);
    assert_eq!(row.last_exit, Some(LastExit::Code { code: 3 }));
    assert_eq!(row.by.as_deref(), Some("alice"));
}

#[test]
fn kill_ends_the_whole_tree_and_lasts_until_start() {
    let mut world = World::new();
    let script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > $SWARM_STATE/child; while :; do sleep 1; done' & while :; do sleep 1; done";
    let spec = world.script("stubborn", Mode::Daemon, script);
    world.put(&spec);
    let pid = world
        .reaches("stubborn", State::Running)
        .pid
        .expect("a pid");
    let file = world.state().join("workflows/stubborn/0/child");
    let child = world.until("its child lives", |_| common::number(&file));
    assert!(matches!(
        world.ask(&kill("stubborn")).last(),
        Some(Response::Done { exit: 0, .. })
    ));
    assert!(!lives(pid) && !lives(child));
    world.end();
    world.start();
    world.put(&spec);
    assert_eq!(world.rows()[0].state, State::Killed);
    world.ask(&start("stubborn"));
    world.reaches("stubborn", State::Running);
}

#[test]
fn swarmlets_survive_kill_9_of_the_supervisor_with_pid_and_output() {
    let mut world = World::new();
    let spec = world.script(
        "clock",
        Mode::Daemon,
        "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.01; done",
    );
    world.put(&spec);
    let pid = world.reaches("clock", State::Running).pid;
    world.until("it prints", |world| {
        (!world.log("clock").is_empty()).then_some(())
    });
    for _ in 0..3 {
        world.crash();
        assert!(lives(pid.expect("a pid")));
        world.start();
        assert_eq!(world.reaches("clock", State::Running).pid, pid);
    }
    let before = world.log("clock").len();
    let lines = world.until("it prints on", |world| {
        Some(world.log("clock")).filter(|lines| lines.len() > before + 20)
    });
    let expected: Vec<_> = (1..=lines.len()).map(|n| format!("line {n}")).collect();
    assert_eq!(lines, expected);
    world.ask(&kill("clock"));
    assert!(!lives(pid.expect("a pid")));
}

#[test]
fn what_ended_while_nobody_looked_is_noticed() {
    let mut world = World::new();
    let once = world.script("once", Mode::Once, "while :; do sleep 1; done");
    let daemon = world.script("daemon", Mode::Daemon, "while :; do sleep 1; done");
    world.put(&once);
    world.put(&daemon);
    let first = world.reaches("once", State::Running).pid.expect("a pid");
    let second = world.reaches("daemon", State::Running).pid.expect("a pid");
    world.crash();
    for pid in [first, second] {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        )
        .expect("kill");
    }
    while lives(first) || lives(second) {
        std::thread::yield_now();
    }
    world.start();
    let row = world.until("the once is over", |world| {
        world
            .rows()
            .into_iter()
            .find(|row| row.workflow == "once" && row.pid.is_none())
    });
    assert!(
        matches!(row.state, State::Interrupted | State::Failed),
        "{row:?}"
    );
    let row = world.until("the daemon runs again", |world| {
        world
            .rows()
            .into_iter()
            .find(|row| row.workflow == "daemon" && row.pid.is_some_and(|pid| pid != second))
    });
    assert_eq!(row.restarts, 1);
}

#[test]
fn a_new_revision_replaces_the_old_one_and_removal_ends_it() {
    let mut world = World::new();
    let old = world.script("web", Mode::Daemon, "echo one; while :; do sleep 1; done");
    let mut new = world.script("web", Mode::Daemon, "echo two; while :; do sleep 1; done");
    new.version = "2.0.0".into();
    world.put(&old);
    let first = world.reaches("web", State::Running).pid.expect("a pid");
    world.put(&new);
    let row = world.until("the new one runs", |world| {
        world
            .rows()
            .into_iter()
            .find(|row| row.version.as_deref() == Some("2.0.0") && row.state == State::Running)
    });
    assert!(!lives(first));
    world.tell(&FromAgent::Remove {
        workflow: new.workflow.clone(),
        origin: Origin::default(),
        reason: "its manifest is gone".into(),
    });
    world.until("it is gone", |world| world.rows().is_empty().then_some(()));
    assert!(!lives(row.pid.expect("a pid")));
    assert!(
        world.state().join("workflows/web/0").exists(),
        "its state folder is kept"
    );
    assert!(matches!(
        world
            .ask(&Request::Purge {
                workflow: "web".into()
            })
            .last(),
        Some(Response::Done { exit: 0, .. })
    ));
    assert!(!world.state().join("workflows/web").exists());
}

#[test]
fn a_time_limit_expires_whatever_ignores_everything() {
    let mut world = World::new();
    let mut spec = world.script(
        "loop",
        Mode::Daemon,
        "trap '' TERM INT HUP; while :; do :; done",
    );
    spec.time_limit = Some(std::time::Duration::from_millis(300));
    world.put(&spec);
    let row = world.reaches("loop", State::Expired);
    assert_eq!(
        row.last_exit,
        Some(LastExit::Signal {
            signal: "SIGKILL".into()
        })
    );
}

#[test]
fn a_changed_store_is_not_started() {
    let mut world = World::new();
    let spec = world.script("ramp", Mode::Once, "echo good");
    let file = spec.store.join("tree/run.sh");
    std::fs::remove_file(&file).expect("remove");
    std::fs::write(&file, "echo evil").expect("write");
    world.put(&spec);
    let row = world.reaches("ramp", State::Blocked);
    assert_eq!(row.rule.as_deref(), Some("S-RUN-05"));
    assert!(world.log("ramp").is_empty());
}

#[test]
fn the_history_says_who_did_what_and_verifies() {
    let mut world = World::new();
    let spec = world.script("ramp", Mode::Daemon, "while :; do sleep 1; done");
    world.put(&spec);
    world.reaches("ramp", State::Running);
    world.ask(&kill("ramp"));
    let records = world.ask(&Request::History {
        workflow: Some("ramp".into()),
        verify: false,
    });
    let actions: Vec<_> = records
        .iter()
        .filter_map(|response| match response {
            Response::Record(record) => Some((
                record.action.as_str(),
                record.by.clone().unwrap_or_default(),
            )),
            _ => None,
        })
        .collect();
    let words: Vec<_> = actions.iter().map(|(action, _)| *action).collect();
    assert_eq!(words, ["exit", "stop", "kill", "start", "deploy"]);
    assert!(actions[2].1.starts_with("uid "), "{actions:?}");
    let verified = world.ask(&Request::History {
        workflow: None,
        verify: true,
    });
    assert!(
        matches!(verified.last(), Some(Response::Done { exit: 0, .. })),
        "{verified:?}"
    );
}

#[test]
fn an_unknown_workflow_is_exit_code_3_and_an_absent_agent_5() {
    let world = World::new();
    for request in [
        kill("nothing"),
        start("nothing"),
        Request::Purge {
            workflow: "../x".into(),
        },
    ] {
        assert!(
            matches!(
                world.ask(&request).last(),
                Some(Response::Failed { exit: 3, .. })
            ),
            "{request:?}"
        );
    }
    let missing =
        swarm_supervisor::client::connect(std::path::Path::new("/nonexistent/control.sock"));
    assert_eq!(missing.expect_err("nobody is there").exit(), 5);
}

#[test]
fn a_daemon_that_ends_is_started_again_and_again() {
    let mut world = World::new();
    let mut spec = world.script("loop", Mode::Daemon, "echo $$; exit 1");
    spec.restart.max_delay = std::time::Duration::ZERO;
    world.put(&spec);
    world.until("it ran five times", |world| {
        (world.log("loop").len() >= 5).then_some(())
    });
    let row = world.rows().remove(0);
    assert!(
        row.last_exit
            .is_none_or(|exit| exit == LastExit::Code { code: 1 })
    );
    world.ask(&kill("loop"));
    assert_eq!(world.rows()[0].state, State::Killed);
}
