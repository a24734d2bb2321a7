//! The trunk as the map's own mirror knows it: the head that it verified, and what keeps it from moving. Pure values.

use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use swarm_manifests::{id::Oid, policy::Policy, report::Trouble, witness::Witness};

/// The trunk, as `GET /v1/trunk` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Trunk {
    /// The url that is used now, without credentials.
    pub repository: String,
    pub branch: String,
    /// What was verified last, by the rules that boxes go by; none until the introduction was.
    pub head: Option<Head>,
    /// Where the remote's branch was at the last look.
    pub remote_head: Option<String>,
    /// When the remote answered last.
    pub looked: Option<Timestamp>,
    /// Why the head does not follow the branch: a refused commit, or a branch that went astray.
    pub trouble: Option<Trouble>,
    /// Why the last look came to nothing: the remote, the network or the disk.
    pub failure: Option<Trouble>,
    /// The head as this map signs it for boxes.
    pub witness: Option<Witness>,
    /// Every verified commit of the trunk.
    #[serde(skip)]
    pub chain: Arc<Chain>,
    /// policy.toml at the head.
    #[serde(skip)]
    pub policy: Option<Arc<Policy>>,
}

/// The commits of the trunk by position, from the introduction on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Chain {
    /// The introduction's position.
    pub start: u64,
    pub commits: Vec<Oid>,
}

impl Chain {
    /// The commit at this position, where the mirror knows it.
    pub fn at(&self, position: u64) -> Option<Oid> {
        let index = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.commits.get(index).copied()
    }
}

/// A verified head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Head {
    pub commit: String,
    pub position: u64,
    /// Since when the mirror knows it.
    pub since: Timestamp,
    /// When it was committed, by the committer's own clock; for people only.
    pub time: Option<String>,
}

/// What is handed from the mirror to the fleet; none: this map has no mirror.
pub type Known = Option<Arc<Trunk>>;

/// Whether there is anything to tell: another look that found the same is nothing.
pub fn differ(old: &Known, new: &Known) -> bool {
    let essence = |known: &Known| {
        known.as_deref().map(|trunk| Trunk {
            looked: None,
            witness: None,
            ..trunk.clone()
        })
    };
    essence(old) != essence(new)
}
