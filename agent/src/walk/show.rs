//! How the walk hands on what it knows: whole pictures, contacts, events for the journal.
//!
//! Touches its outlets only, and never waits for who listens.

use super::{Outlets, Walk};
use crate::{
    facts::Here,
    picture::{Picture, trouble},
    resolve::{self, BundleKey, Offer, chosen::Chosen},
    secrets::Secrets,
};
use std::{collections::BTreeMap, rc::Rc};
use swarm_manifests::{
    problem::Refusal,
    report::{Event, Trouble},
};
use swarm_repository::{snapshot::Snapshot, trusted::Trusted};

/// What was chosen last: of what, for whom.
pub(super) struct Weighed {
    here: Rc<Here>,
    snapshot: Rc<Snapshot>,
    chosen: Rc<Chosen>,
}

impl Walk {
    /// What of a snapshot means this box.
    pub(super) fn chosen(&mut self, snapshot: &Rc<Snapshot>) -> Rc<Chosen> {
        let before = self.chosen.take();
        let same = before.filter(|before| Rc::ptr_eq(&before.here, &self.here));
        let chosen = Rc::new(match same {
            Some(before) => before.chosen.after(&before.snapshot, snapshot, &self.here),
            None => Chosen::of(snapshot, &self.here),
        });
        self.chosen = Some(Weighed {
            here: self.here.clone(),
            snapshot: snapshot.clone(),
            chosen: chosen.clone(),
        });
        chosen
    }

    /// Shows the picture with this trouble and everything else as it was.
    pub(super) fn show(&self, trouble: Option<Trouble>) {
        self.out.picture.send_modify(|picture| {
            let before = Picture::clone(picture);
            *picture = Rc::new(Picture {
                here: self.here.clone(),
                trouble,
                ..before
            });
        });
    }

    pub(super) fn failed(&self, refusal: &Refusal) {
        self.out
            .contact
            .send_modify(|contact| contact.failure = Some(refusal.clone()));
        let now = trouble(refusal, None);
        // A trunk that is stopped stays the trouble that counts; that the remote is away beside it stands in the contact.
        let standing = self.out.picture.borrow().trouble.clone();
        if standing
            .as_ref()
            .is_none_or(|standing| standing.commit.is_none() && standing.rule != now.rule)
        {
            self.show(Some(now));
        }
    }

    /// The remote answers again: a trouble that was only that is over.
    pub(super) fn recovered(&self) {
        let is_over = self
            .out
            .picture
            .borrow()
            .trouble
            .as_ref()
            .is_some_and(|trouble| trouble.commit.is_none());
        if is_over {
            self.show(None);
        }
    }

    /// The secrets that this snapshot means for this box.
    pub(super) fn secrets(&mut self, snapshot: &Snapshot, chosen: &Chosen) -> Rc<Secrets> {
        Rc::new(self.opener.open(snapshot, chosen, &self.objects))
    }

    pub(super) fn tell(&self, event: Event) {
        if self.out.events.try_send(event).is_err() {
            tracing::warn!("an event did not reach the journal: too many wait");
        }
    }
}

/// The picture that this snapshot and these bundles make for this box.
pub fn draw(
    here: &Rc<Here>,
    (snapshot, chosen): (&Rc<Snapshot>, &Chosen),
    trusted: &Trusted,
    (offers, secrets): (BTreeMap<BundleKey, Offer>, &Rc<Secrets>),
    allowances: &Rc<Vec<(u64, u32)>>,
) -> Picture {
    Picture {
        here: here.clone(),
        introduction: Some(trusted.introduction),
        resolved: Rc::new(resolve::resolve(snapshot, here, chosen, &offers, secrets)),
        offers: Rc::new(offers),
        secrets: secrets.clone(),
        snapshot: Some(snapshot.clone()),
        allowances: allowances.clone(),
        trouble: None,
        warnings: Vec::new(),
    }
}

/// Hands a picture on, with the warnings that stand.
pub fn send(out: &Outlets, picture: Picture) {
    let warnings = out.picture.borrow().warnings.clone();
    out.picture.send_replace(Rc::new(Picture {
        warnings,
        ..picture
    }));
}
