//! From the remote to objects in the mirror: what [`swarm_wire::fetch`] brings is taken over.
//!
//! Touches the network, quarantine and the mirror. The mirror never holds half a pack.

use crate::settings::Config;
use anyhow::Context;
use std::path::{Path, PathBuf};
use swarm_manifests::{id::Oid, problem::Refusal, rules::remote::PACK};
use swarm_repository::index;
use swarm_wire::{fetch, indexer::Indexed, remote::Options};

/// The remote, and the mirror that it fills.
pub struct Fetch {
    branch: fetch::Fetch,
    mirror: PathBuf,
}

impl Fetch {
    /// Checks urls and makes an empty quarantine. None: this box has no repository.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(repository) = &config.settings.repository else {
            return Ok(None);
        };
        let own = config.own();
        let quarantine = own.join("quarantine");
        index::clear(&quarantine)
            .with_context(|| format!("cannot clear {}", quarantine.display()))?;
        let options = Options {
            credentials_file: repository.credentials_file.clone(),
            known_hosts: repository.known_hosts.clone(),
            identity_file: repository.identity_file.clone(),
            ca: repository.ca.clone(),
            run_dir: Some(own.clone()),
        };
        Ok(Some(Self {
            branch: fetch::Fetch::new(&repository.urls, &repository.branch, &options, quarantine)?,
            mirror: own.join("mirror"),
        }))
    }

    /// Where the mirror lies.
    pub fn mirror(&self) -> &Path {
        &self.mirror
    }

    /// The url that is used now, for people.
    pub fn shown_url(&self) -> &str {
        self.branch.shown_url()
    }

    /// Where the branch is. Where something new is expected, an indexer starts while the server thinks.
    pub async fn look(&mut self, expects_news: bool) -> Result<Oid, Refusal> {
        self.branch.look(expects_news).await
    }

    /// Nothing more is expected: an indexer that waits is let go.
    pub fn rest(&mut self) {
        self.branch.rest();
    }

    /// Fetches the commits and trees of `want` that `have` has not. Returns the bytes received.
    pub async fn history(&mut self, want: Oid, have: &[Oid]) -> Result<u64, Refusal> {
        let indexed = self.branch.history(want, have).await?;
        self.take(&indexed)
    }

    /// Fetches these objects.
    pub async fn blobs(&mut self, mut want: &[Oid]) -> Result<u64, Refusal> {
        let mut bytes = 0;
        while !want.is_empty() {
            let (indexed, left) = self.branch.blobs(want).await?;
            bytes += self.take(&indexed)?;
            want = left;
        }
        Ok(bytes)
    }

    fn take(&self, indexed: &Indexed) -> Result<u64, Refusal> {
        let bytes = indexed.bytes;
        index::adopt(indexed.folder(), &self.mirror).map_err(|error| {
            Refusal::new(
                &PACK,
                format!("the objects could not be taken over: {error}"),
            )
        })?;
        tracing::info!(bytes, "fetched");
        Ok(bytes)
    }
}
