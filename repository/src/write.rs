//! Objects written: for the packager. In: files, bytes, paths. Out: their ids.
//!
//! Touches the object folder of one repository. Blobs are the files' bytes, whatever `.gitattributes` or autocrlf
//! say. Loose objects, compressed at level 1 on several threads: compression decides how long a publish takes.
//! An object that is there already is not written again.

use crate::{
    cores::on_every_core,
    objects::{Kind, ObjectError, Objects},
    tree::{self, Mode, Tree},
};
use flate2::{Compression, write::ZlibEncoder};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use swarm_manifests::id::{Digest, Oid};

/// Git's `core.looseCompression=1`.
const LEVEL: Compression = Compression::new(1);
/// Files up to this size are read once and kept; larger ones are read twice.
const WHOLE: u64 = 16 << 20;

/// Writes objects into one repository.
pub struct Writer {
    objects: Objects,
    folder: PathBuf,
    /// Names temporary files.
    next: AtomicU64,
}

/// A file that stands in the repository now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Blob {
    pub id: Oid,
    /// The SHA-256 of the same bytes, as bundle.lock lists it.
    pub hash: Digest,
    pub size: u64,
}

/// Changes of a tree: path -> mode and id, or none where it is to go.
pub type Changes = BTreeMap<String, Option<(Mode, Oid)>>;
/// One of them, by the rest of its path.
type ChangeTo<'a> = (&'a str, Option<(Mode, Oid)>);

impl Writer {
    /// For the repository at this path (a clone, or a bare one).
    pub fn open(path: &Path) -> Result<Self, ObjectError> {
        let objects = Objects::open(path, false)?;
        let folder = objects.git_dir().join("objects");
        Ok(Self {
            objects,
            folder,
            next: AtomicU64::new(0),
        })
    }

    /// The objects of the same repository, for reading.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Writes the bytes of one file as they are.
    pub fn blob_from_file(&self, path: &Path) -> Result<Blob, ObjectError> {
        let failed = |source| ObjectError::Io {
            path: path.into(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        if size > WHOLE {
            return self.large(&mut file, size).map_err(failed);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
        file.take(WHOLE + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > WHOLE {
            return Err(failed(changed()));
        }
        let hash = Digest(Sha256::digest(&bytes).into());
        Ok(Blob {
            id: self.blob(&bytes)?,
            hash,
            size: bytes.len() as u64,
        })
    }

    /// Writes many files, on as many threads as there are cores; in the order given.
    pub fn blobs_from_files(&self, paths: &[PathBuf]) -> Result<Vec<Blob>, ObjectError> {
        on_every_core(paths, |path| self.blob_from_file(path))
    }

    /// Writes these bytes as a blob.
    pub fn blob(&self, bytes: &[u8]) -> Result<Oid, ObjectError> {
        self.object(Kind::Blob, bytes)
    }

    /// Writes a raw commit as it is.
    pub fn commit(&self, raw: &[u8]) -> Result<Oid, ObjectError> {
        self.object(Kind::Commit, raw)
    }

    /// Writes a tree of these entries, in any order; the names must be plain.
    pub fn tree(&self, entries: &[(Mode, &str, Oid)]) -> Result<Oid, ObjectError> {
        let entries = entries
            .iter()
            .map(|(mode, name, id)| (name.as_bytes().to_vec(), *mode, *id))
            .collect();
        self.sorted_tree(entries)
    }

    /// A tree like `base` (none: empty) with some paths set or removed; what becomes an empty folder goes too.
    pub fn update_tree(&self, base: Option<Oid>, changes: &Changes) -> Result<Oid, ObjectError> {
        let changes: Vec<ChangeTo<'_>> = changes
            .iter()
            .map(|(path, to)| (path.as_str(), *to))
            .collect();
        match self.updated(base, &changes)? {
            Some(id) => Ok(id),
            None => self.sorted_tree(Vec::new()),
        }
    }

    fn updated(
        &self,
        base: Option<Oid>,
        changes: &[ChangeTo<'_>],
    ) -> Result<Option<Oid>, ObjectError> {
        let base = base.map(|id| self.objects.tree(id)).transpose()?;
        let old = base.iter().flat_map(|tree| tree.entries());
        let mut entries: BTreeMap<Vec<u8>, (Mode, Oid)> = old
            .map(|entry| (entry.name.to_vec(), (entry.mode, entry.id)))
            .collect();
        let mut below: BTreeMap<&str, Vec<ChangeTo<'_>>> = BTreeMap::new();
        for (path, to) in changes {
            match (path.split_once('/'), to) {
                (Some((folder, rest)), to) => below.entry(folder).or_default().push((rest, *to)),
                (None, Some(entry)) => _ = entries.insert(path.as_bytes().to_vec(), *entry),
                (None, None) => _ = entries.remove(path.as_bytes()),
            }
        }
        for (folder, changes) in below {
            let known = entries.get(folder.as_bytes());
            let inner = known
                .filter(|(mode, _)| *mode == Mode::Folder)
                .map(|(_, id)| *id);
            let is_file = known.is_some() && inner.is_none();
            if is_file && changes.iter().all(|(_, to)| to.is_none()) {
                continue;
            }
            match self.updated(inner, &changes)? {
                Some(id) => entries.insert(folder.into(), (Mode::Folder, id)),
                None => entries.remove(folder.as_bytes()),
            };
        }
        if entries.is_empty() {
            return Ok(None);
        }
        self.sorted_tree(
            entries
                .into_iter()
                .map(|(name, (mode, id))| (name, mode, id))
                .collect(),
        )
        .map(Some)
    }

    fn sorted_tree(&self, mut entries: Vec<(Vec<u8>, Mode, Oid)>) -> Result<Oid, ObjectError> {
        entries.sort_by(|a, b| tree::order(&a.0, a.1, &b.0, b.1));
        let mut raw = Vec::new();
        for (name, mode, id) in entries {
            raw.extend_from_slice(format!("{:o} ", mode.bits()).as_bytes());
            raw.extend_from_slice(&name);
            raw.push(0);
            raw.extend_from_slice(&id.0);
        }
        // What we write we must be able to read: no name empty, with a slash, or twice.
        let id = id_of(Kind::Tree, &raw);
        Tree::parse(&raw).map_err(|what| ObjectError::Malformed {
            id,
            what: what.to_string(),
        })?;
        self.object(Kind::Tree, &raw)
    }

    fn object(&self, kind: Kind, bytes: &[u8]) -> Result<Oid, ObjectError> {
        let id = id_of(kind, bytes);
        if self.is_there(id) {
            return Ok(id);
        }
        let path = self.place(id);
        self.store(id, |to| {
            to.write_all(&header(kind, bytes.len() as u64))?;
            to.write_all(bytes)
        })
        .map_err(|source| ObjectError::Io { path, source })?;
        Ok(id)
    }

    /// A file too large to be kept in memory: hashed first, compressed if it is new.
    fn large(&self, file: &mut File, size: u64) -> io::Result<Blob> {
        let (id, hash) = hashes(file, size)?;
        let blob = Blob { id, hash, size };
        if self.is_there(id) {
            return Ok(blob);
        }
        file.seek(SeekFrom::Start(0))?;
        self.store(id, |to| {
            to.write_all(&header(Kind::Blob, size))?;
            let mut sha1 = Sha1::new_with_prefix(header(Kind::Blob, size));
            each_part(file, size, |part| {
                sha1.update(part);
                to.write_all(part)
            })?;
            if Oid(sha1.finalize().into()) == id {
                Ok(())
            } else {
                Err(changed())
            }
        })?;
        Ok(blob)
    }

    fn is_there(&self, id: Oid) -> bool {
        self.place(id).exists() || self.objects.has_without_looking_again(id)
    }

    /// Compresses into a temporary file, which then gets the object's name.
    fn store(
        &self,
        id: Oid,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let place = self.place(id);
        let folder = place.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("tmp_obj_{}_{next}", std::process::id()));
        let written = File::create_new(&temporary).and_then(|file| {
            let mut encoder = ZlibEncoder::new(io::BufWriter::with_capacity(64 << 10, file), LEVEL);
            write(&mut encoder)?;
            let file = encoder
                .finish()?
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?;
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o444))?;
            fs::rename(&temporary, &place)
        });
        if written.is_err() {
            // The first error is the one that tells.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn place(&self, id: Oid) -> PathBuf {
        let digits = id.to_string();
        self.folder.join(&digits[..2]).join(&digits[2..])
    }
}

/// The id that git gives to an object of these bytes.
pub fn id_of(kind: Kind, bytes: &[u8]) -> Oid {
    let mut sha1 = Sha1::new_with_prefix(header(kind, bytes.len() as u64));
    sha1.update(bytes);
    Oid(sha1.finalize().into())
}

fn header(kind: Kind, size: u64) -> Vec<u8> {
    format!("{} {size}\0", kind.as_str()).into_bytes()
}

fn hashes(file: &mut File, size: u64) -> io::Result<(Oid, Digest)> {
    let mut sha1 = Sha1::new_with_prefix(header(Kind::Blob, size));
    let mut sha256 = Sha256::new();
    each_part(file, size, |part| {
        sha1.update(part);
        sha256.update(part);
        Ok(())
    })?;
    Ok((
        Oid(sha1.finalize().into()),
        Digest(sha256.finalize().into()),
    ))
}

/// Reads exactly `size` bytes.
fn each_part(
    file: &mut File,
    size: u64,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    let mut left = size;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return if left == 0 { Ok(()) } else { Err(changed()) };
        }
        left = left.checked_sub(read as u64).ok_or_else(changed)?;
        take(&buffer[..read])?;
    }
}

fn changed() -> io::Error {
    io::Error::other("the file changed while it was read")
}
