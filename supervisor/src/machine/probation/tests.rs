//! A version that does not get ready, step by step.

use super::super::{
    Change, Ended, Event, Phase, deadline,
    sample::{self, Life, order},
};
use crate::protocol::RunSpec;
use std::time::Duration;
use swarm_manifests::{
    bundle::{Probe, Ready},
    manifest::Mode,
    status,
};

fn asks(number: u8) -> RunSpec {
    RunSpec {
        ready: Some(Ready {
            probe: Probe::Notify,
            timeout: Duration::from_secs(3),
        }),
        ..sample::spec("web", number, Mode::Daemon)
    }
}

/// One that was ready, and its successor.
fn good_and_new() -> Life {
    let mut life = Life::new();
    life.put(&asks(1));
    life.of(0, Change::Ready);
    life.put(&asks(2));
    assert_eq!(life.version(), "1.0.2");
    life
}

#[test]
fn a_version_that_is_not_ready_in_time_gives_way_and_is_held_until_there_is_a_newer() {
    let mut life = good_and_new();
    life.wait();
    assert_eq!(life.version(), "1.0.1");
    let next = life.row().next.expect("what is held");
    assert_eq!(
        (next.version.as_deref(), next.state, next.rule.as_deref()),
        (Some("1.0.2"), status::State::Failed, Some("S-RUN-10"))
    );
    assert_eq!(
        next.reason,
        "held until there is a newer version: it did not get ready (not ready within 3s), and gave way to 1.0.1, which was good"
    );
    assert!(
        life.said.contains(&"give-way".to_owned()),
        "{:?}",
        life.said
    );
    for event in [Event::Start(order()), Event::Restart(order())] {
        life.tell(event);
        assert_eq!(life.version(), "1.0.1");
    }
    life.put(&asks(2));
    assert_eq!(life.version(), "1.0.1");
    life.put(&asks(3));
    assert_eq!(life.version(), "1.0.3");
    assert!(life.row().next.is_none());
}

#[test]
fn a_version_that_crashes_before_it_is_ready_has_five_attempts() {
    let mut life = good_and_new();
    for attempt in 1..=5 {
        assert_eq!(life.version(), "1.0.2", "attempt {attempt}");
        if deadline(&life.state).is_some()
            && !matches!(life.state.instances[0].phase, Phase::Alive(_))
        {
            life.wait();
        }
        life.exits(1);
    }
    assert_eq!(life.version(), "1.0.1");
    let reason = life.row().next.expect("what is held").reason;
    assert!(
        reason.contains("in 5 attempts (exited with code 1)"),
        "{reason}"
    );
}

#[test]
fn one_that_was_ready_is_never_given_up() {
    let mut life = good_and_new();
    life.of(0, Change::Ready);
    assert!(life.state.good.is_none(), "nothing to go back to");
    for _ in 0..20 {
        if !matches!(life.state.instances[0].phase, Phase::Alive(_)) {
            life.wait();
        }
        life.exits(1);
        assert_eq!(life.version(), "1.0.2");
        assert!(!matches!(life.state.instances[0].phase, Phase::Ended(_)));
    }
}

#[test]
fn one_that_never_was_ready_is_failed_after_five_attempts() {
    let mut life = Life::new();
    life.put(&asks(1));
    for attempt in 1..=5 {
        assert!(
            !matches!(life.state.instances[0].phase, Phase::Ended(_)),
            "attempt {attempt}"
        );
        if !matches!(life.state.instances[0].phase, Phase::Alive(_)) {
            life.wait();
        }
        life.wait();
    }
    let row = life.row();
    assert_eq!(
        (row.state, row.rule.as_deref()),
        (status::State::Failed, Some("S-RUN-10"))
    );
    assert_eq!(
        row.reason.as_deref(),
        Some("not ready in 5 attempts, given up; the last one: not ready within 3s")
    );
    life.tell(Event::Start(order()));
    assert!(matches!(life.state.instances[0].phase, Phase::Alive(_)));
    assert_eq!(life.state.instances[0].attempts, 0);
}

#[test]
fn what_a_person_ended_does_not_come_back() {
    let mut life = Life::new();
    life.put(&asks(1));
    life.of(0, Change::Ready);
    life.tell(Event::Kill(order(), false));
    life.put(&asks(2));
    assert!(life.state.good.is_none());
    for _ in 0..20 {
        life.wait();
        assert_eq!(life.version(), "1.0.2");
        assert_ne!(
            life.state.instances[0].phase,
            Phase::Ended(Ended::Failed),
            "good once"
        );
    }
}

#[test]
fn each_instance_has_to_be_ready() {
    let mut life = good_and_new();
    life.put(&RunSpec {
        instances: 2,
        ..asks(3)
    });
    life.of(0, Change::Ready);
    assert!(life.state.good.is_some(), "one of two");
    life.wait();
    assert_eq!(life.version(), "1.0.1");
}

#[test]
fn a_once_is_never_gone_back_to() {
    let mut life = Life::new();
    life.put(&RunSpec {
        mode: Mode::Once,
        ..asks(1)
    });
    life.of(0, Change::Ready);
    life.put(&asks(2));
    life.wait();
    assert_eq!(life.version(), "1.0.2");
}

#[test]
fn one_that_asks_for_nothing_is_good_where_it_runs() {
    let mut life = Life::new();
    life.put(&sample::spec("web", 1, Mode::Daemon));
    life.put(&asks(2));
    life.wait();
    assert_eq!(life.version(), "1.0.1");
    let mut life = Life::new();
    life.put(&sample::spec("web", 1, Mode::Daemon));
    life.exits(1);
    life.exits(1);
    life.put(&asks(2));
    life.wait();
    assert_eq!(life.version(), "1.0.2", "it crashed again and again");
}

#[test]
fn what_is_newer_cancels_the_way_back() {
    let mut life = good_and_new();
    life.put(&asks(3));
    life.put(&asks(1));
    assert_eq!(life.version(), "1.0.1");
    let current = life.state.current.as_ref();
    assert!(current.is_some_and(|version| version.good) && life.state.good.is_none());
    assert!(life.row().next.is_none());
}

#[test]
fn what_the_box_forbids_is_not_gone_back_to() {
    let trouble = || super::Trouble {
        reason: "no".into(),
        rule: None,
        tried: false,
    };
    for event in [
        Event::Forbidden(Box::new(asks(1)), trouble()),
        Event::Judged(asks(1).revision, Err(trouble())),
    ] {
        let mut life = good_and_new();
        let is_wanted = matches!(event, Event::Forbidden(..));
        life.tell(event);
        // What the agent wants in vain shows.
        assert_eq!(life.row().next.is_some(), is_wanted);
        for _ in 0..20 {
            life.wait();
            assert_eq!(life.version(), "1.0.2");
        }
    }
}
