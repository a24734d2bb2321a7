//! A `once` that runs by its schedule: what is due runs once, whatever was missed, and never two at a time. Pure.
//!
//! As with systemd's `Persistent=`: a run that was missed while the box was off is made up for, once; one that comes due while
//! another goes on follows right after it. What the schedule says of a moment is found out outside, where the time zone is known.

use super::{Ended, Phase, Preparation, State, Turn};
use crate::time::Wall;
use serde::{Deserialize, Serialize};
use swarm_manifests::schedule::Schedule;

/// A schedule under way. The box's clock and time zone are looked at outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Calendar {
    pub schedule: Schedule,
    /// The last run that it brought about, or when it began to count: times up to this one are over.
    pub since: Wall,
    pub next: NextRun,
}

/// What is known of the next run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextRun {
    /// It has to be found out.
    Unknown,
    /// There.
    At(Wall),
    /// There is none.
    Never,
}

/// A clock that is set back by less than this repeats nothing (as with cron), in milliseconds.
const SET_BACK: i64 = 3 * 3600 * 1000;

/// From when on the next run is asked for; none: not now.
pub fn next_run_after(state: &State) -> Option<&Calendar> {
    let calendar = state.calendar.as_ref()?;
    (calendar.next == NextRun::Unknown).then_some(calendar)
}

/// When the machine wants an [`super::Event::Due`], by the box's clock.
pub fn due_at(state: &State) -> Option<Wall> {
    match state.calendar.as_ref()?.next {
        NextRun::At(wall) if !state.killed && !state.leaving => Some(wall),
        _ => None,
    }
}

impl Turn {
    /// The calendar is that of the current version. A schedule that is new counts from now.
    pub(super) fn keep_calendar(&mut self) {
        let wanted = self.spec().and_then(|spec| spec.schedule.clone());
        let known = self
            .state
            .calendar
            .as_ref()
            .map(|calendar| &calendar.schedule);
        if wanted.as_ref() == known {
            return;
        }
        let since = self.now.wall;
        self.state.calendar = wanted.map(|schedule| Calendar {
            schedule,
            since,
            next: NextRun::Unknown,
        });
        for instance in &mut self.state.instances {
            instance.due = false;
            if instance.phase == Phase::Scheduled {
                instance.phase = Phase::Vacant;
            }
        }
    }

    pub(super) fn next_run(&mut self, next: NextRun) {
        if let Some(calendar) = &mut self.state.calendar {
            calendar.next = next;
        }
    }

    pub(super) fn run_is_due(&mut self) {
        if due_at(&self.state).is_none_or(|at| at > self.now.wall) {
            return;
        }
        self.count_from_now();
        if let Some(current) = &mut self.state.current
            && matches!(&current.preparation, Preparation::Failed(trouble) if trouble.tried)
        {
            current.preparation = Preparation::Unasked;
        }
        for instance in &mut self.state.instances {
            instance.due = true;
            match instance.phase {
                Phase::Scheduled => instance.phase = Phase::Vacant,
                Phase::Ended(ended) if runs_again(ended) => {
                    instance.phase = Phase::Vacant;
                    instance.streak = 0;
                }
                _ => {}
            }
        }
    }

    /// Whatever was missed up to now is over.
    pub(super) fn count_from_now(&mut self) {
        let now = self.now.wall;
        if let Some(calendar) = &mut self.state.calendar {
            calendar.since = Wall(calendar.since.0.max(now.0));
            calendar.next = NextRun::Unknown;
        }
    }

    /// Times that come once more run once more, where the clock was far ahead.
    pub(super) fn clock_set(&mut self) {
        let now = self.now.wall;
        if let Some(calendar) = &mut self.state.calendar {
            if calendar.since.0 - now.0 > SET_BACK {
                calendar.since = now;
            }
            calendar.next = NextRun::Unknown;
        }
    }

    /// Whether an instance that could start is not meant to.
    pub(super) fn waits_for_its_time(&self, at: usize) -> bool {
        self.state.calendar.is_some() && !self.state.instances[at].due
    }

    /// Its end, unless another run came due meanwhile.
    pub(super) fn end(&mut self, at: usize, ended: Ended) {
        let phase = if self.state.instances[at].due && runs_again(ended) {
            Phase::Vacant
        } else {
            Phase::Ended(ended)
        };
        self.enter(at, phase);
    }
}

fn runs_again(ended: Ended) -> bool {
    !matches!(ended, Ended::Killed | Ended::Refused)
}

#[cfg(test)]
mod tests;
