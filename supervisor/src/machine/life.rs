//! The life of one instance: started, ready, over, stopped, started again. Pure.

use super::{
    Alive, Change, Effect, Ended, Phase, Preparation, Process, Readiness, StopStep, Sync, Then,
    Trouble, Turn, Version, backoff,
};
use crate::{protocol::RunSpec, time::BootTime};
use std::time::Duration;
use swarm_manifests::{manifest::Mode, rules, status::LastExit};

/// The least wait after a program that could not even be executed.
const FAILED_START: Duration = Duration::from_millis(100);

impl Turn {
    /// Something happened to a process; news of an earlier run is dropped.
    pub(super) fn changed(&mut self, number: u16, run: u64, change: Change) {
        let at = usize::from(number);
        if self
            .state
            .instances
            .get(at)
            .is_none_or(|instance| instance.run != run)
        {
            return;
        }
        match change {
            Change::Born(process) => self.born(at, process),
            Change::Started(process) => self.started(at, process),
            Change::StartFailed(trouble, passing) => self.start_failed(at, trouble, passing),
            Change::Exited(exit) => self.exited(at, &exit, None),
            Change::Starved(exit) => {
                let why = self.starved_in_words();
                self.exited(at, &exit, Some(why));
            }
            Change::TreeGone => self.tree_gone(at),
            Change::Ready => self.ready(at),
            Change::Probed(result) => self.probed(at, result),
            Change::Status(text) => self.status(at, &text),
            Change::Going => self.going(at),
            Change::Extend(long) => self.extend(at, long),
            Change::StopCommandDone(well) => self.stop_command_done(at, well),
        }
    }

    /// Does what is due by now.
    pub(super) fn tick(&mut self) {
        for at in 0..self.state.instances.len() {
            let now = self.now.boot;
            match self.state.instances[at].phase.clone() {
                Phase::Alive(alive) => self.tick_alive(at, &alive),
                Phase::Stopping {
                    until,
                    step,
                    process,
                    started,
                    then,
                    ..
                } if until <= now => {
                    if step == StopStep::Command && process.is_some() {
                        self.send_signal(at, process, started, then);
                    } else {
                        self.clear(at, then);
                    }
                }
                Phase::Clearing { again, then } if again <= now => self.clear(at, then),
                Phase::Backoff { until } | Phase::Blocked { until } if until <= now => {
                    self.state.instances[at].phase = Phase::Vacant;
                }
                _ => {}
            }
        }
    }

    /// Starts the process of an instance whose tree is gone.
    pub(super) fn spawn(&mut self, at: usize) {
        let once = self.spec().is_some_and(|spec| spec.mode == Mode::Once);
        let record = self.record_at(at, "start");
        self.journal(record, if once { Sync::Now } else { Sync::Soon });
        self.enter(at, Phase::Starting);
        let instance = &mut self.state.instances[at];
        instance.run += 1;
        instance.due = false;
        instance.reason = None;
        instance.rule = None;
        self.effects.push(Effect::Spawn {
            instance: instance.number,
            run: instance.run,
        });
    }

    /// For people it is still being started.
    fn born(&mut self, at: usize, process: Process) {
        let phase = &mut self.state.instances[at].phase;
        if *phase == Phase::Starting {
            *phase = Phase::Born(process);
        }
    }

    fn started(&mut self, at: usize, process: Process) {
        match self.state.instances[at].phase {
            Phase::Starting | Phase::Born(_) => self.come_alive(at, process),
            // It was killed while it was being made.
            Phase::Clearing { then, .. } => self.clear(at, then),
            _ => {}
        }
    }

    /// A process is there, made by us now or found.
    pub(super) fn come_alive(&mut self, at: usize, process: Process) {
        let Some(spec) = self.spec() else { return };
        let ready = if spec.ready.is_some() {
            Readiness::Awaited
        } else {
            Readiness::NotAsked
        };
        let probe = self.next_probe(ready);
        self.enter(
            at,
            Phase::Alive(Alive {
                process,
                started: self.now.boot,
                ready,
                failures: 0,
                probe,
                status: None,
                patience: None,
                going: None,
            }),
        );
    }

    fn start_failed(&mut self, at: usize, trouble: Trouble, passing: bool) {
        if !matches!(
            self.state.instances[at].phase,
            Phase::Starting | Phase::Born(_)
        ) {
            return;
        }
        if self.state.current.as_ref().is_some_and(Version::is_refused) {
            // The box forbids it by now, and that is on record.
            return self.enter(at, Phase::Vacant);
        }
        let is = |rule: &rules::Rule| trouble.rule.as_deref() == Some(rule.id);
        let changed = is(&rules::run::CHANGED);
        // What cannot be executed is waited for only where there is nothing to go back to.
        let passing = passing && !(is(&rules::run::EXEC) && self.state.good.is_some());
        let mut record = self.record_at(at, "fail");
        record.rule.clone_from(&trouble.rule);
        record.reason = Some(trouble.reason.clone());
        // What is blocked is looked at again and again: one record of it is enough.
        let told = self.state.instances[at].rule == trouble.rule
            && passing
            && self.state.instances[at].streak > 0;
        if !told {
            self.journal(record, Sync::Soon);
        }
        self.blame(at, trouble);
        let (boot, dice) = (self.now.boot, self.now.dice);
        let Some(current) = &mut self.state.current else {
            return;
        };
        if changed && matches!(current.preparation, Preparation::Done(Some(_))) {
            current.preparation = Preparation::Unasked;
        }
        let streak = self.state.instances[at].streak;
        self.state.instances[at].streak = streak.saturating_add(1);
        if passing {
            self.state.instances[at].due = self.state.calendar.is_some();
            return self.enter(
                at,
                Phase::Blocked {
                    until: boot + backoff::blocked(streak, dice),
                },
            );
        }
        if current.spec.mode == Mode::Once {
            return self.end(at, Ended::Failed);
        }
        let wait = backoff::delay(&current.spec.restart, streak.max(1), dice).max(FAILED_START);
        let mut why = self.state.instances[at].reason.clone().unwrap_or_default();
        let phase = match self.after_attempt(at, &mut why, false) {
            Then::End(ended) => Phase::Ended(ended),
            Then::Leave => Phase::Vacant,
            Then::Again | Then::Restart => Phase::Backoff { until: boot + wait },
        };
        self.state.instances[at].reason = Some(why);
        self.enter(at, phase);
    }

    /// `killed by the kernel: over its memory limit of 24M`
    fn starved_in_words(&self) -> String {
        let limit = self.spec().and_then(|spec| spec.limits.memory);
        let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        format!("killed by the kernel: over its memory limit{limit}")
    }

    fn exited(&mut self, at: usize, exit: &LastExit, why: Option<String>) {
        self.state.instances[at].last_exit = Some(exit.clone());
        match self.state.instances[at].phase.clone() {
            Phase::Alive(alive) => {
                self.journal_exit(at, exit, why.clone());
                self.count_run(at, alive.started);
                let Some(mut then) = self.spec().map(|spec| after_exit(spec.mode, exit)) else {
                    return;
                };
                let mut why = why.unwrap_or_else(|| in_words(exit));
                if then == Then::Again {
                    then = self.after_attempt(at, &mut why, false);
                }
                self.state.instances[at].reason = Some(why);
                self.clear(at, then);
            }
            Phase::Stopping {
                process: Some(_),
                started,
                step,
                until,
                latest,
                then,
            } => {
                self.journal_exit(at, exit, self.state.instances[at].reason.clone());
                self.count_run(at, started);
                self.state.instances[at].phase = Phase::Stopping {
                    process: None,
                    started,
                    step,
                    until,
                    latest,
                    then,
                };
            }
            _ => {}
        }
    }

    fn tree_gone(&mut self, at: usize) {
        match self.state.instances[at].phase {
            Phase::Stopping { then, .. } | Phase::Clearing { then, .. } => self.follow(at, then),
            _ => {}
        }
    }

    /// The tree is gone: what comes now.
    pub(super) fn follow(&mut self, at: usize, then: Then) {
        if self.state.killed && then != Then::Leave {
            return self.enter(at, Phase::Ended(Ended::Killed));
        }
        match then {
            Then::End(ended) => self.end(at, ended),
            Then::Leave => self.enter(at, Phase::Vacant),
            Then::Restart => {
                self.state.instances[at].restarts += 1;
                self.enter(at, Phase::Vacant);
            }
            Then::Again => {
                let Some(wait) = self.spec().map(|spec| {
                    backoff::delay(
                        &spec.restart,
                        self.state.instances[at].streak,
                        self.now.dice,
                    )
                }) else {
                    return;
                };
                let instance = &mut self.state.instances[at];
                instance.restarts += 1;
                instance.streak = instance.streak.saturating_add(1);
                let phase = if wait.is_zero() {
                    Phase::Vacant
                } else {
                    Phase::Backoff {
                        until: self.now.boot + wait,
                    }
                };
                self.enter(at, phase);
            }
        }
    }

    fn journal_exit(&mut self, at: usize, exit: &LastExit, reason: Option<String>) {
        let mut record = self.record_at(at, "exit");
        record.exit = Some(exit.clone());
        record.reason = reason;
        self.journal(record, Sync::Soon);
    }

    /// A run is over: alive long enough, and the delay starts over.
    fn count_run(&mut self, at: usize, started: BootTime) {
        if self
            .spec()
            .is_some_and(|spec| self.now.boot.since(started) >= spec.restart.settled)
        {
            self.state.instances[at].streak = 0;
        }
    }

    pub(super) fn spec(&self) -> Option<&RunSpec> {
        self.state.current.as_ref().map(|current| &*current.spec)
    }
}

/// What an exit by itself means (SPEC §3.3).
pub(super) fn after_exit(mode: Mode, exit: &LastExit) -> Then {
    match (mode, exit) {
        (Mode::Once, LastExit::Unseen { .. }) => Then::End(Ended::Interrupted),
        (Mode::Once | Mode::Restart, LastExit::Code { code: 0 }) => Then::End(Ended::Finished),
        (Mode::Once, _) => Then::End(Ended::Failed),
        (Mode::Restart | Mode::Daemon, _) => Then::Again,
    }
}

/// `exited with code 3`.
pub fn in_words(exit: &LastExit) -> String {
    match exit {
        LastExit::Code { code } => format!("exited with code {code}"),
        LastExit::Signal { signal } => format!("ended by {signal}"),
        LastExit::Unseen { .. } => {
            "ended while nobody looked; how, the kernel no longer knows".into()
        }
    }
}

impl Phase {
    /// Whether it makes room for a successor or a removal.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(
            self,
            Self::Stopping {
                then: Then::Leave,
                ..
            } | Self::Clearing {
                then: Then::Leave,
                ..
            }
        )
    }
}
