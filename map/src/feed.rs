//! Every change, in order, for whoever watches: a bounded ring that streams read from where they stopped.
//!
//! Changes come in from store and fleet; a stream that was away asks for what is newer than the last it saw, and is told to
//! read everything anew where that is no longer there. Slow readers hold nobody up.

use crate::{
    fleet::{BoxView, trunk::Trunk},
    store::audit::Entry,
};
use serde::Serialize;
use std::{collections::VecDeque, sync::Arc};
use swarm_manifests::status::Row;
use tokio::sync::watch;

/// How many changes are kept for readers who come back.
pub const KEPT: usize = 4096;

/// One change.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Change {
    /// A box is not as it was (its whole view).
    Box(Box<BoxView>),
    /// A workflow's row on a box is not as it was (the whole row).
    Row(Box<Row>),
    /// A row is gone.
    Gone {
        /// The box it was on.
        #[serde(rename = "box")]
        box_name: String,
        /// The workflow.
        workflow: String,
        /// Which instance of it.
        instance: u16,
    },
    /// A new line of the audit.
    Audit(Box<Entry>),
    /// The trunk moved, or something keeps it from moving.
    Trunk(Box<Trunk>),
}

impl Change {
    /// The event's name on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Box(_) => "box",
            Self::Row(_) => "row",
            Self::Gone { .. } => "gone",
            Self::Audit(_) => "audit",
            Self::Trunk(_) => "trunk",
        }
    }
}

/// A change with its place in the order of all.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// Counts from 1 since the map started.
    pub number: u64,
    /// What changed.
    pub change: Arc<Change>,
}

/// The ring itself.
#[derive(Debug, Default)]
pub struct Ring {
    changes: VecDeque<Numbered>,
    last: u64,
}

impl Ring {
    /// The number of the newest change.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Everything newer than `seen`, or none where some of that is no longer kept.
    pub fn since(&self, seen: u64) -> Option<Vec<Numbered>> {
        let oldest = self
            .changes
            .front()
            .map_or(self.last + 1, |first| first.number);
        let is_kept = seen.saturating_add(1) >= oldest && seen <= self.last;
        is_kept.then(|| {
            self.changes
                .iter()
                .filter(|c| c.number > seen)
                .cloned()
                .collect()
        })
    }
}

/// The way in, and the way to watch.
#[derive(Debug, Clone)]
pub struct Feed {
    ring: Arc<watch::Sender<Ring>>,
    /// Tells this run of the map from others: numbers count anew after a restart.
    pub epoch: u64,
}

impl Feed {
    /// An empty feed; `epoch` is unlike that of any run before.
    pub fn new(epoch: u64) -> Self {
        Self {
            ring: Arc::new(watch::Sender::new(Ring::default())),
            epoch,
        }
    }

    /// Appends a change.
    pub fn push(&self, change: Change) {
        self.ring.send_modify(|ring| {
            ring.last += 1;
            ring.changes.push_back(Numbered {
                number: ring.last,
                change: Arc::new(change),
            });
            if ring.changes.len() > KEPT {
                ring.changes.pop_front();
            }
        });
    }

    /// A view that wakes at each change.
    pub fn watch(&self) -> watch::Receiver<Ring> {
        self.ring.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(instance: u16) -> Change {
        Change::Gone {
            box_name: "b".into(),
            workflow: "w".into(),
            instance,
        }
    }

    #[test]
    fn a_reader_who_comes_back_gets_exactly_what_it_missed() {
        let feed = Feed::new(1);
        for instance in 0..5 {
            feed.push(gone(instance));
        }
        let missed = feed.watch().borrow().since(3).expect("kept");
        assert_eq!(missed.iter().map(|c| c.number).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn a_reader_who_was_away_too_long_is_told_so() {
        let feed = Feed::new(1);
        for _ in 0..=KEPT {
            feed.push(gone(0));
        }
        assert!(feed.watch().borrow().since(0).is_none());
        assert!(feed.watch().borrow().since(1).is_some());
    }

    #[test]
    fn a_number_from_the_future_is_not_believed() {
        assert!(Feed::new(1).watch().borrow().since(7).is_none());
        assert!(Feed::new(1).watch().borrow().since(u64::MAX - 1).is_none());
    }
}
