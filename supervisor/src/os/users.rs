//! As whom a workflow runs: a user id of its own from the box's range, or a named user of the box; never root.

use super::launch::Ids;
use std::{collections::BTreeMap, path::Path};
use swarm_manifests::name::Name;

/// Why there is nobody to run as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// Every id of the range is taken.
    #[error("all user ids from {0} to {1} are taken: widen [users] range")]
    RangeFull(u32, u32),
    /// No such user on this box.
    #[error("this box has no user {0:?}")]
    NoUser(String),
    /// No such group on this box.
    #[error("this box has no group {0:?}")]
    NoGroup(String),
    /// Root, or somebody with its id.
    #[error("{0:?} is root, and no workflow runs as root")]
    Root(String),
    /// The user data base cannot be read.
    #[error("user {0:?} cannot be looked up: {1}")]
    Lookup(String, String),
}

/// A user id for this workflow: the one it has, or the first free one from its place in the range on. Pure; the caller keeps `taken`.
///
/// The place is a hash of state path and workflow, so that it comes to the same id again even where `taken` was lost.
pub fn allocate(
    taken: &BTreeMap<Name, u32>,
    range: (u32, u32),
    state: &Path,
    workflow: &Name,
) -> Result<u32, UserError> {
    let _ = (taken, range, state, workflow);
    todo!()
}

/// Ids for a user id of the range (its group has the same number), with further groups by name.
pub fn of_range(uid: u32, groups: &[String]) -> Result<Ids, UserError> {
    let _ = (uid, groups);
    todo!()
}

/// Ids of a user of this box, with further groups by name.
pub fn named(user: &str, groups: &[String]) -> Result<Ids, UserError> {
    let _ = (user, groups);
    todo!()
}

/// Whether we are root, and may switch users.
pub fn may_switch() -> bool {
    nix::unistd::geteuid().is_root()
}

/// `uid 1000 (ann)`, for the journal.
pub fn describe(uid: u32) -> String {
    todo!("{uid}")
}
