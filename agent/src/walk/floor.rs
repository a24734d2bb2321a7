//! A box that trusts nothing yet, or lost what it trusted, goes no lower than where the map saw the trunk: if a commit that can be
//! fetched and verified stands behind it.
//!
//! Touches remote and mirror. Nothing of that commit runs: only the branch's own head is followed, and it has to contain it.

use super::{Walk, gaps::Halt};
use crate::report::Heard;
use std::time::Duration;
use swarm_manifests::{id::Oid, problem::Refusal};
use swarm_repository::{trunk::Advance, trusted::Trusted};

/// So long a box that trusts nothing waits to hear from its map, before it goes on without.
const WAIT: Duration = Duration::from_secs(10);

impl Walk {
    /// Fetches what the map bore witness of, where nothing is trusted. What cannot be had is no floor: a map can delay, not stop.
    pub(super) async fn find_floor(&mut self) {
        self.floor = None;
        if self.trusted.is_some() {
            return;
        }
        let known = self
            .heard
            .wait_for(|heard| matches!(heard, Heard::Known(_)));
        let heard = match tokio::time::timeout(WAIT, known).await {
            Ok(Ok(heard)) => heard.clone(),
            _ => return,
        };
        let Heard::Known(Some(witness)) = heard else {
            return;
        };
        match self.fetch_history(witness.commit).await {
            Ok(()) => self.floor = Some(witness),
            Err(refusal) => {
                tracing::warn!(%refusal, position = witness.position, "what the map bore witness of cannot be fetched");
            }
        }
    }

    /// Why this head is below the floor, where it is.
    pub(super) fn below_floor(
        &mut self,
        introduced: &Trusted,
        head: Oid,
    ) -> Result<Option<Refusal>, Halt> {
        let Some(witness) = self.floor.clone() else {
            return Ok(None);
        };
        let policy = self.verifier.snapshot(&self.objects, introduced)?.policy;
        if witness.check_repository(&policy.repository).is_err() {
            return Ok(None);
        }
        let reached = self
            .verifier
            .advance(&self.objects, introduced, witness.commit);
        let floor = match reached {
            Ok(Advance::Moved(to))
                if (to.head, to.position) == (witness.commit, witness.position) =>
            {
                to
            }
            // Nothing was pushed since the introduction.
            Ok(Advance::Same)
                if (introduced.head, introduced.position) == (witness.commit, witness.position) =>
            {
                introduced.clone()
            }
            _ => {
                tracing::warn!(
                    position = witness.position,
                    "what the map bore witness of does not verify"
                );
                return Ok(None);
            }
        };
        Ok(match self.verifier.advance(&self.objects, &floor, head)? {
            Advance::Astray(refusal) => Some(refusal),
            _ => None,
        })
    }
}
