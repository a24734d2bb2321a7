//! Whether a version is good, and what becomes of one that is not: it gives way to the last good one, or is given up. Pure.
//!
//! A version that asks for `[ready]` is good when each of its instances was ready once. One that does not ask is good where it
//! runs, and did not end too soon, when something newer takes its place. A `once` is never gone back to: it would run twice.

use super::{Ended, Phase, Preparation, Readiness, Sync, Then, Trouble, Turn, Version, record_of};
use swarm_manifests::{manifest::Mode, rules};

/// So many attempts to get ready in a row, and a version is given up.
const ATTEMPTS: u32 = 5;

impl Turn {
    /// An instance is ready: when each was, the version is good, and the one before it is not needed any more.
    pub(super) fn prove(&mut self, at: usize) {
        let instance = &mut self.state.instances[at];
        instance.proven = true;
        instance.attempts = 0;
        if self.state.instances.iter().all(|instance| instance.proven) {
            self.is_good();
        }
    }

    fn is_good(&mut self) {
        if let Some(current) = &mut self.state.current {
            current.good = true;
            self.state.proven = true;
            self.state.good = None;
        }
    }

    /// Before something newer takes the place of a version that was asked for nothing.
    pub(super) fn judge(&mut self) {
        let Some(spec) = self.spec().filter(|spec| spec.ready.is_none()) else {
            return;
        };
        let (now, settled) = (self.now.boot, spec.restart.settled);
        let runs = self
            .state
            .instances
            .iter()
            .all(|instance| match &instance.phase {
                Phase::Alive(alive) => instance.streak == 0 || now.since(alive.started) >= settled,
                _ => false,
            });
        if runs {
            self.is_good();
        }
    }

    /// What follows a process that ended, or has to be ended, and is to be started again. Where it was asked to get ready and did
    /// not, an attempt has failed; `late`: all its time for that has passed. `why` is told in the words of what comes of it.
    pub(super) fn after_attempt(&mut self, at: usize, why: &mut String, late: bool) -> Then {
        if !self.is_on_trial(at) {
            return Then::Again;
        }
        let instance = &mut self.state.instances[at];
        instance.attempts = instance.attempts.saturating_add(1);
        let attempts = instance.attempts;
        if self.state.good.is_some() {
            if late || attempts >= ATTEMPTS {
                self.give_way(why, attempts);
                return Then::Leave;
            }
        } else if !self.state.proven && attempts >= ATTEMPTS {
            *why = format!("not ready in {attempts} attempts, given up; the last one: {why}");
            self.state.instances[at].rule = Some(rules::run::NOT_READY.id.into());
            return Then::End(Ended::Failed);
        }
        Then::Again
    }

    /// Whether an instance still has to show that its version is of use.
    fn is_on_trial(&self, at: usize) -> bool {
        let instance = &self.state.instances[at];
        let asked = match &instance.phase {
            Phase::Starting | Phase::Born(_) => true,
            Phase::Alive(alive) => alive.ready == Readiness::Awaited,
            _ => false,
        };
        let current = self.state.current.as_ref();
        asked
            && !instance.proven
            && current.is_some_and(|current| {
                !current.good && current.spec.ready.is_some() && current.spec.mode != Mode::Once
            })
    }

    /// The last good version comes back; this one is held until there is a newer.
    fn give_way(&mut self, why: &str, attempts: u32) {
        let times = if attempts > 1 {
            format!(" in {attempts} attempts")
        } else {
            String::new()
        };
        let last = self
            .state
            .good
            .as_ref()
            .map_or_else(String::new, |good| format!(" {}", good.spec.version));
        let trouble = Trouble {
            reason: format!(
                "held until there is a newer version: it did not get ready{times} ({why}), and gave way to{last}, which was good"
            ),
            rule: Some(rules::run::NOT_READY.id.into()),
            tried: true,
        };
        let mut record = record_of(&self.state, self.state.current.as_ref(), "give-way");
        record.rule.clone_from(&trouble.rule);
        record.reason = Some(trouble.reason.clone());
        self.journal(record, Sync::Soon);
        if let Some(current) = &mut self.state.current {
            current.preparation = Preparation::Held(trouble);
        }
    }

    /// Whether `current` gives way to the last good version.
    pub(super) fn wants_return(&self) -> bool {
        self.state.good.is_some() && self.state.current.as_ref().is_some_and(Version::is_held)
    }

    /// Nothing of the one that gave way is left. Where something newer waits, nobody needs to remember it.
    pub(super) fn go_back(&mut self) {
        let (Some(good), held) = (self.state.good.take(), self.state.current.take()) else {
            return;
        };
        if self.state.successor.is_none() {
            self.state.successor = held;
        }
        self.put_in_place(good);
    }

    /// What is gone back to, should `next` not be good: the version that ran, if it was, and nobody ended it.
    pub(super) fn keep_last_good(&mut self, next: &mut Version) {
        let ended = self
            .state
            .instances
            .iter()
            .any(|instance| matches!(instance.phase, Phase::Ended(_)));
        let former = self.state.current.take();
        let itself = former
            .as_ref()
            .filter(|former| former.spec.revision == next.spec.revision);
        next.good |= itself.is_some_and(|former| former.good);
        if ended {
            self.state.good = None;
        } else if former
            .as_ref()
            .is_some_and(|former| former.good && former.spec.mode != Mode::Once)
        {
            self.state.good = former;
        }
        let same = |good: &mut Version| good.spec.revision == next.spec.revision;
        next.good |= self.state.good.take_if(same).is_some();
    }
}

#[cfg(test)]
mod tests;
