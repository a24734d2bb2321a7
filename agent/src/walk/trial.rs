//! A trial walk: what a sync would do, without doing it.
//!
//! Touches remote and mirror, like the walk; nothing is saved, stored or shown.

use super::{Walk, allowances, show::draw, unreadable};
use crate::{
    bundles::{self, Shelf},
    picture::{Picture, trouble},
    resolve,
};
use std::rc::Rc;
use swarm_manifests::problem::Refusal;
use swarm_repository::trunk::Advance;

/// What a trial walk finds: the picture as a sync would leave it.
pub type Trial = Result<Rc<Picture>, Refusal>;

impl Walk {
    /// What a sync would do: history is fetched and judged, nothing is saved, stored or shown.
    pub async fn trial(&mut self) -> Trial {
        let Some(fetch) = &mut self.fetch else {
            return Ok(self.out.picture.borrow().clone());
        };
        let head = fetch.look(false).await?;
        self.fetch_history(head).await?;
        let Some(trust) = self.config.settings.trust.clone() else {
            return Ok(self.out.picture.borrow().clone());
        };
        let from = match &self.trusted {
            Some(trusted) => trusted.clone(),
            None => self
                .verifier
                .introduce(&self.objects, &trust)
                .map_err(|error| unreadable(&error))??,
        };
        let (trusted, stopped) = match self
            .verifier
            .advance(&self.objects, &from, head)
            .map_err(|error| unreadable(&error))?
        {
            Advance::Moved(to) => (to, None),
            Advance::Same => (from, None),
            Advance::Stopped {
                at,
                commit,
                refusal,
            } => (at, Some(trouble(&refusal, Some(commit)))),
            Advance::Astray(refusal) => (from, Some(trouble(&refusal, Some(head)))),
        };
        let snapshot = Rc::new(
            self.verifier
                .snapshot(&self.objects, &trusted)
                .map_err(|error| unreadable(&error))?,
        );
        let needed = resolve::needed(&snapshot, &self.here);
        let mut stock = Shelf {
            objects: &self.objects,
            verifier: &mut self.verifier,
            trusted: &trusted,
            policy: &snapshot.policy,
            void: &snapshot.void,
            store: &self.store,
        };
        let offers = bundles::foresee(&mut stock, &needed);
        let allowances = allowances(&self.objects, &snapshot, self.followed);
        Ok(Rc::new(Picture {
            trouble: stopped,
            ..draw(&self.here, &snapshot, &trusted, offers, &allowances)
        }))
    }
}
