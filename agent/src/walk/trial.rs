//! A trial walk: what a sync would do, without doing it.
//!
//! Touches remote and mirror, like the walk; nothing is saved, stored or shown.

use super::{Walk, allowances, gaps::Halt, show::draw};
use crate::{
    bundles::{self, Shelf},
    picture::{Picture, trouble},
    resolve,
};
use std::rc::Rc;
use swarm_manifests::{id::Oid, problem::Refusal, settings::Trust};
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
        self.filling(|walk| walk.foresee(head, &trust)).await
    }

    /// From a head whose history is here to the picture that it would bring.
    fn foresee(&mut self, head: Oid, trust: &Trust) -> Result<Rc<Picture>, Halt> {
        let from = match &self.trusted {
            Some(trusted) => trusted.clone(),
            None => self.verifier.introduce(&self.objects, trust)??,
        };
        let (trusted, stopped) = match self.verifier.advance(&self.objects, &from, head)? {
            Advance::Moved(to) => (to, None),
            Advance::Same => (from, None),
            Advance::Stopped {
                at,
                commit,
                refusal,
            } => (at, Some(trouble(&refusal, Some(commit)))),
            Advance::Astray(refusal) => (from, Some(trouble(&refusal, Some(head)))),
        };
        let snapshot = Rc::new(self.verifier.snapshot(&self.objects, &trusted)?);
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
