//! What makes the agent look: timer, webhook, the map's nudge, a file that changed, `sync`. All of it becomes one [`Wake`].
//!
//! A wake carries nothing. A forged, repeated or lost one costs a look, and decides nothing.

pub mod files;
pub mod hooks;
pub mod webhook;

use std::time::Duration;
use tokio::sync::watch;

/// How long one waits for more saves of the same file or folder.
pub const SETTLE: Duration = Duration::from_millis(100);

/// How often somebody asked us to look; a level, so that none is lost while we are busy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Nudges {
    /// All of them.
    pub all: u64,
    /// Those by somebody who says that there is something new: it may take a moment until it can be seen.
    pub promised: u64,
}

/// The one thing that every trigger holds.
#[derive(Debug, Clone)]
pub struct Wake(watch::Sender<Nudges>);

impl Default for Wake {
    fn default() -> Self {
        Self(watch::Sender::new(Nudges::default()))
    }
}

impl Wake {
    /// Look. Returns the nudge's number: once so many are served, this one is.
    pub fn nudge(&self, by: &'static str) -> u64 {
        tracing::debug!(by, "woken");
        self.0.send_modify(|nudges| nudges.all += 1);
        self.0.borrow().all
    }

    /// Look, and look again for a while if nothing is new yet.
    pub fn promise(&self, by: &'static str) {
        tracing::debug!(by, "woken: something is new");
        self.0.send_modify(|nudges| {
            nudges.all += 1;
            nudges.promised += 1;
        });
    }

    /// For who looks.
    pub fn watch(&self) -> watch::Receiver<Nudges> {
        self.0.subscribe()
    }
}
