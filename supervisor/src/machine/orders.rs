//! What the agent and people want of a workflow. Pure.

use super::{
    Effect, Ended, Order, Phase, Preparation, State, Sync, Then, Trouble, Turn, Version, record_of,
};
use crate::protocol::{Origin, RunSpec};
use std::sync::Arc;
use swarm_manifests::{id::Digest, report};

impl Turn {
    /// A new revision becomes the successor; the one that runs, or waits, only gets its other particulars.
    pub(super) fn put(&mut self, spec: RunSpec) {
        let leaving = std::mem::take(&mut self.state.leaving);
        if let Some(successor) = self
            .state
            .successor
            .as_mut()
            .filter(|s| s.spec.revision == spec.revision)
        {
            successor.allow();
            successor.spec = Arc::new(spec);
            return;
        }
        let going = leaving
            || self
                .state
                .instances
                .iter()
                .any(|instance| instance.phase.is_leaving());
        if let Some(current) = self
            .state
            .current
            .as_mut()
            .filter(|c| c.spec.revision == spec.revision)
        {
            // What gives way comes back as what is held, and not after itself.
            if going && !current.is_held() {
                // It is being stopped already: it comes after itself.
                let again = Version {
                    spec: Arc::new(spec),
                    ..current.clone()
                };
                return self.succeed(again);
            }
            current.spec = Arc::new(spec);
            if current.allow() {
                self.wake(|ended| ended == Ended::Refused);
            }
            return self.drop_successor();
        }
        let version = Version::new(spec);
        let record = record_of(&self.state, Some(&version), "deploy");
        self.journal(record, Sync::Soon);
        if !self.state.is_known(&version.spec.revision) {
            self.state.killed = self.state.held;
        }
        self.succeed(version);
    }

    /// The box forbids it: it stands as the successor that may not run, or alone.
    pub(super) fn forbidden(&mut self, spec: RunSpec, trouble: &Trouble) {
        self.do_without(spec.revision);
        let is_held =
            |successor: &Version| successor.spec.revision == spec.revision && successor.is_held();
        if self.state.successor.as_ref().is_some_and(is_held) {
            return;
        }
        let known = self
            .state
            .version(&spec.revision)
            .is_some_and(|v| v.preparation == Preparation::Failed(trouble.clone()));
        let version = Version {
            preparation: Preparation::Failed(trouble.clone()),
            ..Version::new(spec)
        };
        if !known {
            self.journal_refusal(&version, trouble);
        }
        match self
            .state
            .current
            .as_mut()
            .filter(|c| c.spec.revision == version.spec.revision && !c.is_held())
        {
            Some(current) => {
                let was_installing = current.preparation == Preparation::Installing;
                let revision = version.spec.revision;
                *current = Version {
                    good: current.good,
                    ..version
                };
                if was_installing {
                    self.effects.push(Effect::CancelInstall(revision));
                }
                self.vacate_installing();
                self.drop_successor();
            }
            None => self.succeed(version),
        }
    }

    /// The box allows again what it refused: it starts where its turn is.
    pub(super) fn allowed(&mut self, revision: Digest) {
        let is_it = |version: &&mut Version| version.spec.revision == revision;
        if let Some(successor) = self.state.successor.as_mut().filter(is_it) {
            successor.allow();
        }
        if self
            .state
            .current
            .as_mut()
            .filter(is_it)
            .is_some_and(Version::allow)
        {
            self.wake(|ended| ended == Ended::Refused);
        }
    }

    /// The box forbids what it has: what runs goes on and does not start again, and who waits beside it waits on.
    pub(super) fn disallowed(&mut self, revision: Digest, trouble: &Trouble) {
        self.do_without(revision);
        let known = self
            .state
            .current
            .iter_mut()
            .chain(&mut self.state.successor);
        let refused = Preparation::Failed(trouble.clone());
        let mut judged = None;
        for version in known.filter(|version| version.spec.revision == revision) {
            if version.is_held() || version.preparation == refused {
                continue;
            }
            if std::mem::replace(&mut version.preparation, refused.clone())
                == Preparation::Installing
            {
                self.effects.push(Effect::CancelInstall(revision));
            }
            judged = Some(version.clone());
        }
        if let Some(version) = judged {
            self.journal_refusal(&version, trouble);
            self.vacate_installing();
        }
    }

    /// Where this was the last good version there is nothing to go back to any more: what was about to give way is tried on.
    fn do_without(&mut self, revision: Digest) {
        let is_it = |good: &mut Version| good.spec.revision == revision;
        if self.state.good.take_if(is_it).is_some()
            && let Some(held) = self.state.current.as_mut().filter(|c| c.is_held())
        {
            held.preparation = Preparation::Unasked;
        }
    }

    fn journal_refusal(&mut self, version: &Version, trouble: &Trouble) {
        let mut record = record_of(&self.state, Some(version), "refuse");
        record.rule.clone_from(&trouble.rule);
        record.reason = Some(trouble.reason.clone());
        self.journal(record, Sync::Soon);
    }

    /// Stops everything; the workflow is forgotten when it is gone.
    pub(super) fn remove(&mut self, origin: &Origin, reason: &str) {
        if self.state.leaving || (self.state.current.is_none() && self.state.successor.is_none()) {
            return;
        }
        let mut record = self.record("remove");
        record.reason = Some(reason.into());
        record.commit.clone_from(&origin.commit);
        record.by.clone_from(&origin.by);
        record.key.clone_from(&origin.key);
        self.journal(record, Sync::Now);
        self.drop_successor();
        self.cancel_installs();
        self.state.leaving = true;
        self.stop_all(Then::Leave);
    }

    /// Ends every instance for good. A successor that was put before takes over without a start: it was known when the kill was.
    pub(super) fn kill(&mut self, order: &Order, hold: bool) {
        self.journal_order("kill", order, Sync::Now);
        self.state.killed = true;
        self.state.held |= hold;
        self.cancel_installs();
        if !self.state.leaving {
            self.stop_all(Then::End(Ended::Killed));
        }
        if let Some(over) = &mut self.state.over {
            over.killed = Some(order.words("killed"));
        }
        for instance in &mut self.state.instances {
            instance.due = false;
            instance.reason = Some(order.words("killed"));
            instance.rule = None;
        }
    }

    /// Lifts what ended it; what waits starts now, what runs goes on.
    pub(super) fn start(&mut self, order: &Order) {
        self.journal_order("start", order, Sync::Now);
        self.lift();
    }

    /// Stops first, then as `start`.
    pub(super) fn restart(&mut self, order: &Order) {
        self.journal_order("restart", order, Sync::Now);
        self.lift();
        for at in 0..self.state.instances.len() {
            if matches!(self.state.instances[at].phase, Phase::Alive(_)) {
                self.stop(at, Then::Restart, order.words("restarted"));
                self.state.instances[at].streak = 0;
                self.state.instances[at].due = self.state.calendar.is_some();
            }
        }
    }

    /// `[install]` is done: whoever waited for it goes on.
    pub(super) fn installed(&mut self, revision: Digest, hash: Digest) {
        if let Some(version) = self.installing(revision) {
            version.preparation = Preparation::Done(Some(hash));
            self.vacate_installing();
        }
    }

    /// `[install]` failed: what runs stays.
    pub(super) fn install_failed(&mut self, revision: Digest, trouble: &Trouble) {
        let Some(version) = self.installing(revision) else {
            return;
        };
        version.preparation = Preparation::Failed(trouble.clone());
        let version = version.clone();
        let mut record = record_of(&self.state, Some(&version), "install");
        record.rule.clone_from(&trouble.rule);
        record.reason = Some(trouble.reason.clone());
        self.journal(record, Sync::Soon);
        self.vacate_installing();
    }

    fn installing(&mut self, revision: Digest) -> Option<&mut Version> {
        let mut versions = self
            .state
            .current
            .iter_mut()
            .chain(&mut self.state.successor);
        versions.find(|v| v.spec.revision == revision && v.preparation == Preparation::Installing)
    }

    /// Instances that wait for an install of `current` look again.
    fn vacate_installing(&mut self) {
        let done = self
            .state
            .current
            .as_ref()
            .is_some_and(|c| c.preparation != Preparation::Installing);
        for instance in self
            .state
            .instances
            .iter_mut()
            .filter(|i| done && i.phase == Phase::Installing)
        {
            instance.phase = Phase::Vacant;
        }
    }

    fn lift(&mut self) {
        if std::mem::take(&mut self.state.killed) {
            self.count_from_now();
        }
        self.state.held = false;
        if let Some(over) = &mut self.state.over {
            over.instances.clear();
            over.killed = None;
        }
        if self.state.leaving {
            return;
        }
        for version in self
            .state
            .current
            .iter_mut()
            .chain(&mut self.state.successor)
        {
            if matches!(&version.preparation, Preparation::Failed(trouble) if trouble.tried) {
                version.preparation = Preparation::Unasked;
            }
        }
        self.wake(|_| true);
        let scheduled = self.state.calendar.is_some();
        for instance in &mut self.state.instances {
            // Whoever says so need not wait for its time.
            instance.due |= scheduled && !matches!(instance.phase, Phase::Alive(_));
            if instance.phase == Phase::Scheduled {
                instance.phase = Phase::Vacant;
            }
            instance.streak = 0;
            instance.attempts = 0;
            match &mut instance.phase {
                Phase::Backoff { .. } | Phase::Blocked { .. } => instance.phase = Phase::Vacant,
                Phase::Stopping { then, .. } | Phase::Clearing { then, .. }
                    if *then != Then::Leave =>
                {
                    *then = Then::Restart;
                }
                _ => {}
            }
        }
    }

    fn wake(&mut self, which: impl Fn(Ended) -> bool) {
        let wall = self.now.wall;
        for instance in &mut self.state.instances {
            if matches!(instance.phase, Phase::Ended(ended) if which(ended)) {
                let (run, last_exit) = (instance.run, instance.last_exit.take());
                *instance = super::Instance {
                    run,
                    last_exit,
                    ..super::Instance::new(instance.number, wall)
                };
            }
        }
    }

    fn succeed(&mut self, version: Version) {
        self.drop_successor();
        self.state.successor = Some(version);
    }

    fn drop_successor(&mut self) {
        if let Some(Version {
            spec,
            preparation: Preparation::Installing,
            ..
        }) = self.state.successor.take()
        {
            self.effects.push(Effect::CancelInstall(spec.revision));
        }
    }

    fn cancel_installs(&mut self) {
        for version in self
            .state
            .current
            .iter_mut()
            .chain(&mut self.state.successor)
        {
            if version.preparation == Preparation::Installing {
                version.preparation = Preparation::Unasked;
                self.effects
                    .push(Effect::CancelInstall(version.spec.revision));
            }
        }
    }

    fn journal_order(&mut self, action: &str, order: &Order, sync: Sync) {
        let record = report::Event {
            by: Some(order.by.clone()),
            key: order.key.clone(),
            reason: order.reason.clone(),
            request: order.request.clone(),
            ..self.record(action)
        };
        self.journal(record, sync);
    }
}

impl State {
    /// A version that is about to start is granted less than when it was put.
    pub fn tighten(&mut self, spec: &Arc<RunSpec>) {
        let known = self.current.iter_mut().chain(&mut self.successor);
        for version in known.filter(|version| version.spec.revision == spec.revision) {
            version.spec = Arc::clone(spec);
        }
    }
}

impl Version {
    /// Whether it was refused; it is not any more.
    fn allow(&mut self) -> bool {
        let was_refused = self.is_refused();
        if was_refused {
            self.preparation = Preparation::Unasked;
        }
        was_refused
    }
}

impl Order {
    /// `killed by uid 0 (root): reason`.
    fn words(&self, done: &str) -> String {
        match &self.reason {
            Some(reason) => format!("{done} by {}: {reason}", self.by),
            None => format!("{done} by {}", self.by),
        }
    }
}
