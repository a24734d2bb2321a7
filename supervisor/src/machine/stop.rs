//! The end of an instance: asked by command, then by signal, then killed with its whole tree. Pure.

use super::{Effect, Ended, Phase, Process, StopStep, Sync, Then, Turn, notice::LONGEST};
use crate::time::BootTime;
use std::time::Duration;
use swarm_manifests::{
    manifest::{Mode, OnLimit},
    units::format_duration,
};

/// How often a killed tree that is still there is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(1);

impl Turn {
    /// Asks every instance to go, whatever it does.
    pub(super) fn stop_all(&mut self, next: Then) {
        for at in 0..self.state.instances.len() {
            match &mut self.state.instances[at].phase {
                Phase::Alive(_) => {
                    let reason = if next == Then::Leave {
                        "it gives way"
                    } else {
                        "killed"
                    };
                    self.stop(at, next, reason.into());
                }
                Phase::Starting | Phase::Born(_) => self.clear(at, next),
                // What was over, or is about to be, stays so: it is nothing to go back to.
                Phase::Stopping { then, .. } | Phase::Clearing { then, .. }
                    if next == Then::Leave && matches!(then, Then::End(_)) => {}
                Phase::Stopping { then, .. } | Phase::Clearing { then, .. } => *then = next,
                Phase::Ended(_) if next == Then::Leave => {}
                _ => self.follow(at, next),
            }
        }
    }

    /// The successor does not come after all: what was stopped for it starts again, but for a `once`, which was cut off.
    pub(super) fn stay(&mut self) {
        if self.state.leaving || self.spec().is_none_or(|spec| spec.mode != Mode::Once) {
            return;
        }
        for at in 0..self.state.instances.len() {
            match &mut self.state.instances[at].phase {
                Phase::Stopping { then, .. } | Phase::Clearing { then, .. }
                    if *then == Then::Leave =>
                {
                    *then = Then::End(Ended::Interrupted);
                }
                Phase::Vacant => self.end(at, Ended::Interrupted),
                _ => {}
            }
        }
    }

    /// Begins to stop a living process: its stop command or its signal first.
    pub(super) fn stop(&mut self, at: usize, then: Then, reason: String) {
        let Phase::Alive(alive) = self.state.instances[at].phase.clone() else {
            return;
        };
        let Some(stop) = self.spec().map(|spec| spec.stop.clone()) else {
            return;
        };
        let mut record = self.record_at(at, "stop");
        record.reason = Some(reason.clone());
        self.journal(record, Sync::Soon);
        self.state.instances[at].reason = Some(reason);
        if stop.command.is_none() {
            return self.send_signal(at, Some(alive.process), alive.started, then);
        }
        let until = self.now.boot + stop.grace;
        self.enter(
            at,
            Phase::Stopping {
                process: Some(alive.process),
                started: alive.started,
                step: StopStep::Command,
                until,
                latest: self.now.boot + stop.grace.saturating_mul(LONGEST),
                then,
            },
        );
        let instance = &self.state.instances[at];
        self.effects.push(Effect::StopCommand {
            instance: instance.number,
            run: instance.run,
        });
    }

    pub(super) fn send_signal(
        &mut self,
        at: usize,
        process: Option<Process>,
        started: BootTime,
        then: Then,
    ) {
        let grace = self.spec().map_or(Duration::ZERO, |spec| spec.stop.grace);
        let until = self.now.boot + grace;
        self.enter(
            at,
            Phase::Stopping {
                process,
                started,
                step: StopStep::Signal,
                until,
                latest: self.now.boot + grace.saturating_mul(LONGEST),
                then,
            },
        );
        let instance = &self.state.instances[at];
        self.effects.push(Effect::Signal {
            instance: instance.number,
            run: instance.run,
        });
    }

    /// Kills the whole tree, and looks after it until it is gone.
    pub(super) fn clear(&mut self, at: usize, then: Then) {
        let again = self.now.boot + KILL_AGAIN;
        if let Phase::Clearing { .. } = self.state.instances[at].phase {
            self.state.instances[at].phase = Phase::Clearing { again, then };
        } else {
            self.enter(at, Phase::Clearing { again, then });
        }
        let instance = &self.state.instances[at];
        self.effects.push(Effect::KillTree {
            instance: instance.number,
            run: instance.run,
        });
    }

    pub(super) fn stop_command_done(&mut self, at: usize, well: bool) {
        if let Phase::Stopping {
            step: StopStep::Command,
            process,
            started,
            then,
            ..
        } = self.state.instances[at].phase
            && !well
        {
            self.send_signal(at, process, started, then);
        }
    }

    pub(super) fn expire(&mut self, at: usize, limit: Duration) {
        let again = self
            .spec()
            .is_some_and(|spec| spec.on_limit == OnLimit::Restart && spec.mode != Mode::Once);
        let mut reason = format!("its time limit of {} is over", format_duration(limit));
        let mut record = self.record_at(at, "expire");
        record.reason = Some(reason.clone());
        self.journal(record, Sync::Soon);
        let then = if again {
            self.after_attempt(at, &mut reason, false)
        } else {
            Then::End(Ended::Expired)
        };
        self.stop(at, then, reason);
    }

    /// A process that lives and is of no use: it is stopped and counts as failed.
    pub(super) fn give_up(&mut self, at: usize, mut reason: String, late: bool) {
        let then = match self.spec().map(|spec| spec.mode) {
            Some(Mode::Once) => Then::End(Ended::Failed),
            _ => self.after_attempt(at, &mut reason, late),
        };
        self.stop(at, then, reason);
    }
}
