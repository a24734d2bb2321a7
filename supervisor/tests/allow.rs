//! What keeps a workflow from its start is looked at anew when somebody mended it, and whoever starts it is told.
#![allow(clippy::expect_used)]

mod common;

use common::{World, until_gone};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, os::unix::fs::PermissionsExt as _};
use swarm_manifests::{manifest::Mode, status::State};
use swarm_supervisor::protocol::{Request, Response, RunSpec};

fn start(world: &World, workflow: &str) -> (u8, String) {
    let request = Request::Start {
        workflow: workflow.into(),
        reason: None,
    };
    match world.ask(&request).pop() {
        Some(Response::Done { exit, message }) => (exit, message.unwrap_or_default()),
        Some(Response::Failed { exit, message, .. }) => (exit, message),
        other => unreachable!("{other:?}"),
    }
}

/// Something that writes to a folder of the box, which the box does not allow yet.
fn writer(world: &World) -> (RunSpec, String) {
    let folder = world.folder.path().join("out");
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("a mode");
    let folder = folder.display().to_string();
    let script = format!("echo ran >> {folder}/ran; exec sleep 4711");
    let mut spec = world.script("writer", Mode::Daemon, &script);
    spec.sandbox.write = vec![folder.clone()];
    (spec, folder)
}

#[test]
fn a_ceiling_that_was_raised_counts_when_the_configuration_is_read_again() {
    let mut world = World::new();
    let (spec, folder) = writer(&world);
    world.put_anew(&spec);
    world.reaches("writer", State::Refused);
    let (exit, message) = start(&world, "writer");
    assert!(
        exit == 1 && message.contains("[S-RUN-06]"),
        "{exit}: {message}"
    );
    fs::write(world.ceiling(), &folder).expect("a ceiling");
    kill(Pid::from_raw(world.pid()), Signal::SIGHUP).expect("a signal");
    world.reaches("writer", State::Running);
    // What runs goes on where the box allows less; it does not start again.
    fs::write(world.ceiling(), "").expect("a ceiling");
    kill(Pid::from_raw(world.pid()), Signal::SIGHUP).expect("a signal");
    let request = Request::Restart {
        workflow: "writer".into(),
        reason: None,
    };
    world.until("its restart is refused", |world| {
        matches!(
            world.ask(&request).pop(),
            Some(Response::Failed { exit: 1, .. })
        )
        .then_some(())
    });
    world.reaches("writer", State::Refused);
    assert_eq!(start(&world, "writer").0, 1);
}

#[test]
fn a_ceiling_that_was_raised_counts_for_the_next_supervisor() {
    let mut world = World::new();
    let (spec, folder) = writer(&world);
    world.put_anew(&spec);
    world.reaches("writer", State::Refused);
    world.crash();
    fs::write(world.ceiling(), &folder).expect("a ceiling");
    world.start();
    world.reaches("writer", State::Running);
}

#[test]
fn a_ceiling_that_was_lowered_counts_at_the_next_start_also_below_the_next_supervisor() {
    let mut world = World::new();
    let script = "ulimit -n; exec sleep 4711";
    world.put(&world.script("many", Mode::Daemon, script));
    let mut pid = world.reaches("many", State::Running).pid;
    let ceilings = [("open-files 64", true), ("open-files 32", false)];
    for (starts, (ceiling, next_supervisor)) in (2..).zip(ceilings) {
        fs::write(world.ceiling(), ceiling).expect("a ceiling");
        if next_supervisor {
            world.crash();
            world.start();
            assert_eq!(world.reaches("many", State::Running).pid, pid, "it goes on");
        } else {
            kill(Pid::from_raw(world.pid()), Signal::SIGHUP).expect("a signal");
        }
        // Requests are heard after the signal.
        world.ask(&Request::List { full: false });
        kill(Pid::from_raw(pid.expect("a process")), Signal::SIGKILL).expect("a signal");
        let limits = world.until("it runs again", |world| {
            let log = world.log("many");
            (log.len() == starts).then_some(log)
        });
        let wanted = ceiling.strip_prefix("open-files ");
        assert_eq!(limits.last().map(String::as_str), wanted, "{limits:?}");
        pid = world.until("another process", |world| {
            let row = world.rows().pop()?;
            (row.pid != pid && row.state == State::Running).then_some(row.pid)
        });
    }
}

#[test]
fn what_the_next_supervisor_may_not_start_it_does_not_start_once() {
    let mut world = World::new();
    let (spec, folder) = writer(&world);
    world.crash();
    fs::write(world.ceiling(), &folder).expect("a ceiling");
    world.start();
    world.put(&spec);
    let row = world.reaches("writer", State::Running);
    world.crash();
    fs::write(world.ceiling(), "").expect("a ceiling");
    // It dies while nobody is there: whoever comes finds that it is to start.
    let pid = row.pid.expect("a process");
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a signal");
    until_gone(pid);
    world.start();
    let row = world.reaches("writer", State::Refused);
    assert_eq!(row.rule.as_deref(), Some("S-RUN-06"));
    let ran = world.folder.path().join("out/ran");
    let count = || fs::read_to_string(&ran).expect("it ran").lines().count();
    assert_eq!(count(), 1, "it was started against the ceiling");
    fs::write(world.ceiling(), &folder).expect("a ceiling");
    kill(Pid::from_raw(world.pid()), Signal::SIGHUP).expect("a signal");
    world.reaches("writer", State::Running);
}

#[test]
fn a_program_that_is_not_there_blocks_until_it_is() {
    let mut world = World::new();
    let program = world.state().join("workflows/late/0/engine");
    let mut spec = world.script("late", Mode::Daemon, "true");
    spec.command = vec!["{state}/engine".into(), "4711".into()];
    world.put_anew(&spec);
    world.reaches("late", State::Blocked);
    let (exit, message) = start(&world, "late");
    assert!(
        exit == 1 && message.contains("[S-RUN-08]"),
        "{exit}: {message}"
    );
    fs::copy("/bin/sleep", &program).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a mode");
    world.reaches("late", State::Running);
    assert_eq!(start(&world, "late"), (0, "late: started".into()));
}

#[test]
fn a_user_and_a_folder_to_work_in_that_are_not_there_block() {
    let mut world = World::new();
    let mut spec = world.script("nobody", Mode::Daemon, "exec sleep 4711");
    spec.user = Some("no-such-user".into());
    world.put_anew(&spec);
    let row = world.reaches("nobody", State::Blocked);
    assert_eq!(row.rule.as_deref(), Some("S-RUN-07"));
    let mut spec = world.script("nowhere", Mode::Once, "true");
    spec.workdir = swarm_manifests::bundle::Workdir::Bundle("nope".into());
    world.put_anew(&spec);
    let row = world.reaches("nowhere", State::Blocked);
    assert_eq!(row.rule.as_deref(), Some("S-RUN-08"));
}
