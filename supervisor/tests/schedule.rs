//! Runs by a schedule, with real processes and the box's own clock.
#![allow(clippy::expect_used)]

mod common;

use common::World;
use swarm_manifests::{manifest::Mode, schedule::Schedule, status::State};
use swarm_supervisor::protocol::{Request, RunSpec};

fn scheduled(world: &World, script: &str, schedule: &str) -> RunSpec {
    RunSpec {
        schedule: Some(Schedule::parse(schedule).expect("a schedule")),
        ..world.script("nightly", Mode::Once, script)
    }
}

#[test]
fn a_once_with_a_schedule_runs_again_and_again_over_our_death() {
    let mut world = World::new();
    let spec = scheduled(&world, "echo ran", "*:*:*");
    world.put(&spec);
    world.until("it ran twice", |world| {
        (world.log("nightly").len() >= 2).then_some(())
    });
    world.crash();
    world.start();
    let before = world.log("nightly").len();
    let row = world.until("it runs on", |world| {
        let row = world.rows().into_iter().next()?;
        (world.log("nightly").len() > before && row.state == State::Finished).then_some(row)
    });
    assert!(row.next_run.is_some(), "{row:?}");
    assert!(
        row.reason
            .as_ref()
            .is_some_and(|reason| reason.contains("runs next at")),
        "{row:?}"
    );
}

#[test]
fn one_whose_time_is_far_waits_and_starts_when_somebody_says_so() {
    let mut world = World::new();
    let spec = scheduled(&world, "echo ran", "2190-01-01 00:00:00 UTC");
    world.put(&spec);
    let row = world.reaches("nightly", State::Waiting);
    assert_eq!(row.next_run.as_deref(), Some("2190-01-01T00:00:00.000Z"));
    assert!(world.log("nightly").is_empty());
    world.ask(&Request::Start {
        workflow: "nightly".into(),
        reason: None,
    });
    world.reaches("nightly", State::Finished);
    assert_eq!(world.log("nightly"), ["ran"]);
}

#[test]
fn a_killed_one_stays_ended_at_its_time() {
    let mut world = World::new();
    let spec = scheduled(&world, "echo ran", "*:*:*");
    world.put(&spec);
    world.until("it ran", |world| {
        (!world.log("nightly").is_empty()).then_some(())
    });
    world.ask(&Request::Kill {
        workflow: "nightly".into(),
        reason: None,
        hold: false,
    });
    let row = world.reaches("nightly", State::Killed);
    assert_eq!(row.next_run, None);
    // Another one's schedule goes on meanwhile: time passes.
    let other = RunSpec {
        workflow: "other".parse().expect("a name"),
        ..scheduled(&world, "echo ran", "*:*:*")
    };
    let ran = world.log("nightly").len();
    world.put(&other);
    world.until("the other ran three times", |world| {
        (world.log("other").len() >= 3).then_some(())
    });
    assert_eq!(world.log("nightly").len(), ran);
}
