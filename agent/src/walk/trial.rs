//! A trial walk: what a sync would do, without doing it.
//!
//! Touches remote and mirror, like the walk; nothing is saved, stored or shown.

use super::{Walk, allowances, show::draw};
use crate::{
    bundles::{self, Shelf},
    picture::{Picture, trouble},
};
use std::rc::Rc;
use swarm_manifests::problem::Refusal;

/// What a trial walk finds: the picture as a sync would leave it.
pub type Trial = Result<Rc<Picture>, Refusal>;

impl Walk {
    /// What a sync would do: history is fetched and judged, nothing is saved, stored or shown.
    pub async fn trial(&mut self) -> Trial {
        let Some(fetch) = &mut self.fetch else {
            return Ok(self.out.picture.borrow().clone());
        };
        let head = fetch.look(false).await?;
        let judged = self.judged(head).await?;
        let stopped = judged.as_ref().and_then(|judged| judged.stopped.as_ref());
        let stopped = stopped.map(|(refusal, commit)| trouble(refusal, Some(*commit)));
        let Some(trusted) = judged.and_then(|judged| judged.to) else {
            return Ok(Rc::new(Picture {
                trouble: stopped,
                ..Picture::clone(&self.out.picture.borrow())
            }));
        };
        let snapshot = self.whole_snapshot(&trusted).await?;
        let chosen = self.chosen(&snapshot);
        let needed = chosen.bundles();
        let secrets = self.secrets(&snapshot, &chosen);
        let Some(fetch) = &mut self.fetch else {
            return Ok(self.out.picture.borrow().clone());
        };
        let mut stock = Shelf {
            objects: &self.objects,
            verifier: &mut self.verifier,
            trusted: &trusted,
            policy: &snapshot.policy,
            void: &snapshot.void,
            store: &self.store,
        };
        let offers = bundles::foresee(&mut stock, &needed, fetch).await?;
        let allowances = allowances(&self.objects, &snapshot, self.followed);
        Ok(Rc::new(Picture {
            trouble: stopped,
            ..draw(
                &self.here,
                (&snapshot, &chosen),
                &trusted,
                (offers, &secrets),
                &allowances,
            )
        }))
    }
}
