//! What outlives a removal: what was over of a revision, and a kill, for when it comes back. Pure.

use super::{Ended, Instance, Phase, State};
use serde::{Deserialize, Serialize};
use swarm_manifests::id::Digest;

/// What was over of a revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Over {
    /// Which.
    pub revision: Digest,
    /// The instances that had ended for good.
    pub instances: Vec<Instance>,
    /// Who killed it, where somebody did, in words.
    pub killed: Option<String>,
}

impl State {
    /// What is over of the current version: a refusal is none, it is looked at anew.
    pub(super) fn over(&self) -> Option<Over> {
        let revision = self.current.as_ref()?.spec.revision;
        let is_over = |instance: &&Instance| matches!(instance.phase, Phase::Ended(ended) if !matches!(ended, Ended::Refused | Ended::Killed));
        let instances: Vec<_> = self.instances.iter().filter(is_over).cloned().collect();
        let killed = self.instances.first().filter(|_| self.killed);
        Some(Over {
            revision,
            instances,
            killed: killed.and_then(|instance| instance.reason.clone()),
        })
    }

    /// Whether there is something that outlives a removal.
    pub fn is_over(&self) -> bool {
        self.over.is_some() || self.killed || self.held
    }

    /// Whether this revision is the one that was removed last.
    pub(super) fn is_known(&self, revision: &Digest) -> bool {
        let over = self.over.as_ref();
        over.is_some_and(|over| over.revision == *revision)
    }
}
