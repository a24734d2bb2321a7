//! A received pack becomes objects: indexed in quarantine, then taken over. In: bytes of a pack. Out: a pack with its index.
//!
//! [`index`] is what the indexer process runs: it touches the quarantine folder only. [`adopt`] is what the agent runs
//! afterwards, believing nothing of what lies there but names of the right form: libgit2 hashes each object when it is read,
//! so an index that lies is an error then.

use crate::objects::ObjectError;
use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// What a pack may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Limits {
    pub bytes: u64,
    pub objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            objects: 20_000_000,
        }
    }
}

/// What was indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct IndexSummary {
    /// The checksum in the names `pack-<name>.pack` and `.idx`; none where the pack was empty.
    pub name: Option<String>,
    pub objects: usize,
    pub bytes: u64,
}

/// Why a pack is not taken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum IndexError {
    #[error("the pack could not be read on")]
    Read(#[source] io::Error),
    #[error("the pack has more than {0} bytes")]
    Bytes(u64),
    #[error("the pack has more than {0} objects")]
    Objects(usize),
    #[error("the pack is damaged or cut off: {0}")]
    Damaged(String),
}

/// Reads a pack from `input` to its end and writes it with its index into the folder `quarantine`.
pub fn index(
    mut input: impl Read,
    quarantine: &Path,
    limits: Limits,
) -> Result<IndexSummary, IndexError> {
    let damaged = |error: git2::Error| IndexError::Damaged(error.message().to_owned());
    let mut objects = 0;
    // Not verifying means: not asking for objects that others refer to. Checksums and ids are still computed.
    let mut indexer = git2::Indexer::new(None, quarantine, 0o444, false).map_err(damaged)?;
    indexer.progress(|progress| {
        objects = progress.total_objects();
        objects <= limits.objects
    });
    let mut bytes = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(IndexError::Read(error)),
        };
        bytes += read as u64;
        if bytes > limits.bytes {
            return Err(IndexError::Bytes(limits.bytes));
        }
        if let Err(error) = indexer.write_all(&buffer[..read]) {
            drop(indexer);
            let too_many = objects > limits.objects;
            return Err(if too_many {
                IndexError::Objects(limits.objects)
            } else {
                IndexError::Damaged(error.to_string())
            });
        }
    }
    let name = indexer.commit().map_err(damaged)?;
    Ok(IndexSummary {
        name: (objects > 0).then_some(name),
        objects,
        bytes,
    })
}

/// Packs that were taken over, and are to be written to the disk.
#[derive(Debug)]
#[must_use = "they may be lost with the power"]
pub struct Adopted {
    files: Vec<(PathBuf, File)>,
    home: PathBuf,
    packs: usize,
}

impl Adopted {
    /// Waits until they are on the disk; their names in quarantine may go then.
    pub fn settle(self) -> Result<(), ObjectError> {
        let failed = |path: &Path, source| ObjectError::Io {
            path: path.to_path_buf(),
            source,
        };
        for (path, file) in &self.files {
            file.sync_all().map_err(|error| failed(path, error))?;
        }
        File::open(&self.home)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed(&self.home, error))
    }
}

/// As [`take_over`], on the disk when this returns, and gone from quarantine. Returns how many packs there were.
pub fn adopt(quarantine: &Path, mirror: &Path) -> Result<usize, ObjectError> {
    let adopted = take_over(quarantine, mirror)?;
    let (packs, files) = (adopted.packs, adopted.files.iter());
    let names: Vec<PathBuf> = files
        .filter_map(|(path, _)| Some(quarantine.join(path.file_name()?)))
        .collect();
    adopted.settle()?;
    for path in names {
        fs::remove_file(&path).map_err(|source| ObjectError::Io { path, source })?;
    }
    Ok(packs)
}

/// Makes the packs in `quarantine` part of the mirror: the pack first, then its index, each whole or not at all. Whatever else
/// lies there is left alone. They keep their names in quarantine as well: what has one there when an agent begins may be half on the
/// disk, and [`clear`] takes it away.
pub fn take_over(quarantine: &Path, mirror: &Path) -> Result<Adopted, ObjectError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ObjectError::Io { path, source }
    };
    let home = mirror.join("objects/pack");
    let names = packs(quarantine).map_err(failed(quarantine))?;
    let mut files = Vec::new();
    for name in &names {
        // The index makes a pack count: it comes last.
        for file in [format!("{name}.pack"), format!("{name}.idx")] {
            let (from, to) = (quarantine.join(&file), home.join(&file));
            let file = take(&from, &to).map_err(failed(&from))?;
            files.push((to, file));
        }
    }
    Ok(Adopted {
        files,
        home,
        packs: names.len(),
    })
}

/// The `pack-<40 digits>` for which both files are there, in order.
pub(crate) fn packs(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".idx")) else {
            continue;
        };
        let digits = stem.strip_prefix("pack-").unwrap_or_default();
        let is_name = digits.len() == 40
            && digits
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if is_name && folder.join(format!("{stem}.pack")).exists() {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Links a file of our own; copies one of somebody else, who could still be writing to it.
fn take(from: &Path, to: &Path) -> io::Result<File> {
    let file = open_plain(from)?;
    let found = file.metadata()?;
    // Who we are shows in the owner of a file that we make.
    let temporary = to.with_extension(format!("tmp{}", std::process::id()));
    let result = (|| {
        let mut own = File::create(&temporary)?;
        if own.metadata()?.uid() == found.uid() && found.nlink() == 1 {
            file.set_permissions(fs::Permissions::from_mode(0o444))?;
            fs::remove_file(&temporary)?;
            fs::hard_link(from, &temporary)?;
            fs::rename(&temporary, to)?;
            return Ok(file);
        }
        io::copy(&mut { file }, &mut own)?;
        own.set_permissions(fs::Permissions::from_mode(0o444))?;
        fs::rename(&temporary, to)?;
        Ok(own)
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Opens a plain file, never through a link, never waiting for a pipe.
fn open_plain(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a plain file"))
    }
}

/// Removes what killed ones left in quarantine: half a pack of an indexer, and whole ones that an agent had taken over and not
/// yet seen on the disk, which go from the mirror as well.
pub fn clear(quarantine: &Path, mirror: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(quarantine) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fs::create_dir_all(quarantine);
        }
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            for name in packs(&path)? {
                // Without its index a pack does not count; then its bytes may go.
                for file in [format!("{name}.idx"), format!("{name}.pack")] {
                    match fs::remove_file(mirror.join("objects/pack").join(file)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        _ => {}
                    }
                }
            }
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
