//! The fleet is folded again at each report, each move of the mirror, and each deadline; what is different goes to the feed.
//!
//! In: records and trunk, by watching them. Out: the fleet into a watch, changes into the feed. Touches the clock.

use crate::{
    feed::Feed,
    fleet::{Fleet, change::changes, fold, trunk::Known},
    store::{Store, reports::Reports},
};
use jiff::{SignedDuration, Timestamp};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often it is looked which tokens other processes made.
const TOKENS: Duration = Duration::from_secs(5);

/// The task that keeps the fleet: it folds again at each report, each move of the mirror, and each deadline.
pub(super) struct Folding {
    pub(super) reports: watch::Receiver<Arc<Reports>>,
    pub(super) trunk: watch::Receiver<Known>,
    pub(super) fleet: watch::Sender<Arc<Fleet>>,
    pub(super) feed: Feed,
    pub(super) store: Store,
    pub(super) heartbeat: SignedDuration,
}

impl Folding {
    /// Keeps it until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut tokens = tokio::time::interval(TOKENS);
        loop {
            let deadline = self.fleet.borrow().next_change;
            // A little late rather than a little early: at the deadline itself the state has changed.
            let wait = deadline.map_or(Duration::from_secs(3600), |at| {
                Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
                    + Duration::from_millis(5)
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                _ = tokens.tick() => {
                    if let Err(error) = self.store.ask(|ledger| ledger.refresh_pending(Timestamp::now())).await {
                        tracing::error!(%error, "the store failed");
                    }
                    continue;
                }
                changed = self.reports.changed() => if changed.is_err() { return },
                Ok(()) = self.trunk.changed() => {}
            }
            self.fold();
        }
    }

    fn fold(&self) {
        let new = fold(
            &self.reports.borrow(),
            &self.trunk.borrow(),
            self.heartbeat,
            Timestamp::now(),
        );
        let old = self.fleet.borrow().clone();
        let changes = changes(&old, &new);
        self.fleet.send_replace(Arc::new(new));
        for change in changes {
            self.feed.push(change);
        }
    }
}
