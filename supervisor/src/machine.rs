//! The machine of one workflow: what happened comes in, what to do goes out. Pure.
//!
//! [`step`] takes a [`State`] and an [`Event`] and gives the next state and the [`Effect`]s; [`deadline`] says when it wants an
//! [`Event::Tick`]: a timer is no effect that could be forgotten. Whoever drives it saves the state, before the effects where
//! [`is_saved_first`] says so and soon after them otherwise, and carries the effects out in their order, journal records before acts.
//! After a crash the saved state and what the kernel still knows ([`Event::Recovered`]) are enough to go on.
//!
//! What holds after each step, whatever happened (the simulation asserts it):
//! * a process is started only where no tree of that instance is left;
//! * a kill ends with nothing alive, and stays;
//! * `finished`, `failed`, `expired`, `killed`, `interrupted` are left by `start`, `restart`, a new revision or, but for `killed`, a
//!   schedule only;
//! * a `once` runs once for each revision that takes over, and for each `start` and `restart`; with a schedule, once for each time;
//! * a removal lifts no kill and re-runs nothing of what was over, should the same revision come back;
//! * every state either ends by itself, or has a deadline, or waits for a person or a commit.

mod backoff;
mod calendar;
mod event;
mod life;
mod notice;
mod orders;
mod over;
mod probation;
mod recover;
mod rows;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
#[allow(
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    reason = "dice and short times fit; events are used up as in life"
)]
mod simulation;
mod state;
mod stop;
#[cfg(test)]
mod tests;
mod wellness;

pub use calendar::{Calendar, NextRun, due_at, next_run_after};
pub use event::{Change, Effect, Event, Now, Order, Survivor, Sync};
pub use life::in_words;
pub use over::Over;
pub use rows::{Usage, actual, obstacle, rows};
pub use state::{
    Alive, Ended, Going, Instance, Phase, Preparation, Process, Readiness, State, StopStep, Then,
    Trail, Trouble, Version, trail,
};

use crate::{protocol::Standing, time::BootTime};
use swarm_manifests::{bundle::Probe, report};

/// What follows from an event.
pub fn step(state: State, event: Event, now: Now) -> (State, Vec<Effect>) {
    let mut turn = Turn {
        state,
        now,
        effects: Vec::new(),
    };
    let made_room = turn.wants_take_over();
    match event {
        Event::Put(spec) => turn.put(*spec),
        Event::Forbidden(spec, trouble) => turn.forbidden(*spec, &trouble),
        Event::Judged(revision, Ok(())) => turn.allowed(revision),
        Event::Judged(revision, Err(trouble)) => turn.disallowed(revision, &trouble),
        Event::Remove { origin, reason } => turn.remove(&origin, &reason),
        Event::Standing(standing) => turn.stand(standing),
        Event::Kill(order, hold) => turn.kill(&order, hold),
        Event::Start(order) => turn.start(&order),
        Event::Restart(order) => turn.restart(&order),
        Event::Installed(revision, hash) => turn.installed(revision, hash),
        Event::InstallFailed(revision, trouble) => turn.install_failed(revision, &trouble),
        Event::Instance(number, run, change) => turn.changed(number, run, change),
        Event::Recovered(survivors) => turn.recovered(&survivors),
        Event::NextRun(next) => turn.next_run(next),
        Event::Due => turn.run_is_due(),
        Event::ClockSet => turn.clock_set(),
        Event::Tick => turn.tick(),
    }
    if made_room && !turn.wants_take_over() {
        turn.stay();
    }
    turn.settle();
    (turn.state, turn.effects)
}

/// When the machine wants a tick, if nothing happens before.
pub fn deadline(state: &State) -> Option<BootTime> {
    state
        .instances
        .iter()
        .filter_map(|instance| instance_deadline(state, instance))
        .min()
}

fn instance_deadline(state: &State, instance: &Instance) -> Option<BootTime> {
    match &instance.phase {
        Phase::Alive(alive) => alive_deadline(state, alive),
        Phase::Stopping { until, .. } | Phase::Backoff { until } | Phase::Blocked { until } => {
            Some(*until)
        }
        Phase::Clearing { again, .. } => Some(*again),
        Phase::Vacant
        | Phase::Installing
        | Phase::Starting
        | Phase::Born(_)
        | Phase::Scheduled
        | Phase::Ended(_) => None,
    }
}

fn alive_deadline(state: &State, alive: &Alive) -> Option<BootTime> {
    let spec = &state.current.as_ref()?.spec;
    let limit = spec.time_limit.map(|limit| alive.started + limit);
    let ready = spec
        .ready
        .as_ref()
        .filter(|_| alive.ready == Readiness::Awaited)
        .map(|ready| match ready.probe {
            Probe::After(long) => alive.started + long,
            _ => wellness::ready_by(alive, ready),
        });
    let going = alive.going.map(|going| going.until);
    limit
        .into_iter()
        .chain(ready)
        .chain(alive.probe)
        .chain(going)
        .min()
}

/// Whether a state has to be on the disk before what follows from it is done; `saved` is the trail of the one that is there.
///
/// A start need not wait for that where the saved state leads to its tree: after a crash, a process that the saved state does not know is
/// found there, and ended before the next one is started. [`Change::Born`] is saved at once, so that this is one that only just began.
pub fn is_saved_first(saved: Option<Trail>, state: &State, effects: &[Effect]) -> bool {
    let starts = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Spawn { .. }));
    must_last(effects) || (starts && (saved.is_none() || saved != trail(state)))
}

/// Whether a power cut must not take what was decided.
pub fn must_last(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Journal(_, Sync::Now)))
}

/// Whether [`Change::TreeGone`] is waited for.
pub fn wants_gone(phase: &Phase) -> bool {
    matches!(
        phase,
        Phase::Clearing { .. } | Phase::Stopping { process: None, .. }
    )
}

/// One step under way.
struct Turn {
    state: State,
    now: Now,
    effects: Vec<Effect>,
}

impl Turn {
    /// The agent says of something that it may not run, or no longer says so.
    fn stand(&mut self, standing: Option<Standing>) {
        let kind = |standing: &Option<Standing>| Some(standing.as_ref()?.next.state);
        if kind(&standing) != kind(&self.state.standing) {
            self.state.standing_since = standing.as_ref().map(|_| self.now.wall);
        }
        self.state.standing = standing;
    }

    /// Brings about what the state as a whole wants, whichever event led here.
    fn settle(&mut self) {
        if self.state.leaving {
            if self.state.is_still() {
                self.leave();
            }
            return;
        }
        self.prepare_successor();
        if self.wants_take_over() || self.wants_return() {
            if !self.state.is_still() {
                self.judge();
                self.stop_all(Then::Leave);
            } else if self.wants_take_over() {
                self.take_over();
            } else {
                self.go_back();
            }
        }
        if self.wants_take_over() || self.wants_return() {
            return;
        }
        self.keep_calendar();
        for at in 0..self.state.instances.len() {
            if self.state.instances[at].phase == Phase::Vacant {
                self.begin(at);
            }
        }
    }

    /// Nothing of it runs any more: it is forgotten, but for what outlives a removal.
    fn leave(&mut self) {
        self.state = State {
            standing: self.state.standing.take(),
            standing_since: self.state.standing_since,
            killed: self.state.killed,
            held: self.state.held,
            over: self.state.over(),
            ..State::new(self.state.workflow.clone())
        };
        self.effects.push(Effect::Forget);
    }

    fn prepare_successor(&mut self) {
        let killed = self.state.killed;
        let Some(successor) = self
            .state
            .successor
            .as_mut()
            .filter(|_| self.state.current.is_some() && !killed)
        else {
            return;
        };
        if successor.preparation == Preparation::Unasked && successor.spec.install.is_some() {
            successor.preparation = Preparation::Installing;
            self.effects.push(Effect::Install(successor.spec.revision));
        }
    }

    /// Whether the successor's time has come: prepared, or nothing to lose, or killed (then it takes over without a start).
    fn wants_take_over(&self) -> bool {
        let Some(successor) = &self.state.successor else {
            return false;
        };
        match successor.preparation {
            _ if self.state.current.is_none() => true,
            Preparation::Failed(_) | Preparation::Held(_) => false,
            _ => self.state.killed || successor.is_prepared(),
        }
    }

    fn take_over(&mut self) {
        let Some(mut successor) = self.state.successor.take() else {
            return;
        };
        // It may come after itself.
        let over = self.state.over();
        self.keep_last_good(&mut successor);
        self.state.over = over.or(self.state.over.take());
        self.put_in_place(successor);
    }

    /// A version becomes the current one; nothing of another is left. What was over of it is over still.
    fn put_in_place(&mut self, version: Version) {
        // Never a number that was used before, also where the workflow was removed and came back.
        let clock = u64::try_from(self.now.boot.0.as_micros()).unwrap_or(u64::MAX);
        let run = self
            .state
            .instances
            .iter()
            .map(|instance| instance.run)
            .fold(clock, u64::max);
        let over = self.state.over.take();
        // Who killed it, and why, is as true of the new revision.
        let killer = || over.as_ref()?.killed.clone();
        let reason = self.state.instances.first().and_then(|i| i.reason.clone());
        let reason = reason.or_else(killer).filter(|_| self.state.killed);
        let over = over.filter(|over| over.revision == version.spec.revision);
        let over = over.map_or_else(Vec::new, |over| over.instances);
        let wall = self.now.wall;
        let due = self.state.instances.iter().any(|instance| instance.due);
        let killed = self.state.killed;
        let new = |number| Instance {
            phase: if killed {
                Phase::Ended(Ended::Killed)
            } else {
                Phase::Vacant
            },
            reason: reason.clone(),
            due: due && !killed,
            ..Instance::new(number, wall)
        };
        let ended = |number| over.iter().find(|one| one.number == number && !killed);
        self.state.instances = (0..version.spec.instances)
            .map(|number| Instance {
                run,
                ..ended(number).cloned().unwrap_or_else(|| new(number))
            })
            .collect();
        self.state.current = Some(version);
    }

    /// Starts a vacant instance, or says why not.
    fn begin(&mut self, at: usize) {
        if self.state.killed {
            return self.enter(at, Phase::Ended(Ended::Killed));
        }
        let waits = self.waits_for_its_time(at);
        let Some(current) = &mut self.state.current else {
            return;
        };
        match &current.preparation {
            Preparation::Failed(trouble) | Preparation::Held(trouble) => {
                let trouble = trouble.clone();
                let ended = if trouble.tried {
                    Ended::Failed
                } else {
                    Ended::Refused
                };
                self.blame(at, trouble);
                self.enter(at, Phase::Ended(ended));
            }
            Preparation::Installing => self.enter(at, Phase::Installing),
            Preparation::Unasked if current.spec.install.is_some() => {
                current.preparation = Preparation::Installing;
                self.effects.push(Effect::Install(current.spec.revision));
                self.enter(at, Phase::Installing);
            }
            Preparation::Unasked | Preparation::Done(_) if waits => {
                self.enter(at, Phase::Scheduled);
            }
            Preparation::Unasked | Preparation::Done(_) => self.spawn(at),
        }
    }

    fn enter(&mut self, at: usize, phase: Phase) {
        let instance = &mut self.state.instances[at];
        instance.phase = phase;
        instance.since = self.now.wall;
    }

    fn blame(&mut self, at: usize, trouble: Trouble) {
        let instance = &mut self.state.instances[at];
        instance.reason = Some(trouble.reason);
        instance.rule = trouble.rule;
    }

    /// A journal record about the workflow as it is, to be filled in further.
    fn record(&self, action: &str) -> report::Event {
        let current = self.state.current.as_ref();
        record_of(&self.state, current, action)
    }

    fn record_at(&self, at: usize, action: &str) -> report::Event {
        report::Event {
            instance: Some(self.state.instances[at].number),
            ..self.record(action)
        }
    }

    fn journal(&mut self, record: report::Event, sync: Sync) {
        self.effects.push(Effect::Journal(Box::new(record), sync));
    }
}

/// A journal record about a workflow of which nothing but its name is known.
pub fn record_about(workflow: &swarm_manifests::name::Name, action: &str) -> report::Event {
    record_of(&State::new(workflow.clone()), None, action)
}

/// A journal record about one version of a workflow; sequence and time are for the journal to fill in.
fn record_of(state: &State, version: Option<&Version>, action: &str) -> report::Event {
    let origin = version.map(Version::origin);
    report::Event {
        workflow: Some(state.workflow.to_string()),
        version: version.map(|v| v.spec.version.clone()),
        digest: version.map(|v| v.spec.digest.to_string()),
        commit: origin.and_then(|o| o.commit.clone()),
        by: origin.and_then(|o| o.by.clone()),
        key: origin.and_then(|o| o.key.clone()),
        ..report::Event::new(action)
    }
}
