//! Several instances of one workflow: each lives its own life.
#![allow(clippy::expect_used)]

mod common;

use common::World;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{fs, time::Duration};
use swarm_manifests::{
    manifest::{Mode, Restart},
    status::Row,
};

/// Tells who it is, and leaves a mark in its own folder.
const PROGRAM: &str =
    "echo \"I am $SWARM_INSTANCE\"; echo $$ >> $SWARM_STATE/lives; while :; do sleep 1; done";

fn rows(world: &World) -> Option<Vec<Row>> {
    let rows = world.rows();
    let all = rows.len() == 3 && rows.iter().all(|row| row.pid.is_some());
    all.then_some(rows)
}

fn lives_of(world: &World, instance: usize) -> Vec<i32> {
    let folder = world
        .state()
        .join("workflows/crew")
        .join(instance.to_string());
    let text = fs::read_to_string(folder.join("lives")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// What stands in the log of one instance.
fn said(world: &World, instance: usize) -> Vec<String> {
    let log = world
        .state()
        .join(format!("supervisor/logs/crew/{instance}.log"));
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(" o "));
    lines.map(|(_, text)| text.to_owned()).collect()
}

#[test]
fn the_death_of_one_instance_is_that_of_no_other() {
    let mut world = World::new();
    let mut spec = world.script("crew", Mode::Daemon, PROGRAM);
    spec.instances = 3;
    spec.restart = Restart {
        delay: Duration::ZERO,
        ..spec.restart
    };
    world.put(&spec);
    let before = world.until("all of them", |world| {
        let all = (0..3).all(|instance| lives_of(world, instance).len() == 1);
        rows(world).filter(|_| all)
    });
    kill(
        Pid::from_raw(before[1].pid.expect("a pid")),
        Signal::SIGKILL,
    )
    .expect("kill -9");
    let after = world.until("its successor", |world| {
        let again = lives_of(world, 1).len() == 2;
        rows(world).filter(|rows| again && rows[1].restarts == 1)
    });
    for (instance, (before, after)) in before.iter().zip(&after).enumerate() {
        let is_other = instance != 1;
        assert_eq!(before.pid == after.pid, is_other, "{after:?}");
        assert_eq!(after.restarts, u64::from(!is_other), "{after:?}");
        let lives = if is_other { 1 } else { 2 };
        assert_eq!(lives_of(&world, instance).len(), lives, "{instance}");
        let own = vec![format!("I am {instance}"); lives];
        let found = world.until("what it said", |world| {
            Some(said(world, instance)).filter(|said| said.len() >= lives)
        });
        assert_eq!(found, own, "{instance}");
    }
    // The next supervisor finds all of them again.
    let pids: Vec<_> = after.iter().map(|row| row.pid).collect();
    world.crash();
    world.start();
    let found = world.until("all of them", |world| rows(world));
    let found: Vec<_> = found.iter().map(|row| row.pid).collect();
    assert_eq!(found, pids);
}
