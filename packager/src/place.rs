//! A bundle's way into the deploy repository: signed, its blobs written, its folder made. Touches objects and working tree;
//! the commit is the caller's.

use crate::{
    audit::trunk::git_dir,
    commit::Change,
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    folder::Item,
    key::Key,
    pack::Packed,
    published::{self, Standing},
};
use anyhow::Context;
use std::{
    fs::Permissions,
    io::ErrorKind,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};
use swarm_manifests::{
    id::Oid,
    lock::{Kind, NAMESPACE},
    rules::bundle::FILE_DIFFERS,
};
use swarm_repository::write::Writer;

/// What became of a bundle.
#[derive(Debug)]
pub struct Placed {
    /// The signer's fingerprint; of who signed first, where it was there already.
    pub key: String,
    /// Whether equal bytes were there already.
    pub already: bool,
}

/// Signs and places a bundle; says in `change` what is to be committed.
pub fn place(
    repository: &DeployRepository,
    packed: &Packed,
    key: &Key,
    change: &mut Change,
) -> Outcome<Placed> {
    match published::standing(repository, packed)? {
        Standing::Other(found) => return Err(published::immutable(packed, &found)),
        Standing::Equal { key } => return Ok(Placed { key, already: true }),
        Standing::New => {}
    }
    let lock = packed.lock.text();
    let (armour, signature) = key.sign(NAMESPACE, lock.as_bytes())?;
    let folder = format!("bundles/{}/{}", packed.bundle.name, packed.bundle.version);
    let writer = Writer::open(&git_dir(&repository.git)?)?;
    let blobs = blobs(&writer, packed)?;
    let top = folder_in(repository.top(), &folder)?;
    for (item, blob) in packed.items.iter().zip(blobs) {
        change.put(item.kind, blob, format!("{folder}/{}", item.path));
        copy(item, &top)?;
    }
    for (name, text) in [
        ("bundle.lock", lock.as_str()),
        ("bundle.lock.sig", armour.as_str()),
    ] {
        change.put(
            Kind::Plain,
            writer.blob(text.as_bytes())?,
            format!("{folder}/{name}"),
        );
        write(&top.join(name), text.as_bytes())?;
    }
    Ok(Placed {
        key: signature.fingerprint(),
        already: false,
    })
}

/// Writes one small file into the working tree and the change.
pub fn write_file(
    repository: &DeployRepository,
    path: &str,
    text: &str,
    change: &mut Change,
) -> Outcome {
    write_bytes(repository, path, text.as_bytes(), change)
}

/// The same for bytes that are no text.
pub fn write_bytes(
    repository: &DeployRepository,
    path: &str,
    bytes: &[u8],
    change: &mut Change,
) -> Outcome {
    let blob = Writer::open(&git_dir(&repository.git)?)?.blob(bytes)?;
    change.put(Kind::Plain, blob, path);
    write(&repository.top().join(path), bytes)
}

/// Writes the blobs, in the lock's order; what was hashed into the lock is what is written.
fn blobs(writer: &Writer, packed: &Packed) -> Outcome<Vec<Oid>> {
    let paths: Vec<PathBuf> = packed
        .items
        .iter()
        .filter(|item| item.target.is_none())
        .map(|item| item.at.clone())
        .collect();
    let mut written = writer.blobs_from_files(&paths)?.into_iter();
    let mut ids = Vec::with_capacity(packed.items.len());
    for (item, entry) in packed.items.iter().zip(packed.lock.entries()) {
        ids.push(if let Some(target) = &item.target {
            writer.blob(target.as_bytes())?
        } else {
            let blob = written.next().context("a blob for each file")?;
            if blob.hash != entry.hash {
                return Err(Failure::rule(
                    &FILE_DIFFERS,
                    format!("{} was changed while it was packed", item.at.display()),
                )
                .hint("run it again when nothing writes there"));
            }
            blob.id
        });
    }
    Ok(ids)
}

/// The folder in the working tree; refuses one that a link leads elsewhere.
fn folder_in(top: &Path, folder: &str) -> Outcome<PathBuf> {
    let path = top.join(folder);
    std::fs::create_dir_all(&path)
        .with_context(|| format!("{} could not be made", path.display()))?;
    let real = path
        .canonicalize()
        .with_context(|| format!("{} cannot be found", path.display()))?;
    let top = top
        .canonicalize()
        .with_context(|| format!("{} cannot be found", top.display()))?;
    if real != top.join(folder) {
        return Err(Failure::new(format!(
            "{} leads to {}, which is elsewhere",
            path.display(),
            real.display()
        ))
        .hint("a part of this path is a link: remove it"));
    }
    Ok(real)
}

/// Copies a file or link below `top`, unless that is where it lies.
fn copy(item: &Item, top: &Path) -> Outcome {
    let at = top.join(&item.path);
    if item
        .at
        .canonicalize()
        .ok()
        .is_some_and(|from| at.canonicalize().ok() == Some(from))
        && !item.at.is_symlink()
    {
        return Ok(());
    }
    let told = || format!("{} could not be written", at.display());
    make_way(&at)?;
    if let Some(target) = &item.target {
        return Ok(symlink(target, &at).with_context(told)?);
    }
    std::fs::copy(&item.at, &at).with_context(told)?;
    let mode = if item.kind == Kind::Executable {
        0o755
    } else {
        0o644
    };
    Ok(std::fs::set_permissions(&at, Permissions::from_mode(mode)).with_context(told)?)
}

fn write(at: &Path, text: &[u8]) -> Outcome {
    make_way(at)?;
    Ok(std::fs::write(at, text)
        .with_context(|| format!("{} could not be written", at.display()))?)
}

/// Makes the folder, and removes what is there: a link would be written through.
fn make_way(at: &Path) -> Outcome {
    let told = || format!("{} could not be written", at.display());
    if let Some(parent) = at.parent() {
        std::fs::create_dir_all(parent).with_context(told)?;
    }
    match std::fs::remove_file(at) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(anyhow::Error::new(error).context(told()).into())
        }
        _ => Ok(()),
    }
}
