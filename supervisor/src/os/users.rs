//! As whom a workflow runs: a user id of its own from the box's range, or a named user of the box; never root.

use super::launch::Ids;
use nix::unistd::{Group, Uid, User};
use std::{collections::BTreeMap, ffi::CString, os::unix::ffi::OsStrExt, path::Path};
use swarm_manifests::{id::Digest, name::Name};

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
/// The place is a hash of state path and workflow, so that it comes to the same id again even where `taken` was lost. Both ends of the
/// range belong to it; root never does.
pub fn allocate(
    taken: &BTreeMap<Name, u32>,
    range: (u32, u32),
    state: &Path,
    workflow: &Name,
) -> Result<u32, UserError> {
    let (first, last) = (range.0.max(1), range.1);
    let full = || UserError::RangeFull(range.0, range.1);
    let size = last
        .checked_sub(first)
        .map(|size| u64::from(size) + 1)
        .ok_or_else(full)?;
    if let Some(&own) = taken
        .get(workflow)
        .filter(|own| (first..=last).contains(own))
    {
        return Ok(own);
    }
    let mut seed = state.as_os_str().as_bytes().to_vec();
    seed.push(0);
    seed.extend_from_slice(workflow.as_str().as_bytes());
    let hash = Digest::of(&seed).0;
    let place = u64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])) % size;
    let others: std::collections::BTreeSet<u32> = taken
        .iter()
        .filter(|(name, _)| *name != workflow)
        .map(|(_, &uid)| uid)
        .collect();
    (0..size)
        .filter_map(|step| u32::try_from(u64::from(first) + (place + step) % size).ok())
        .find(|uid| !others.contains(uid))
        .ok_or_else(full)
}

/// Ids for a user id of the range (its group has the same number), with further groups by name.
pub fn of_range(uid: u32, groups: &[String]) -> Result<Ids, UserError> {
    if uid == 0 {
        return Err(UserError::Root("0".into()));
    }
    Ok(Ids {
        uid,
        gid: uid,
        groups: group_ids(groups)?,
    })
}

/// Ids of a user of this box with the groups it is in, and further groups by name.
pub fn named(user: &str, groups: &[String]) -> Result<Ids, UserError> {
    let lookup = |errno: nix::errno::Errno| UserError::Lookup(user.into(), errno.desc().into());
    let found = User::from_name(user)
        .map_err(lookup)?
        .ok_or_else(|| UserError::NoUser(user.into()))?;
    if found.uid.is_root() || found.gid.as_raw() == 0 {
        return Err(UserError::Root(user.into()));
    }
    let name = CString::new(user).map_err(|_| UserError::NoUser(user.into()))?;
    let member = nix::unistd::getgrouplist(&name, found.gid).map_err(lookup)?;
    let mut all: Vec<u32> = member
        .into_iter()
        .map(nix::unistd::Gid::as_raw)
        .chain(group_ids(groups)?)
        .collect();
    all.sort_unstable();
    all.dedup();
    all.retain(|&gid| gid != 0);
    Ok(Ids {
        uid: found.uid.as_raw(),
        gid: found.gid.as_raw(),
        groups: all,
    })
}

fn group_ids(groups: &[String]) -> Result<Vec<u32>, UserError> {
    let id = |name: &String| match Group::from_name(name) {
        Ok(Some(group)) if group.gid.as_raw() == 0 => Err(UserError::Root(name.clone())),
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(UserError::NoGroup(name.clone())),
        Err(errno) => Err(UserError::Lookup(name.clone(), errno.desc().into())),
    };
    groups.iter().map(id).collect()
}

/// Whether we are root, and may switch users.
pub fn may_switch() -> bool {
    nix::unistd::geteuid().is_root()
}

/// `uid 1000 (ann)`, for the journal.
pub fn describe(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("uid {uid} ({})", user.name),
        _ => format!("uid {uid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    #[test]
    fn an_id_is_kept_and_found_again_without_memory() {
        let state = Path::new("/var/lib/swarm");
        let first =
            allocate(&BTreeMap::new(), (64100, 65400), state, &name("ramp")).expect("an id");
        assert_eq!(
            allocate(&BTreeMap::new(), (64100, 65400), state, &name("ramp")),
            Ok(first)
        );
        let kept = BTreeMap::from([(name("ramp"), 64200)]);
        assert_eq!(
            allocate(&kept, (64100, 65400), state, &name("ramp")),
            Ok(64200)
        );
    }

    #[test]
    fn a_range_that_was_moved_moves_its_users() {
        let kept = BTreeMap::from([(name("ramp"), 5)]);
        let moved = allocate(&kept, (64100, 65400), Path::new("/s"), &name("ramp")).expect("an id");
        assert!((64100..=65400).contains(&moved));
    }

    #[test]
    fn a_full_range_says_so() {
        let taken = BTreeMap::from([(name("a"), 100), (name("b"), 101)]);
        assert_eq!(
            allocate(&taken, (100, 101), Path::new("/s"), &name("c")),
            Err(UserError::RangeFull(100, 101))
        );
        assert_eq!(
            allocate(&taken, (9, 3), Path::new("/s"), &name("c")),
            Err(UserError::RangeFull(9, 3))
        );
    }

    #[test]
    fn nobody_becomes_root() {
        assert!(matches!(named("root", &[]), Err(UserError::Root(_))));
        assert!(matches!(of_range(0, &[]), Err(UserError::Root(_))));
        assert!(matches!(
            of_range(64100, &["root".into()]),
            Err(UserError::Root(_))
        ));
        assert!(matches!(
            named("no-such-user-here", &[]),
            Err(UserError::NoUser(_))
        ));
        assert_eq!(
            allocate(&BTreeMap::new(), (0, 1), Path::new("/s"), &name("c")),
            Ok(1)
        );
    }

    proptest! {
        #[test]
        fn no_two_workflows_share_an_id(names in proptest::collection::btree_set("[a-z][a-z0-9]{0,3}", 1..40)) {
            let mut taken = BTreeMap::new();
            for text in &names {
                let uid = allocate(&taken, (64100, 64140), Path::new("/s"), &name(text)).expect("the range has 41");
                prop_assert!(taken.values().all(|&other| other != uid));
                taken.insert(name(text), uid);
            }
        }
    }
}
