//! Schedules: what a machine's calendar says next is found out, and the machine is told when it has come. Touches the box's clock, its
//! time zone and one timer on that clock, which also tells when somebody sets it.

use super::{Supervisor, watch::Source};
use crate::{
    machine::{self, Event, NextRun},
    os::clock,
    time::Wall,
};
use jiff::{Timestamp, tz::TimeZone};
use nix::{
    errno::Errno,
    sys::{
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::AsFd as _,
    time::Duration,
};
use swarm_manifests::name::Name;

/// When which workflow runs next.
#[derive(Default)]
pub(super) struct Schedules {
    due: BTreeSet<(Wall, Name)>,
    known: BTreeMap<Name, Wall>,
    /// Made when the first workflow has a schedule.
    timer: Option<TimerFd>,
    set: Option<Wall>,
}

impl Supervisor {
    /// After something happened to a machine: what its calendar needs is found out, and its time is waited for.
    pub(super) fn keep_schedule(&mut self, name: &Name) {
        let state = self.workflows.get(name).map(|workflow| &workflow.state);
        if let Some(calendar) = state.and_then(machine::next_run_after) {
            let since = Timestamp::from_millisecond(calendar.since.0).unwrap_or_default();
            let next = calendar.schedule.next(since, &TimeZone::system());
            let next = next.map_or(NextRun::Never, |next| {
                NextRun::At(Wall(next.as_millisecond()))
            });
            return self.feed(name, Event::NextRun(next));
        }
        let at = state.and_then(machine::due_at);
        let schedules = &mut self.schedules;
        if at == schedules.known.get(name).copied() {
            return;
        }
        if let Some(at) = schedules.known.remove(name) {
            schedules.due.remove(&(at, name.clone()));
        }
        if let Some(at) = at {
            schedules.known.insert(name.clone(), at);
            schedules.due.insert((at, name.clone()));
        }
    }

    /// The timer goes off at the first of them.
    pub(super) fn set_schedule(&mut self) {
        let first = self.schedules.due.first().map(|(at, _)| *at);
        if first == self.schedules.set {
            return;
        }
        match self.arm(first) {
            Ok(()) => self.schedules.set = first,
            Err(error) => tracing::error!(%error, "the timer of schedules cannot be set"),
        }
    }

    fn arm(&mut self, first: Option<Wall>) -> io::Result<()> {
        if self.schedules.timer.is_none() {
            let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
            let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)?;
            self.watch.read(timer.as_fd(), Source::Schedule)?;
            self.schedules.timer = Some(timer);
        }
        let Some(timer) = &self.schedules.timer else {
            return Ok(());
        };
        let Some(Wall(at)) = first else {
            return Ok(timer.unset()?);
        };
        // Zero would switch it off.
        let at = Duration::from_millis(u64::try_from(at).unwrap_or(0).max(1));
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        Ok(timer.set(Expiration::OneShot(TimeSpec::from_duration(at)), flags)?)
    }

    /// The time has come, or somebody set the clock.
    pub(super) fn schedule_ready(&mut self) {
        let Some(timer) = &self.schedules.timer else {
            return;
        };
        self.schedules.set = None;
        if timer.wait() == Err(Errno::ECANCELED) {
            tracing::info!("the clock was set: what comes next is found out anew");
            let names = self.schedules.known.keys();
            self.queue
                .extend(names.map(|name| (name.clone(), Event::ClockSet)));
        }
        let now = clock::wall();
        let due = self.schedules.due.iter().take_while(|(at, _)| *at <= now);
        self.queue
            .extend(due.map(|(_, name)| (name.clone(), Event::Due)));
    }
}
