//! The private copy of a bundle for its `[install]`: made from the store, sealed when the command is done. Touches `<state>/installed/`.

use super::jobs::Step;
use crate::os::{launch::Ids, rehash::Rehasher, seal};
use std::{fs, io, os::unix::fs as unix, path::Path};
use swarm_manifests::id::Digest;

/// Finds a whole result, or makes the private copy.
pub(super) fn copy_for_install(
    folder: &Path,
    store: &Path,
    ids: Option<&Ids>,
) -> Result<Step, String> {
    let text = |error: io::Error| format!("the private copy for [install]: {error}");
    if let Some(hash) = whole(folder) {
        return Ok(Step::Found(hash));
    }
    remove_all(folder).map_err(text)?;
    crate::os::folders::make_passable(folder.parent().unwrap_or(folder)).map_err(text)?;
    crate::os::folders::make_passable(folder).map_err(text)?;
    copy(store, &folder.join("tree"), ids).map_err(text)?;
    for name in ["home", "tmp"] {
        fs::create_dir(folder.join(name)).map_err(text)?;
        own(&folder.join(name), ids).map_err(text)?;
    }
    Ok(Step::Copied)
}

pub(super) fn seal_install(folder: &Path) -> Result<Step, String> {
    let text = |error: io::Error| error.to_string();
    for name in ["home", "tmp"] {
        remove_all(&folder.join(name)).map_err(text)?;
    }
    let tree = folder.join("tree");
    seal::seal(&tree).map_err(|error| error.to_string())?;
    let hash = Rehasher::new()
        .hash_folder(&tree)
        .map_err(|error| error.to_string())?;
    let mark = folder.join("hash");
    fs::write(&mark, hash.to_string())
        .and_then(|()| fs::File::open(&mark)?.sync_all())
        .map_err(text)?;
    Ok(Step::Sealed(hash))
}

/// The hash of a result that is there and unchanged.
fn whole(folder: &Path) -> Option<Digest> {
    let hash: Digest = fs::read_to_string(folder.join("hash"))
        .ok()?
        .trim()
        .parse()
        .ok()?;
    (Rehasher::new().hash_folder(&folder.join("tree")).ok()? == hash).then_some(hash)
}

fn copy(from: &Path, to: &Path, ids: Option<&Ids>) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        return unix::symlink(fs::read_link(from)?, to);
    }
    if kind.is_file() {
        fs::copy(from, to)?;
        writable(to)?;
        return own(to, ids);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()), ids)?;
    }
    own(to, ids)
}

/// Stored files are read-only; the copy is not.
fn writable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(
        path,
        fs::Permissions::from_mode(if mode & 0o111 == 0 { 0o644 } else { 0o755 }),
    )
}

fn own(path: &Path, ids: Option<&Ids>) -> io::Result<()> {
    ids.map_or(Ok(()), |ids| {
        unix::lchown(path, Some(ids.uid), Some(ids.gid))
    })
}

/// Removes a folder, sealed or not. Without root a sealed folder must be opened first.
fn remove_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(kind) = fs::symlink_metadata(folder) else {
        return Ok(());
    };
    if kind.is_dir() {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(folder)? {
            remove_all(&entry?.path())?;
        }
        return fs::remove_dir(folder);
    }
    fs::remove_file(folder)
}
