//! What makes the agent look: timer, webhook, the map's nudge, a file that changed, `sync`. All of it becomes one [`Wake`].
//!
//! A forged, repeated or lost wake costs a look, and decides nothing. What one says was pushed is fetched ahead while the branch
//! is looked at, and counts where the branch is there.

pub mod files;
pub mod hooks;
pub mod pushed;
pub mod webhook;

use pushed::Pushed;
use std::time::Duration;
use tokio::sync::watch;

/// How long one waits for more saves of the same file or folder.
pub const SETTLE: Duration = Duration::from_millis(100);

/// How often somebody asked us to look; a level, so that none is lost while we are busy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nudges {
    /// All of them.
    pub all: u64,
    /// Those by somebody who says that there is something new: it may take a moment until it can be seen.
    pub promised: u64,
    /// What the last of these said was pushed.
    pub pushed: Option<Pushed>,
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
    pub fn promise(&self, by: &'static str, pushed: Option<Pushed>) {
        tracing::debug!(by, ?pushed, "woken: something is new");
        self.0.send_modify(|nudges| {
            nudges.all += 1;
            nudges.promised += 1;
            nudges.pushed = pushed;
        });
    }

    /// For who looks.
    pub fn watch(&self) -> watch::Receiver<Nudges> {
        self.0.subscribe()
    }
}
