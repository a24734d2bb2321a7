//! The content-addressed store: `<state>/store/<digest>/` with `bundle.lock`, `bundle.lock.sig` and the files below `tree/`.
//!
//! Verified bytes come in, a folder that nobody writes any more comes out: written under a name of our own beside it, hashed
//! while written, synced, renamed, read-only. Links are made last, so that nothing is ever written through one.

use crate::chance;
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use swarm_manifests::{
    id::Digest,
    lock::{self, Kind, Lock},
    problem::Refusal,
    rules,
};
use swarm_repository::trunk::MAX_LOCK;

/// A file's mode in the store.
const PLAIN: u32 = 0o444;
/// An executable's, and a folder's.
const EXECUTABLE: u32 = 0o555;
/// What entries under way are called; nobody else makes folders in the store.
const UNDER_WAY: &str = "new-";

/// Why a bundle could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It may not be.
    #[error(transparent)]
    Refused(Refusal),
    /// It cannot be now: the disk, or the object store.
    #[error(transparent)]
    Blocked(Refusal),
}

impl StoreError {
    fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        let reason = format!("cannot {what} {}: {error}", path.display());
        let hint = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room; it is tried again by itself"
            }
            _ => "look at the folder and the disk; it is tried again by itself",
        };
        Self::Blocked(Refusal::new(&rules::run::DISK, reason).hint(hint))
    }
}

/// The store of one box.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// What is stored: the lock, the signature over it where there is one, and each file's bytes by its place in the lock.
pub struct Parcel<'a> {
    /// bundle.lock, parsed.
    pub lock: &'a Lock,
    /// bundle.lock as it was signed.
    pub text: &'a [u8],
    /// bundle.lock.sig; none with `local`.
    pub signature: Option<&'a [u8]>,
    /// The bytes of entry `n`; it gives at most the listed size and one byte, or says why it cannot.
    pub file: &'a mut dyn FnMut(usize) -> Result<Vec<u8>, StoreError>,
}

impl Store {
    /// Opens the store, making it where there is none, and clears away what a killed agent left half done.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        match DirBuilder::new().mode(0o755).create(root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io("make", root, &error));
            }
            _ => {}
        }
        let meta =
            fs::symlink_metadata(root).map_err(|error| StoreError::io("look at", root, &error))?;
        if !meta.is_dir() || !is_ours(&meta) || meta.mode() & 0o022 != 0 {
            let reason = format!(
                "{} is not a folder of this agent's own that nobody else may write",
                root.display()
            );
            return Err(StoreError::Refused(
                Refusal::new(&rules::run::CHANGED, reason)
                    .hint("remove it: the agent makes it anew"),
            ));
        }
        let store = Self { root: root.into() };
        for (name, path) in store.entries() {
            if name.starts_with(UNDER_WAY) {
                remove(&path);
            }
        }
        Ok(store)
    }

    /// Where a bundle lies.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.root.join(digest.hex())
    }

    /// Whether the bundle is there, a folder of our own with this very lock. Its files are hashed before each start, by the supervisor.
    pub fn has(&self, digest: Digest) -> bool {
        let path = self.path(digest);
        let whole = |path: &Path| {
            fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && is_ours(&meta))
        };
        whole(&path) && whole(&path.join("tree")) && self.lock(digest).is_some()
    }

    /// The stored bundle.lock, where it is the one of this digest.
    pub fn lock(&self, digest: Digest) -> Option<Vec<u8>> {
        let path = self.path(digest).join("bundle.lock");
        let meta = fs::symlink_metadata(&path)
            .ok()
            .filter(|meta| meta.is_file() && meta.len() <= MAX_LOCK)?;
        let text = fs::read(&path)
            .ok()
            .filter(|text| text.len() as u64 == meta.len())?;
        (Digest::of(&text) == digest).then_some(text)
    }

    /// The bytes of a listed file of a stored bundle, where they are what the lock says.
    pub fn file(&self, digest: Digest, path: &str) -> Option<Vec<u8>> {
        let lock = Lock::parse(&self.lock(digest)?).ok()?;
        let entry = lock
            .entries()
            .iter()
            .find(|entry| entry.path == path && entry.kind != Kind::Link)?;
        let bytes = fs::read(self.path(digest).join("tree").join(path)).ok()?;
        (Digest::of(&bytes) == entry.hash).then_some(bytes)
    }

    /// bundle.lock.sig of a stored bundle.
    pub fn signature(&self, digest: Digest) -> Option<Vec<u8>> {
        fs::read(self.path(digest).join("bundle.lock.sig")).ok()
    }

    /// Writes a bundle, unless it is there.
    pub fn put(&self, mut parcel: Parcel<'_>) -> Result<PathBuf, StoreError> {
        let digest = Digest::of(parcel.text);
        let path = self.path(digest);
        if self.has(digest) {
            return Ok(path);
        }
        let random: [u8; 8] = chance::bytes()
            .map_err(|error| StoreError::io("make a name below", &self.root, &error))?;
        let new = self
            .root
            .join(format!("{UNDER_WAY}{}", hex::encode(random)));
        let outcome = write(&new, &mut parcel).and_then(|()| self.adopt(&new, &path));
        if outcome.is_err() {
            remove(&new);
        }
        outcome.map(|()| path)
    }

    /// Moves what was written to its place, over whatever stands there without being it.
    fn adopt(&self, new: &Path, path: &Path) -> Result<(), StoreError> {
        if fs::symlink_metadata(path).is_ok() {
            remove(path);
        }
        fs::rename(new, path).map_err(|error| StoreError::io("put in place", path, &error))?;
        sync(&self.root)
    }

    /// Takes a bundle away that was found changed, so that it is stored anew.
    pub fn discard(&self, digest: Digest) {
        remove(&self.path(digest));
    }

    /// Removes every bundle that is not kept.
    pub fn collect(&self, keep: &BTreeSet<Digest>) -> usize {
        let names: BTreeSet<String> = keep.iter().map(Digest::hex).collect();
        let gone: Vec<PathBuf> = self
            .entries()
            .filter(|(name, _)| Digest::from_hex(name).is_ok() && !names.contains(name))
            .map(|(_, path)| path)
            .collect();
        for path in &gone {
            remove(path);
        }
        gone.len()
    }

    fn entries(&self) -> impl Iterator<Item = (String, PathBuf)> + use<> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
    }
}

fn is_ours(meta: &fs::Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw()
}

/// Writes a whole entry below `new`, which must not exist.
fn write(new: &Path, parcel: &mut Parcel<'_>) -> Result<(), StoreError> {
    // Until it is whole, nobody else looks in.
    make_folder(new)?;
    let tree = new.join("tree");
    make_folder(&tree)?;
    let mut folders = vec![tree.clone()];
    let mut made = BTreeSet::new();
    let mut links = BTreeMap::new();
    for (at, entry) in parcel.lock.entries().iter().enumerate() {
        lock::check_path(&entry.path).map_err(StoreError::Refused)?;
        for (end, _) in entry.path.match_indices('/') {
            if made.insert(&entry.path[..end]) {
                let folder = tree.join(&entry.path[..end]);
                make_folder(&folder)?;
                folders.push(folder);
            }
        }
        let bytes = (parcel.file)(at)?;
        if bytes.len() as u64 != entry.size || entry.hash != Digest(Sha256::digest(&bytes).into()) {
            let what = if bytes.len() as u64 == entry.size {
                "other bytes"
            } else {
                "another size"
            };
            let reason = format!(
                "{} of {} {} has {what} than bundle.lock says",
                entry.path,
                parcel.lock.name(),
                parcel.lock.version()
            );
            return Err(StoreError::Refused(Refusal::new(
                &rules::bundle::FILE_DIFFERS,
                reason,
            )));
        }
        match entry.kind {
            Kind::Plain => write_file(&tree.join(&entry.path), &bytes, PLAIN)?,
            Kind::Executable => write_file(&tree.join(&entry.path), &bytes, EXECUTABLE)?,
            Kind::Link => {
                links.insert(entry.path.clone(), link_target(&entry.path, bytes)?);
            }
        }
    }
    lock::check_links(&links).map_err(StoreError::Refused)?;
    for (path, target) in &links {
        let path = tree.join(path);
        std::os::unix::fs::symlink(target, &path)
            .map_err(|error| StoreError::io("make the link", &path, &error))?;
    }
    write_file(&new.join("bundle.lock"), parcel.text, PLAIN)?;
    if let Some(signature) = parcel.signature {
        write_file(&new.join("bundle.lock.sig"), signature, PLAIN)?;
    }
    for folder in folders.iter().rev() {
        seal(folder)?;
    }
    seal(new)
}

fn link_target(path: &str, bytes: Vec<u8>) -> Result<String, StoreError> {
    let not_text = |_| {
        StoreError::Refused(Refusal::new(
            &rules::bundle::LINK,
            format!("the target of {path} is not UTF-8"),
        ))
    };
    String::from_utf8(bytes).map_err(not_text)
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(|error| StoreError::io("make", path, &error))
}

fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::io("write", path, &error);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    // Not by open(2): the umask has no say here.
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(failed)?;
    file.sync_data().map_err(failed)
}

/// Makes a folder read-only for everybody, and lasting.
fn seal(folder: &Path) -> Result<(), StoreError> {
    sync(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(EXECUTABLE))
        .map_err(|error| StoreError::io("seal", folder, &error))
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::io("sync", folder, &error))
}

/// Makes the sealed folders in a folder of ours writable again, as removing them needs without root; links are never followed.
pub fn open_up(path: &Path) {
    let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Removes a folder of ours with read-only folders in it, or whatever else stands there; links are never followed.
fn remove(path: &Path) {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return;
    };
    let removed = if meta.is_dir() {
        open_up(path);
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "cannot remove");
    }
}

#[cfg(test)]
mod tests;
