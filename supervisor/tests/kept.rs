//! What happens while no supervisor lives is known to the next one: what programs print, and how they end.
#![allow(clippy::expect_used)]

mod common;

use common::{World, lives, until_gone};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, os::unix::fs::PermissionsExt as _};
use swarm_manifests::{
    manifest::Mode,
    status::{LastExit, State},
};

/// Waits for a word, prints so many numbered lines in pieces, and ends in its own way.
fn printer(lines: usize, code: i32) -> String {
    format!(
        "import os, sys, time\n\
         while not os.path.exists('go'): time.sleep(0.01)\n\
         text = b''.join(b'%d\\n' % n for n in range({lines}))\n\
         while text: os.write(1, text[:997]); text = text[997:]\n\
         os._exit({code})\n"
    )
}

fn put(world: &mut World, name: &str, program: &str) -> i32 {
    let mut spec = world.script(name, Mode::Once, program);
    spec.command = vec!["/usr/bin/python3".into(), "{bundle}/run.sh".into()];
    world.put(&spec);
    world.reaches(name, State::Running).pid.expect("a pid")
}

fn go(world: &World, name: &str) {
    let folder = world.state().join("workflows").join(name).join("0");
    fs::write(folder.join("go"), "").expect("a file");
}

/// From Linux 6.15 on a pidfd knows how its process ended.
fn kernel_remembers() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

/// Its lines are all there, and its exit is known.
fn expect_end(world: &mut World, name: &str, state: State, lines: usize, code: i32) {
    let row = world.reaches(name, state);
    let expected = if kernel_remembers() {
        LastExit::Code { code }
    } else {
        LastExit::Unseen { seen: false }
    };
    assert_eq!(row.last_exit, Some(expected), "{name}");
    let wanted: Vec<String> = (0..lines).map(|number| number.to_string()).collect();
    let found = world.until("its last line", |world| {
        Some(printed(world, name)).filter(|log| log.len() >= lines)
    });
    assert!(found == wanted, "{name}: {} lines of {lines}", found.len());
}

/// What is in its log, all of it.
fn printed(world: &World, name: &str) -> Vec<String> {
    let log = world
        .state()
        .join("supervisor/logs")
        .join(name)
        .join("0.log");
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(" o "));
    lines.map(|(_, text)| text.to_owned()).collect()
}

/// The keeper of a supervisor.
fn keeper_of(supervisor: i32) -> Option<i32> {
    common::child_named(supervisor, "swarm-keeper")
}

#[test]
fn who_prints_and_ends_while_no_supervisor_lives_is_heard_to_the_end() {
    let mut world = World::new();
    // Less than a pipe holds, and far more.
    let (brief, long) = (9_000, 160_000);
    let pid = put(&mut world, "brief", &printer(brief, 7));
    put(&mut world, "long", &printer(long, 8));
    world.crash();
    go(&world, "brief");
    go(&world, "long");
    until_gone(pid);
    world.start();
    expect_end(&mut world, "brief", State::Failed, brief, 7);
    expect_end(&mut world, "long", State::Failed, long, 8);
}

#[test]
fn a_keeper_that_is_killed_has_a_successor_that_keeps_the_same() {
    let mut world = World::new();
    let pid = put(&mut world, "brief", &printer(9_000, 0));
    let supervisor = world.pid();
    let first = world.until("a keeper", |_| keeper_of(supervisor));
    kill(Pid::from_raw(first), Signal::SIGKILL).expect("kill -9");
    world.until("another keeper", |_| {
        keeper_of(supervisor).filter(|pid| *pid != first)
    });
    // It is told before the supervisor does anything else.
    world.rows();
    world.crash();
    go(&world, "brief");
    until_gone(pid);
    world.start();
    let state = if kernel_remembers() {
        State::Finished
    } else {
        State::Failed
    };
    expect_end(&mut world, "brief", state, 9_000, 0);
}

#[test]
fn the_keeper_ends_with_a_supervisor_that_leaves_nothing_running() {
    let mut world = World::new();
    let supervisor = world.pid();
    let keeper = world.until("a keeper", |_| keeper_of(supervisor));
    world.end();
    assert!(!lives(keeper), "the keeper stayed");
}

#[test]
fn what_an_agent_started_ends_with_it() {
    let mut world = World::new();
    world.end();
    // The agent runs as somebody else.
    let open = world.folder.path().join("open");
    fs::create_dir(&open).expect("a folder");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("a mode");
    let said = open.join("said");
    world.start_with_agent(&format!(
        "grep ^0:: /proc/self/cgroup > {said}.group\nsetsid sleep 4711 & echo $! > {said}.new\nmv {said}.new {said}\nwhile :; do sleep 1; done",
        said = said.display()
    ));
    let orphan = world.until("its child", |_| common::number(&said));
    let group = fs::read_to_string(said.with_extension("group")).expect("its cgroup");
    assert!(group.trim_end().ends_with("/agent-0"), "{group}");
    let supervisor = world.pid();
    let agent = world.until("the agent", |_| common::child_named(supervisor, "agent.sh"));
    kill(Pid::from_raw(agent), Signal::SIGKILL).expect("kill -9");
    until_gone(orphan);
    world.until("its successor", |_| {
        common::number(&said).filter(|pid| *pid != orphan)
    });
}
