//! A bundle's folder beside its lock: exactly the files listed, each of the kind and size listed. In: trees and a lock.
//! Out: the blobs, or the refusal. Touches the object store.

use super::Stop;
use crate::{
    changes::{DiffError, changes},
    objects::{Kind, ObjectError, Objects},
    rights::plain as shown,
    tree::Mode,
    verifier::text,
};
use std::collections::{BTreeMap, HashSet};
use swarm_manifests::{
    bundle::{self, Bundle},
    id::{Digest, Oid},
    lock::{self, Lock},
    problem::Refusal,
    rules::bundle as rules,
};

/// The files of a bundle's folder, by path.
pub(super) type Files = BTreeMap<String, (Mode, Oid)>;

/// Every file of the bundle's folder; names and modes that no bundle may have are refused.
pub(super) fn files(objects: &Objects, folder: Oid) -> Result<Files, Stop> {
    let mut files = Files::new();
    let listed = changes(objects, "", None, Some(folder), &mut |change| {
        let (mode, id) = change
            .new
            .ok_or_else(|| Refusal::new(&rules::FILE_DIFFERS, "it changed while it was read"))?;
        lock::check_path(change.path)?;
        if !change.is_text {
            return Err(Refusal::new(
                &rules::PATH,
                format!("{} is not UTF-8", change.path),
            ));
        }
        if matches!(mode, Mode::Folder) {
            return Err(Refusal::new(
                &rules::PATH,
                format!("{} is too deep", shown(change.path)),
            ));
        }
        if let Mode::Other(bits) = mode {
            return Err(Refusal::new(
                &rules::MODE,
                format!("{} has the mode {bits:o}", shown(change.path)),
            ));
        }
        if files.len() == lock::MAX_FILES + 2 {
            return Err(Refusal::new(
                &rules::TOO_LARGE,
                format!("it has more than {} files", lock::MAX_FILES),
            ));
        }
        files.insert(change.path.into(), (mode, id));
        Ok(())
    });
    match listed {
        Ok(()) => Ok(files),
        Err(DiffError::Visitor(refusal)) => Err(refusal.into()),
        Err(DiffError::TooMany) => {
            Err(Refusal::new(&rules::TOO_LARGE, "its folder has too many entries").into())
        }
        Err(DiffError::Object(ObjectError::Malformed { what, .. })) => {
            Err(Refusal::new(&rules::PATH, what).into())
        }
        Err(DiffError::Object(error)) => Err(error.into()),
    }
}

/// Takes a plain file out.
pub(super) fn plain(files: &mut Files, path: &str) -> Option<Oid> {
    files
        .remove(path)
        .filter(|(mode, _)| matches!(mode, Mode::File))
        .map(|(_, id)| id)
}

/// The blobs in the lock's order: exactly the files listed, each of the kind listed.
pub(super) fn as_listed(lock: &Lock, files: &Files) -> Result<Vec<Oid>, Refusal> {
    let mut blobs = Vec::with_capacity(lock.entries().len());
    for entry in lock.entries() {
        let (mode, id) = files.get(&entry.path).ok_or_else(|| {
            Refusal::new(
                &rules::FILE_DIFFERS,
                format!("{} is listed and missing", entry.path),
            )
        })?;
        let fits = match entry.kind {
            lock::Kind::Plain => *mode == Mode::File,
            lock::Kind::Executable => *mode == Mode::Executable,
            lock::Kind::Link => *mode == Mode::Link,
        };
        if !fits {
            return Err(Refusal::new(
                &rules::FILE_DIFFERS,
                format!(
                    "{} has the mode {:o}, not the one listed",
                    entry.path,
                    mode.bits()
                ),
            ));
        }
        blobs.push(*id);
    }
    if files.len() == blobs.len() {
        return Ok(blobs);
    }
    let listed: HashSet<&str> = lock
        .entries()
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    let extra = files
        .keys()
        .find(|path| !listed.contains(path.as_str()))
        .map_or("", String::as_str);
    Err(Refusal::new(
        &rules::FILE_EXTRA,
        format!("{extra} is not listed in bundle.lock"),
    ))
}

pub(super) fn bundle_toml(objects: &Objects, blob: Oid, lock: &Lock) -> Result<Bundle, Stop> {
    let text = text(objects, blob)?
        .map_err(|why| Refusal::new(&rules::TOML, format!("bundle.toml {why}")))?;
    let listed = lock
        .entries()
        .iter()
        .find(|entry| entry.path == "bundle.toml");
    if listed.is_none_or(|entry| entry.hash != Digest::of(&text) || entry.kind == lock::Kind::Link)
    {
        return Err(Refusal::new(
            &rules::FILE_DIFFERS,
            "bundle.toml has other bytes than bundle.lock lists",
        )
        .into());
    }
    match bundle::read("bundle.toml", &text) {
        (Some(bundle), _) if bundle.name == *lock.name() && bundle.version == *lock.version() => {
            Ok(bundle)
        }
        (Some(bundle), _) => Err(Refusal::new(
            &rules::NAME,
            format!(
                "its bundle.toml is that of {} {}",
                bundle.name, bundle.version
            ),
        )
        .into()),
        (None, problems) => Err(Refusal::new(
            &rules::TOML,
            problems
                .first()
                .map_or_else(String::new, ToString::to_string),
        )
        .into()),
    }
}

/// Blobs that are here have the listed sizes: a 10 GiB blob under a listed size of 10 is never read.
pub(super) fn sizes(
    objects: &Objects,
    lock: &Lock,
    files: &[Oid],
    missing: &[Oid],
) -> Result<(), Stop> {
    let missing: HashSet<&Oid> = missing.iter().collect();
    for (entry, id) in lock
        .entries()
        .iter()
        .zip(files)
        .filter(|(_, id)| !missing.contains(id))
    {
        let (kind, size) = objects.header(*id)?;
        if kind != Kind::Blob || size != entry.size {
            return Err(Refusal::new(
                &rules::FILE_DIFFERS,
                format!(
                    "{} has {size} bytes, bundle.lock lists {}",
                    entry.path, entry.size
                ),
            )
            .into());
        }
    }
    Ok(())
}
