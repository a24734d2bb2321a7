//! Runs by a schedule, step by step.

use super::super::{
    Change, Ended, Event, NextRun, Phase, Survivor, due_at, next_run_after,
    sample::{self, Life, order},
};
use crate::{protocol::RunSpec, time::Wall};
use swarm_manifests::{
    manifest::Mode,
    schedule::Schedule,
    status::{self, LastExit},
};

const HOUR: i64 = 3_600_000;

fn nightly(number: u8, schedule: &str) -> RunSpec {
    RunSpec {
        schedule: Some(Schedule::parse(schedule).expect("a schedule")),
        ..sample::spec("web", number, Mode::Once)
    }
}

/// What the loop does: each full hour is one of the schedule.
fn look(life: &mut Life) {
    if let Some(calendar) = next_run_after(&life.state) {
        let next = (calendar.since.0 / HOUR + 1) * HOUR;
        life.tell(Event::NextRun(NextRun::At(Wall(next))));
    }
    if due_at(&life.state).is_some_and(|at| at <= life.wall()) {
        life.tell(Event::Due);
        look(life);
    }
}

fn pass(life: &mut Life, hours: i64) {
    life.time += u64::try_from(hours * HOUR).expect("forwards");
    look(life);
}

fn deployed() -> Life {
    let mut life = Life::new();
    life.put(&nightly(1, "hourly"));
    look(&mut life);
    life
}

#[test]
fn it_waits_for_its_time_and_then_runs_once_each_time() {
    let mut life = deployed();
    let row = life.row();
    assert_eq!((life.starts, row.state), (0, status::State::Waiting));
    assert_eq!(row.next_run.as_deref(), Some("1970-01-01T01:00:00.000Z"));
    assert_eq!(
        row.reason.as_deref(),
        Some("runs next at 1970-01-01T01:00:00.000Z")
    );
    pass(&mut life, 1);
    assert_eq!(life.starts, 1);
    life.exits(0);
    let row = life.row();
    assert_eq!(row.state, status::State::Finished);
    assert!(row.reason.expect("a reason").contains("; runs next at"));
    pass(&mut life, 1);
    assert_eq!(life.starts, 2);
}

#[test]
fn an_early_call_runs_nothing() {
    let mut life = deployed();
    life.tell(Event::Due);
    assert_eq!(life.starts, 0);
}

#[test]
fn what_was_missed_is_made_up_for_once() {
    let mut life = deployed();
    life.time += u64::try_from(5 * HOUR).expect("forwards");
    life.tell(Event::Recovered(vec![Survivor::Rebooted]));
    look(&mut life);
    assert_eq!(life.starts, 1);
    life.exits(0);
    look(&mut life);
    assert_eq!(life.starts, 1, "once, however much was missed");
}

#[test]
fn what_comes_due_meanwhile_follows_right_after_and_once() {
    let mut life = deployed();
    pass(&mut life, 1);
    pass(&mut life, 1);
    pass(&mut life, 1);
    assert_eq!(life.starts, 1, "never two at a time");
    life.exits(1);
    assert_eq!(life.starts, 2);
    life.exits(0);
    assert_eq!(life.starts, 2);
}

#[test]
fn a_kill_ends_the_schedule_until_somebody_starts_it() {
    let mut life = deployed();
    pass(&mut life, 1);
    life.tell(Event::Kill(order(), false));
    pass(&mut life, 7);
    assert_eq!(life.starts, 1);
    life.tell(Event::Start(order()));
    look(&mut life);
    assert_eq!(life.starts, 2, "at once, and nothing to make up for");
    life.exits(0);
    look(&mut life);
    assert_eq!(life.starts, 2);
    pass(&mut life, 1);
    assert_eq!(life.starts, 3);
}

#[test]
fn a_person_need_not_wait() {
    let mut life = deployed();
    life.tell(Event::Start(order()));
    assert_eq!(life.starts, 1);
    life.tell(Event::Restart(order()));
    assert_eq!(life.starts, 2);
    life.tell(Event::Start(order()));
    life.exits(0);
    assert_eq!(life.starts, 2, "what runs is not run again");
}

#[test]
fn a_new_schedule_counts_from_now_and_restarts_nothing() {
    let mut life = deployed();
    life.time += 1000;
    life.put(&nightly(1, "daily"));
    assert_eq!(life.starts, 0);
    let calendar = life.state.calendar.clone().expect("a calendar");
    assert_eq!(
        (calendar.since, calendar.next),
        (life.wall(), NextRun::Unknown)
    );
    life.put(&sample::spec("web", 1, Mode::Once));
    assert_eq!(life.starts, 1, "without one it runs when it is deployed");
}

#[test]
fn a_new_revision_waits_too_and_what_is_missed_meanwhile_is_not_lost() {
    let mut life = deployed();
    pass(&mut life, 1);
    pass(&mut life, 1);
    life.put(&nightly(2, "hourly"));
    assert_eq!(life.starts, 2, "the run that was due is the new one's");
    life.exits(0);
    life.put(&nightly(3, "hourly"));
    assert_eq!(
        (life.starts, &life.state.instances[0].phase),
        (2, &Phase::Scheduled)
    );
}

#[test]
fn a_clock_that_is_set_back_a_little_repeats_nothing_and_one_that_was_far_ahead_does() {
    let mut life = deployed();
    pass(&mut life, 1);
    life.exits(0);
    life.ahead -= HOUR;
    life.tell(Event::ClockSet);
    look(&mut life);
    pass(&mut life, 1);
    assert_eq!(life.starts, 1);
    pass(&mut life, 1);
    assert_eq!(life.starts, 2);
    life.exits(0);
    life.ahead += 1000 * HOUR;
    life.tell(Event::ClockSet);
    look(&mut life);
    assert_eq!(
        life.starts, 3,
        "a clock that is set forward: one run was missed"
    );
    life.exits(0);
    life.ahead -= 1000 * HOUR;
    life.tell(Event::ClockSet);
    look(&mut life);
    pass(&mut life, 1);
    assert_eq!(life.starts, 4);
}

#[test]
fn a_start_that_is_blocked_is_still_due_and_one_cut_off_is_not_tried_twice() {
    let mut life = deployed();
    pass(&mut life, 1);
    life.exits(0);
    life.state.instances[0].phase = Phase::Starting;
    let trouble = super::super::Trouble {
        reason: "no".into(),
        rule: None,
        tried: true,
    };
    life.of(0, Change::StartFailed(trouble, true));
    life.wait();
    assert_eq!(life.starts, 2);
    let gone = Survivor::Gone(LastExit::Unseen { seen: false }, false);
    life.tell(Event::Recovered(vec![gone]));
    assert_eq!(life.starts, 2);
    assert_eq!(
        life.state.instances[0].phase,
        Phase::Ended(Ended::Interrupted)
    );
}

#[test]
fn three_hours_are_the_bound_of_a_clock_that_is_set_back() {
    for (minutes, repeats) in [(179, false), (181, true)] {
        let mut life = deployed();
        life.ahead = 10 * HOUR;
        look(&mut life);
        let before = life.state.calendar.clone().expect("a calendar").since;
        life.ahead -= minutes * HOUR / 60;
        life.tell(Event::ClockSet);
        let since = life.state.calendar.clone().expect("a calendar").since;
        let wanted = if repeats { life.wall() } else { before };
        assert_eq!(since, wanted, "{minutes} minutes");
    }
}

#[test]
fn what_is_killed_or_leaves_has_no_next_run() {
    let mut life = deployed();
    assert!(due_at(&life.state).is_some());
    life.tell(Event::Kill(order(), false));
    assert_eq!(due_at(&life.state), None);
    life.time += u64::try_from(2 * HOUR).expect("forwards");
    life.tell(Event::Due);
    assert!(!life.state.instances[0].due, "nothing is left for later");
    life.state.killed = false;
    life.state.leaving = true;
    assert_eq!(due_at(&life.state), None);
}
