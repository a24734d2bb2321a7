//! From the remote to objects in the mirror: what [`swarm_wire::fetch`] brings is taken over.
//!
//! Touches the network, quarantine and the mirror. The mirror never holds half a pack.
//!
//! Which blobs come along with a history is a bargain. Small ones save a request each time somebody deploys; those of other
//! boxes' bundles are of no use here. So they come along where the box has followed the trunk so far, and not too many.

use crate::settings::Config;
use anyhow::Context;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_manifests::{
    id::Oid,
    indexer::{QUARANTINE, SOCKET, STARTER},
    problem::Refusal,
    rules::remote::PACK,
};
use swarm_repository::{index, objects::ObjectError};
use swarm_wire::{
    echo::Echo,
    fetch,
    indexer::{Indexed, Quarantine},
    remote::{Blobs, Options},
};
use tokio::{task::JoinSet, time::Instant};

/// Blobs of less than this come along: manifests, signatures, locks of forty files.
const SMALL: u32 = 4 << 10;
/// So many bytes of history with small blobs may come in a [`DAY`].
const SPARE: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The remote, and the mirror that it fills.
pub struct Fetch {
    branch: fetch::Fetch,
    mirror: PathBuf,
    company: Company,
    /// What was taken over, on its way to the disk.
    settling: JoinSet<Result<(), ObjectError>>,
}

/// Whether small blobs come along.
#[derive(Debug, Clone)]
struct Company {
    /// The last look was answered, and what it led to was fetched.
    follows: bool,
    since: Instant,
    came: u64,
}

impl Company {
    fn new(now: Instant) -> Self {
        Self {
            follows: false,
            since: now,
            came: 0,
        }
    }

    /// For the next fetch.
    fn blobs(&mut self, now: Instant) -> Blobs {
        if now.duration_since(self.since) >= DAY {
            (self.since, self.came) = (now, 0);
        }
        if self.follows && self.came < SPARE {
            Blobs::Below(SMALL)
        } else {
            Blobs::Without
        }
    }
}

impl Fetch {
    /// Checks urls and makes an empty quarantine. None: this box has no repository.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(repository) = &config.settings.repository else {
            return Ok(None);
        };
        let own = config.own();
        let quarantine = quarantine(&own, std::env::var_os(STARTER).map(PathBuf::from));
        let mirror = own.join("mirror");
        index::clear(&quarantine.folder, &mirror)
            .with_context(|| format!("cannot clear {}", quarantine.folder.display()))?;
        let options = Options {
            credentials_file: repository.credentials_file.clone(),
            known_hosts: repository.known_hosts.clone(),
            identity_file: repository.identity_file.clone(),
            ca: repository.ca.clone(),
            run_dir: Some(own.clone()),
        };
        Ok(Some(Self {
            branch: fetch::Fetch::new(&repository.urls, &repository.branch, &options, quarantine)?,
            mirror,
            company: Company::new(Instant::now()),
            settling: JoinSet::new(),
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
        let seen = self.branch.look(expects_news).await;
        self.company.follows &= seen.is_ok();
        seen
    }

    /// The last look, to be asked again as long as the branch stays at `known`; see [`swarm_wire::remote::Remote::echo`].
    pub async fn echo(&mut self, known: Oid) -> Option<Echo> {
        self.branch.echo(known).await
    }

    /// The connection is back.
    pub async fn take_back(&mut self, echo: Echo) {
        self.branch.take_back(echo).await;
    }

    /// As [`Fetch::look`], while the history up to `guess` is fetched already.
    pub async fn look_ahead(&mut self, guess: Oid, have: &[Oid]) -> Result<Oid, Refusal> {
        let blobs = self.company.blobs(Instant::now());
        let seen = self.branch.look_ahead(guess, have, blobs).await;
        self.company.follows &= seen.is_ok();
        let (head, indexed) = seen?;
        if let Some(indexed) = indexed {
            self.came(indexed, blobs)?;
        }
        Ok(head)
    }

    /// Nothing more is expected: an indexer that waits is let go.
    pub fn rest(&mut self) {
        self.branch.rest();
    }

    /// Fetches the commits and trees of `want` that `have` has not, perhaps with small blobs. Returns the bytes received.
    pub async fn history(&mut self, want: Oid, have: &[Oid]) -> Result<u64, Refusal> {
        self.company.follows &= !have.is_empty();
        let blobs = self.company.blobs(Instant::now());
        let indexed = self.branch.history(want, have, blobs).await?;
        self.came(indexed, blobs)
    }

    fn came(&mut self, history: Indexed, blobs: Blobs) -> Result<u64, Refusal> {
        let bytes = self.take(history)?;
        self.company.follows = true;
        if blobs != Blobs::Without {
            self.company.came += bytes;
        }
        Ok(bytes)
    }

    /// Fetches these objects.
    pub async fn blobs(&mut self, mut want: &[Oid]) -> Result<u64, Refusal> {
        let mut bytes = 0;
        while !want.is_empty() {
            let (indexed, left) = self.branch.blobs(want).await?;
            bytes += self.take(indexed)?;
            want = left;
        }
        Ok(bytes)
    }

    /// Makes the objects part of the mirror. They are written to the disk beside whoever reads them: [`Fetch::settle`] waits for it.
    fn take(&mut self, indexed: Indexed) -> Result<u64, Refusal> {
        let bytes = indexed.bytes;
        let adopted =
            index::take_over(indexed.folder(), &self.mirror).map_err(|error| lost(&error))?;
        self.settling.spawn_blocking(move || {
            let settled = adopted.settle();
            // Until here a new agent would take them away again.
            drop(indexed);
            settled
        });
        tracing::info!(bytes, "fetched");
        Ok(bytes)
    }

    /// Waits until all that was taken over is on the disk: nothing may be founded on it before.
    pub async fn settle(&mut self) -> Result<(), Refusal> {
        while let Some(settled) = self.settling.join_next().await {
            let settled = settled.map_err(|error| lost(&error))?;
            settled.map_err(|error| lost(&error))?;
        }
        Ok(())
    }
}

/// The supervisor's, where it starts indexers as a user of their own; else ours.
fn quarantine(own: &Path, starter: Option<PathBuf>) -> Quarantine {
    let folder = starter.as_deref().unwrap_or(own).join(QUARANTINE);
    let starter = starter.map(|starter| starter.join(SOCKET));
    Quarantine { folder, starter }
}

fn lost(error: &dyn std::fmt::Display) -> Refusal {
    let reason = format!("the objects could not be taken over: {error}");
    Refusal::new(&PACK, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_blobs_come_along_with_steps_until_a_days_worth_has_come() {
        let start = Instant::now();
        let mut company = Company::new(start);
        assert_eq!(company.blobs(start), Blobs::Without, "the box was away");
        company.follows = true;
        assert_eq!(company.blobs(start), Blobs::Below(SMALL));
        company.came = SPARE;
        assert_eq!(company.blobs(start + DAY / 2), Blobs::Without);
        assert_eq!(company.blobs(start + DAY), Blobs::Below(SMALL));
    }
}
