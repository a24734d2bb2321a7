//! "Look at git now", and "a request waits": nudges from webhooks and the mirror to every box that holds a watch open. A nudge carries no decision,
//! and is a level, not an edge: a number that rises, so that nobody misses the last one.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use swarm_manifests::name::Name;
use tokio::sync::watch;

/// A box that comes back within this time after a nudge is nudged at once: it may have missed it.
const FRESH: Duration = Duration::from_secs(60);

/// What watchers see.
#[derive(Debug, Default)]
pub struct Level {
    /// How many nudges there have been.
    pub count: u64,
    last: Option<Instant>,
    /// Which watch of a box is its newest: the others end, so that a box holds one.
    newest: BTreeMap<Name, u64>,
    /// How often each box was called because a request waits for it.
    calls: BTreeMap<Name, u64>,
}

impl Level {
    /// Whether this watch is the box's newest.
    pub fn is_newest(&self, name: &Name, watch: u64) -> bool {
        self.newest.get(name) == Some(&watch)
    }

    /// How often this box was called.
    pub fn calls(&self, name: &Name) -> u64 {
        self.calls.get(name).copied().unwrap_or(0)
    }

    /// Whether a box that comes back now may have missed a nudge.
    pub fn is_fresh(&self) -> bool {
        self.last.is_some_and(|last| last.elapsed() < FRESH)
    }
}

/// The way in, and the way to watch.
#[derive(Debug, Clone, Default)]
pub struct Nudges(Arc<(watch::Sender<Level>, watch::Sender<u64>)>);

impl Nudges {
    /// Nudges every box that watches.
    pub fn nudge(&self) {
        self.0.0.send_modify(|level| {
            level.count += 1;
            level.last = Some(Instant::now());
        });
    }

    /// Calls these boxes: a request waits.
    pub fn call(&self, boxes: &[Name]) {
        self.0.0.send_modify(|level| {
            for name in boxes {
                *level.calls.entry(name.clone()).or_default() += 1;
            }
        });
    }

    /// A box answered a request.
    pub fn answered(&self) {
        self.0.1.send_modify(|answers| *answers += 1);
    }

    /// A view that wakes at each answer of a box.
    pub fn answers(&self) -> watch::Receiver<u64> {
        self.0.1.subscribe()
    }

    /// Begins a watch of this box, which ends the one it had.
    pub fn begin(&self, name: &Name) -> (u64, watch::Receiver<Level>) {
        let mut number = 0;
        self.0.0.send_modify(|level| {
            let newest = level.newest.entry(name.clone()).or_default();
            *newest += 1;
            number = *newest;
        });
        (number, self.0.0.subscribe())
    }

    /// How many nudges there have been.
    pub fn count(&self) -> u64 {
        self.0.0.borrow().count
    }

    /// A view that wakes at each nudge.
    pub fn subscribe(&self) -> watch::Receiver<Level> {
        self.0.0.subscribe()
    }
}
