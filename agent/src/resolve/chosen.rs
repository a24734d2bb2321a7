//! Which workflows of a snapshot mean this box, and why the others do not. Pure.
//!
//! A repository is mostly other boxes' affair, and from one snapshot to the next almost nothing of that changes: what was weighed
//! for the one before is not weighed again.

use super::choose::choose;
use crate::facts::Here;
use std::{cmp::Ordering, collections::BTreeMap, rc::Rc, sync::Arc};
use swarm_manifests::{name::Name, selector::Verdict};
use swarm_repository::snapshot::{Found, Snapshot};

/// What of a snapshot means this box.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// What chooses this box, and what cannot be read; in order of the paths.
    pub(super) meant: Vec<Arc<Found>>,
    /// Workflows for other boxes, and why they are not for this one.
    pub(super) elsewhere: Rc<BTreeMap<Name, String>>,
}

impl Chosen {
    /// Weighs every workflow.
    pub fn of(snapshot: &Snapshot, here: &Here) -> Self {
        let mut chosen = Self::default();
        for found in &snapshot.workflows {
            chosen.take(found, snapshot, here);
        }
        chosen
    }

    /// What [`Chosen::of`] says of `now`, where this is what it said of `before`, for the same box.
    #[must_use]
    pub fn after(&self, before: &Snapshot, now: &Snapshot, here: &Here) -> Self {
        let is_one_roster = Arc::ptr_eq(&before.roster, &now.roster)
            || before.roster.is_empty() && now.roster.is_empty();
        if !is_one_roster {
            return Self::of(now, here);
        }
        let (gone, come) = differing(&before.workflows, &now.workflows);
        let mut next = self.clone();
        for found in gone {
            next.meant.retain(|meant| !Arc::ptr_eq(meant, found));
            if next.elsewhere.contains_key(&found.workflow) {
                Rc::make_mut(&mut next.elsewhere).remove(&found.workflow);
            }
        }
        for found in come {
            next.take(found, now, here);
        }
        next.meant
            .sort_by(|a, b| a.brought.path.cmp(&b.brought.path));
        next
    }

    fn take(&mut self, found: &Arc<Found>, snapshot: &Snapshot, here: &Here) {
        let verdict = found
            .manifest
            .as_ref()
            .map(|manifest| choose(manifest, snapshot, here));
        match verdict {
            Ok(Verdict::NotChosen(reason)) => {
                Rc::make_mut(&mut self.elsewhere).insert(found.workflow.clone(), reason);
            }
            Ok(Verdict::Chosen) | Err(_) => self.meant.push(found.clone()),
        }
    }
}

/// What is on one side only. What both sides share is not looked into.
fn differing<'a>(
    before: &'a [Arc<Found>],
    now: &'a [Arc<Found>],
) -> (Vec<&'a Arc<Found>>, Vec<&'a Arc<Found>>) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    loop {
        let side = match (before.peek(), now.peek()) {
            (None, None) => return (gone, come),
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => {
                before.next();
                now.next();
                continue;
            }
            (Some(a), Some(b)) => a.brought.path.cmp(&b.brought.path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        if side.is_le() {
            gone.extend(before.next());
        }
        if side.is_ge() {
            come.extend(now.next());
        }
    }
}
