//! The audit is sealed at intervals, and once more at the end. Asks the store.

use crate::store::{Store, StoreError, seal};
use ssh_key::PrivateKey;
use std::{path::Path, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// So old is the newest row that is not sealed yet, at most.
const INTERVAL: Duration = Duration::from_secs(10);

/// What seals need.
#[derive(Clone)]
pub(super) struct Sealing {
    store: Store,
    key: Arc<PrivateKey>,
    /// Where the database is.
    place: Arc<Path>,
}

impl Sealing {
    pub(super) fn new(store: Store, key: PrivateKey, place: &Path) -> Self {
        Self {
            store,
            key: Arc::new(key),
            place: place.into(),
        }
    }

    /// Seals what is there now.
    pub(super) async fn seal(&self) -> Result<(), StoreError> {
        let (key, place) = (Arc::clone(&self.key), Arc::clone(&self.place));
        self.store
            .ask(move |ledger| seal::renew(&ledger.db, &key, &place))
            .await
    }

    /// Seals until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.seal().await {
                tracing::error!(%error, "the audit cannot be sealed");
            }
        }
    }
}
