//! What a removed workflow leaves is kept for a while, and goes by itself.
#![allow(clippy::expect_used)]

mod common;

use common::World;
use swarm_manifests::{manifest::Mode, status::State};
use swarm_supervisor::protocol::{FromAgent, Origin};

fn remove(world: &mut World, workflow: &str) {
    world.tell(&FromAgent::Remove {
        workflow: workflow.parse().expect("a name"),
        origin: Origin::default(),
        reason: "test".into(),
    });
    let mark = world.state().join("supervisor/removed").join(workflow);
    let folder = world.state().join("workflows").join(workflow);
    world.until("its removal", |world| {
        let is_gone = world.rows().iter().all(|row| row.workflow != workflow);
        (is_gone && (mark.exists() || !folder.exists())).then_some(())
    });
}

#[test]
fn folders_of_removed_workflows_go_when_they_are_old_without_a_restart_of_the_supervisor() {
    let mut world = World::new_keeping_state(200);
    let spec = world.script("brief", Mode::Once, "echo kept > $SWARM_STATE/file");
    world.put(&spec);
    world.reaches("brief", State::Finished);
    let stays = world.script("stays", Mode::Once, "echo kept > $SWARM_STATE/file");
    world.put(&stays);
    world.reaches("stays", State::Finished);
    let folder = |world: &World, name: &str| world.state().join("workflows").join(name);
    assert!(folder(&world, "brief").join("0/file").exists());
    remove(&mut world, "brief");
    world.until("its folders purged", |world| {
        let logs = world.state().join("supervisor/logs/brief");
        (!folder(world, "brief").exists() && !logs.exists()).then_some(())
    });
    assert!(folder(&world, "stays").join("0/file").exists());
}

#[test]
fn folders_of_removed_workflows_stay_until_they_are_old() {
    let mut world = World::new();
    let spec = world.script("brief", Mode::Once, "echo kept > $SWARM_STATE/file");
    world.put(&spec);
    world.reaches("brief", State::Finished);
    remove(&mut world, "brief");
    world.end();
    world.start();
    let folder = world.state().join("workflows/brief/0/file");
    assert!(folder.exists(), "it was to be kept for a minute");
}
