//! Where the links of a bundle lead: never out of it, also not through one another. In: the lock, the blobs of its files. Out: yes, or the refusal.
//!
//! Touches the object store. Targets that are not here yet are looked at when the bundle is stored.

use super::Stop;
use crate::objects::{ObjectError, Objects};
use std::collections::{BTreeMap, HashSet};
use swarm_manifests::{
    id::Oid,
    lock::{self, Kind, Lock},
    path::MAX_TARGET,
    problem::Refusal,
    rules::bundle::LINK,
};

/// Checks the targets of all links together, where all of them are here.
pub(super) fn links(
    objects: &Objects,
    lock: &Lock,
    files: &[Oid],
    missing: &[Oid],
) -> Result<(), Stop> {
    let missing: HashSet<&Oid> = missing.iter().collect();
    let mut targets = BTreeMap::new();
    let listed = lock.entries().iter().zip(files);
    for (entry, id) in listed.filter(|(entry, _)| entry.kind == Kind::Link) {
        if missing.contains(id) {
            return Ok(());
        }
        let refuse = |what: String| Refusal::new(&LINK, format!("the link {} {what}", entry.path));
        let target = match objects.blob(*id, MAX_TARGET as u64) {
            Ok(target) => target,
            Err(ObjectError::TooLarge { size, .. }) => {
                return Err(refuse(format!("has a target of {size} bytes")).into());
            }
            Err(error) => return Err(error.into()),
        };
        let target = String::from_utf8(target)
            .map_err(|_| refuse("has a target that is not UTF-8".into()))?;
        targets.insert(entry.path.clone(), target);
    }
    Ok(lock::check_links(&targets)?)
}
