//! What the mirror trusts, as the map's other rooms see it: the head, the commits behind it, the policy, the witness.
//!
//! In: the trust and the objects. Out: a [`Trunk`] in the watch. Reads the mirror's objects, signs with the map's key.

use super::Mirror;
use crate::fleet::trunk::{Chain, Head, Trunk};
use jiff::Timestamp;
use std::sync::Arc;
use swarm_manifests::witness::Witness;
use swarm_repository::{commit::Commit, history, objects::ObjectError, trusted::Trusted};

impl Mirror {
    pub(super) fn head(&self, to: &Trusted, since: Timestamp) -> Head {
        let raw = self.objects.commit(to.head).ok();
        let commit = raw.and_then(|raw| Commit::parse(&raw).ok());
        Head {
            commit: to.head.to_string(),
            position: to.position,
            since,
            time: commit.map(|commit| commit.time()),
        }
    }

    /// Shows what is trusted to whoever asks: the policy, every commit up to the head, and the head signed anew.
    pub(super) fn show_trusted(&mut self) {
        let Some(trusted) = self.trusted.clone() else {
            return;
        };
        let known = self
            .trunk
            .borrow()
            .as_ref()
            .map(|trunk| Arc::clone(&trunk.chain));
        let chain = self.chain(&trusted, &known.unwrap_or_default());
        let snapshot = self.verifier.snapshot(&self.objects, &trusted);
        let (chain, snapshot) = match (chain, snapshot) {
            (Ok(chain), Ok(snapshot)) => (chain, snapshot),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "the mirror cannot be read");
                return;
            }
        };
        let time = Timestamp::now().to_string();
        let repository = &snapshot.policy.repository;
        let witness = Witness::sign(&self.key, repository, trusted.position, trusted.head, &time);
        if let Err(error) = &witness {
            tracing::error!(%error, "the map's key signs nothing");
        }
        self.tell(|trunk| {
            trunk.witness = witness.ok();
            trunk.chain = chain;
            trunk.policy = Some(snapshot.policy);
        });
    }

    /// The commits up to what is trusted, those that are known already taken over.
    fn chain(&self, trusted: &Trusted, known: &Arc<Chain>) -> Result<Arc<Chain>, ObjectError> {
        if known.start == trusted.start && known.commits.last() == Some(&trusted.head) {
            return Ok(Arc::clone(known));
        }
        let above = trusted.position.saturating_sub(trusted.start);
        let wanted = usize::try_from(above).unwrap_or(usize::MAX);
        let mut commits = history::behind(&self.objects, trusted.head, wanted)?;
        commits.reverse();
        commits.push(trusted.head);
        Ok(Arc::new(Chain {
            start: trusted.start,
            commits,
        }))
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Trunk)) {
        self.trunk.send_if_modified(|known| {
            let Some(trunk) = known else { return false };
            let mut new = Trunk::clone(trunk);
            change(&mut new);
            let is_new = new != **trunk;
            if is_new {
                *trunk = Arc::new(new);
            }
            is_new
        });
    }
}
