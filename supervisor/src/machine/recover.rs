//! After our own death or the box's: what was saved meets what the kernel still knows. Pure.

use super::{Change, Ended, NextRun, Phase, Preparation, StopStep, Survivor, Sync, Then, Turn};
use swarm_manifests::{manifest::Mode, status::LastExit};

impl Turn {
    /// Goes on from a saved state: `survivors` by instance; one that is not named is gone.
    pub(super) fn recovered(&mut self, survivors: &[Survivor]) {
        for version in self
            .state
            .current
            .iter_mut()
            .chain(&mut self.state.successor)
        {
            if version.preparation == Preparation::Installing {
                version.preparation = Preparation::Unasked;
            }
        }
        // The time zone may be another one by now.
        self.next_run(NextRun::Unknown);
        for at in 0..self.state.instances.len() {
            match survivors.get(at) {
                Some(Survivor::Rebooted) => self.rebooted(at),
                Some(Survivor::Alive(process)) => self.found_alive(at, *process),
                Some(Survivor::Gone(exit, leftovers)) => {
                    self.found_gone(at, exit.clone(), *leftovers);
                }
                None => self.found_gone(at, LastExit::Unseen { seen: false }, true),
            }
        }
    }

    fn rebooted(&mut self, at: usize) {
        self.state.instances[at].streak = 0;
        match self.state.instances[at].phase.clone() {
            Phase::Alive(_) | Phase::Starting | Phase::Born(_) => {
                let exit = LastExit::Unseen { seen: false };
                let mut record = self.record_at(at, "exit");
                record.exit = Some(exit.clone());
                record.reason = Some("the box was rebooted".into());
                self.journal(record, Sync::Soon);
                let instance = &mut self.state.instances[at];
                instance.last_exit = Some(exit);
                instance.reason = Some("cut off by a reboot of the box".into());
                self.follow(at, self.cut_off());
            }
            Phase::Stopping { then, .. } | Phase::Clearing { then, .. } => {
                self.follow(
                    at,
                    if then == Then::Again {
                        Then::Restart
                    } else {
                        then
                    },
                );
            }
            Phase::Backoff { .. } | Phase::Blocked { .. } | Phase::Installing => {
                self.state.instances[at].phase = Phase::Vacant;
            }
            Phase::Vacant | Phase::Scheduled | Phase::Ended(_) => {}
        }
    }

    fn found_alive(&mut self, at: usize, found: super::Process) {
        match self.state.instances[at].phase.clone() {
            Phase::Alive(alive) if alive.process == found => {}
            Phase::Alive(_) => self.found_gone(at, LastExit::Unseen { seen: false }, true),
            // Whether it came to its program shows soon: as one that is asked for, or by its exit.
            Phase::Starting | Phase::Born(_) => self.come_alive(at, found),
            Phase::Stopping {
                step: StopStep::Signal,
                started,
                then,
                ..
            } => self.send_signal(at, Some(found), started, then),
            Phase::Stopping {
                step: StopStep::Command,
                ..
            } => {
                // Whether the command ran is not known: the signal comes at its time.
            }
            Phase::Clearing { then, .. } => self.clear(at, then),
            other => self.clear(at, rest(&other)),
        }
    }

    fn found_gone(&mut self, at: usize, exit: LastExit, leftovers: bool) {
        let run = self.state.instances[at].run;
        let number = self.state.instances[at].number;
        match self.state.instances[at].phase.clone() {
            Phase::Alive(_) => self.changed(number, run, Change::Exited(exit)),
            Phase::Stopping { process, then, .. } => {
                if process.is_some() {
                    self.changed(number, run, Change::Exited(exit));
                }
                self.clear(at, then);
            }
            // It may have run, or not: a `once` is not tried twice.
            Phase::Starting | Phase::Born(_) => {
                self.state.instances[at].reason = Some("cut off while it was being started".into());
                let then = self.cut_off();
                self.clear(at, then);
            }
            Phase::Clearing { then, .. } => self.clear(at, then),
            Phase::Installing if !leftovers => self.state.instances[at].phase = Phase::Vacant,
            other if leftovers => self.clear(at, rest(&other)),
            _ => {}
        }
    }

    fn cut_off(&self) -> Then {
        match self.spec().map(|spec| spec.mode) {
            Some(Mode::Once) => Then::End(Ended::Interrupted),
            _ => Then::Restart,
        }
    }
}

/// What comes after processes were found and killed where none should be.
fn rest(phase: &Phase) -> Then {
    match phase {
        Phase::Ended(ended) => Then::End(*ended),
        _ => Then::Restart,
    }
}
