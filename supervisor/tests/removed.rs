//! What a removed workflow leaves is kept for a while, and goes by itself.
#![allow(clippy::expect_used)]

mod common;

use common::World;
use swarm_manifests::{id::Digest, manifest::Mode, status::State};
use swarm_supervisor::protocol::{FromAgent, Origin, Request, RunSpec};

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

fn kill(workflow: &str, hold: bool) -> Request {
    Request::Kill {
        workflow: workflow.into(),
        reason: Some("test".into()),
        hold,
    }
}

/// The same with another revision.
fn newer(spec: &RunSpec) -> RunSpec {
    RunSpec {
        revision: Digest::of(b"newer"),
        ..spec.clone()
    }
}

/// As a change of `[on]` away and back does it: the same revision, removed and put again.
fn away_and_back(world: &mut World, spec: &RunSpec) {
    remove(world, spec.workflow.as_str());
    world.put_anew(spec);
}

#[test]
fn what_was_over_runs_again_by_nothing_but_an_order_or_a_new_revision() {
    let mut world = World::new();
    let done = world.script("done", Mode::Once, "echo ran");
    world.put(&done);
    world.reaches("done", State::Finished);
    let bad = world.script("bad", Mode::Once, "echo ran; exit 3");
    world.put(&bad);
    world.reaches("bad", State::Failed);
    for crashes in [false, true] {
        remove(&mut world, "done");
        remove(&mut world, "bad");
        if crashes {
            world.crash();
            world.start();
        }
        world.put_anew(&done);
        world.put_anew(&bad);
        let row = world.reaches("bad", State::Failed);
        assert_eq!(row.reason.as_deref(), Some("exited with code 3"));
        world.reaches("done", State::Finished);
        assert_eq!(world.log("done"), ["ran"]);
        assert_eq!(world.log("bad"), ["ran"]);
    }
    let start = Request::Start {
        workflow: "done".into(),
        reason: None,
    };
    world.ask(&start);
    world.until("it ran again", |world| {
        (world.log("done").len() == 2).then_some(())
    });
    world.reaches("done", State::Finished);
    away_and_back(&mut world, &newer(&done));
    world.until("the new revision ran", |world| {
        (world.log("done").len() == 3).then_some(())
    });
}

#[test]
fn a_removal_lifts_no_kill_and_a_new_revision_lifts_no_hold() {
    let mut world = World::new();
    let tick = world.script("tick", Mode::Daemon, "echo ran; exec sleep 4711");
    let held = world.script("held", Mode::Daemon, "echo ran; exec sleep 4711 # held");
    for spec in [&tick, &held] {
        world.put(spec);
        world.reaches(spec.workflow.as_str(), State::Running);
    }
    world.ask(&kill("tick", false));
    world.ask(&kill("held", true));
    world.reaches("tick", State::Killed);
    world.reaches("held", State::Killed);
    remove(&mut world, "tick");
    remove(&mut world, "held");
    world.crash();
    world.start();
    world.put_anew(&tick);
    let row = world.reaches("tick", State::Killed);
    let reason = row.reason.unwrap_or_default();
    assert!(
        reason.contains("killed by") && reason.ends_with("test"),
        "{reason}"
    );
    world.put_anew(&newer(&held));
    world.reaches("held", State::Killed);
    // It is saved with it again.
    world.crash();
    world.start();
    world.reaches("tick", State::Killed);
    world.reaches("held", State::Killed);
    assert_eq!(world.log("tick").len() + world.log("held").len(), 2);
    away_and_back(&mut world, &newer(&tick));
    world.reaches("tick", State::Running);
}

/// Waits until nothing of it is listed, and nothing of it runs.
fn until_unlisted(world: &mut World, workflow: &str) {
    world.until("it is not listed", |world| {
        let is_gone = world.rows().iter().all(|row| row.workflow != workflow);
        is_gone.then_some(())
    });
}

#[test]
fn a_removal_on_a_full_disk_loses_no_kill() {
    let mut world = World::new();
    let tick = world.script("tick", Mode::Daemon, "echo ran; exec sleep 4711");
    world.put(&tick);
    world.reaches("tick", State::Running);
    world.ask(&kill("tick", true));
    // Whoever writes there finds no space left on the device.
    let marks = world.state().join("supervisor/removed");
    std::fs::create_dir_all(&marks).expect("a folder");
    let full = marks.join(".new");
    for crashes in [false, true] {
        std::os::unix::fs::symlink("/dev/full", &full).expect("a link");
        world.tell(&FromAgent::Remove {
            workflow: tick.workflow.clone(),
            origin: Origin::default(),
            reason: "test".into(),
        });
        until_unlisted(&mut world, "tick");
        if crashes {
            // What could not be written down did not happen.
            world.crash();
            world.start();
            world.reaches("tick", State::Killed);
        }
        assert!(!marks.join("tick").exists());
        world.put_anew(&tick);
        world.reaches("tick", State::Killed);
        std::fs::remove_file(&full).expect("it was there");
    }
    // When there is room again it is noted after all, by the next thing that happens.
    std::os::unix::fs::symlink("/dev/full", &full).expect("a link");
    world.tell(&FromAgent::Remove {
        workflow: tick.workflow.clone(),
        origin: Origin::default(),
        reason: "test".into(),
    });
    until_unlisted(&mut world, "tick");
    let saved = world.state().join("supervisor/workflows/tick.state");
    assert!(saved.exists(), "it is all that is known of the kill");
    std::fs::remove_file(&full).expect("it was there");
    world.until("it is noted", |world| {
        world.rows();
        (marks.join("tick").exists() && !saved.exists()).then_some(())
    });
    world.put_anew(&tick);
    world.reaches("tick", State::Killed);
    assert_eq!(world.log("tick"), ["ran"]);
}

#[test]
fn what_is_purged_is_new_when_it_comes_back() {
    let mut world = World::new();
    let spec = world.script("brief", Mode::Once, "echo ran");
    world.put(&spec);
    world.reaches("brief", State::Finished);
    remove(&mut world, "brief");
    world.ask(&Request::Purge {
        workflow: "brief".into(),
    });
    world.put_anew(&spec);
    world.reaches("brief", State::Finished);
    let log = world.state().join("supervisor/logs/brief");
    world.until("it ran", |world| {
        assert!(log.exists());
        (world.log("brief") == ["ran"]).then_some(())
    });
}
