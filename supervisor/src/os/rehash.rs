//! What is stored is what was signed, looked at again before each start: a store folder and a digest come in, yes or the difference comes out.
//!
//! Bytes that were hashed once are not read again while device, inode, size, mtime and ctime are the same. The ctime suffices to notice any
//! change of content, mode or owner: the kernel sets it at each of them, and nobody can set it back (touch(1) and utimensat(2) set the
//! *other* times, and by that move the ctime). Only what changed within the same tick of the file system's clock could be missed, so what
//! is younger than a few seconds is not remembered.

use nix::{
    dir::Dir,
    fcntl::{OFlag, openat, readlinkat},
    sys::stat::{FileStat, Mode, fstat},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use swarm_manifests::{
    id::Digest,
    lock::{Entry, Kind, Lock},
};

/// The deepest folder that is walked into.
const MAX_DEPTH: usize = 128;
/// The most files that are looked at.
const MAX_FILES: usize = 500_000;
/// The largest bundle.lock that is read.
const MAX_LOCK: u64 = 64 << 20;
/// Seconds that a file must have been left alone until its hash is remembered.
const SETTLED: i64 = 3;

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum RehashError {
    /// bundle.lock is not the one that was verified.
    #[error("the stored bundle.lock has digest {found}, not {expected}")]
    Lock { expected: Digest, found: Digest },
    /// bundle.lock is no lock.
    #[error("the stored bundle.lock cannot be read: {0}")]
    Unreadable(String),
    /// A file is not as it is listed.
    #[error("{path}: {what}")]
    File { path: String, what: String },
    /// The disk.
    #[error("{}: {text}", path.display())]
    Io { path: PathBuf, text: String },
}

/// Which bytes a hash was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    size: i64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

type Known = HashMap<(u64, u64), (Stamp, Digest)>;

/// Remembers which bytes were hashed, so that a restart in a loop does not read them again.
#[derive(Debug, Default)]
pub struct Rehasher {
    folders: HashMap<PathBuf, Known>,
}

/// A file as it lies there; its path is relative, its hash that of its bytes or of a link's target.
struct Found {
    path: String,
    kind: Kind,
    size: u64,
    hash: Digest,
}

impl Rehasher {
    /// Nothing remembered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks `<store>/bundle.lock` against `digest`, and every file below `<store>/tree/` against it: bytes, size, kind, mode, none
    /// missing, none extra. A stored file is read-only or as it was packed: 444 or 644, executable 555 or 755; no other mode is taken.
    pub fn check(&mut self, store: &Path, digest: &Digest) -> Result<(), RehashError> {
        let path = store.join("bundle.lock");
        let text = read_limited(&path)?;
        let found = Digest::of(&text);
        if found != *digest {
            return Err(RehashError::Lock {
                expected: *digest,
                found,
            });
        }
        let lock = Lock::parse(&text).map_err(|refusal| RehashError::Unreadable(refusal.reason))?;
        let mut entries = lock.entries().iter();
        for file in self.walk(&store.join("tree"))? {
            let Some(entry) = entries.next() else {
                return Err(differs(&file.path, "is not in bundle.lock"));
            };
            compare(entry, &file)?;
        }
        match entries.next() {
            Some(entry) => Err(differs(&entry.path, "is missing")),
            None => Ok(()),
        }
    }

    /// The hash of a sealed folder without a lock (the result of `[install]`): of a canonical list like bundle.lock's lines.
    pub fn hash_folder(&mut self, folder: &Path) -> Result<Digest, RehashError> {
        let mut text = Sha256::new();
        for file in self.walk(folder)? {
            let kind = match file.kind {
                Kind::Plain => "644",
                Kind::Executable => "755",
                Kind::Link => "link",
            };
            // A path of an install may hold anything, also a newline: its length stands before it.
            text.update(format!(
                "{} {kind} {} {} {}\n",
                file.hash.hex(),
                file.size,
                file.path.len(),
                file.path
            ));
        }
        Ok(Digest(text.finalize().into()))
    }

    /// Forgets what was remembered of this store or folder.
    pub fn forget(&mut self, store: &Path) {
        self.folders.remove(store);
        self.folders.remove(&store.join("tree"));
    }

    /// Every file below, in order of their path's bytes. Folders are not listed.
    fn walk(&mut self, root: &Path) -> Result<Vec<Found>, RehashError> {
        let known = self.folders.remove(root).unwrap_or_default();
        let fd = nix::fcntl::open(root, folder_flags(), Mode::empty())
            .map_err(|errno| io(root, errno.desc()))?;
        let mut walk = Walk {
            root,
            known,
            now: now(),
            remembered: Known::new(),
            found: Vec::new(),
        };
        walk.folder(&fd, "", 0)?;
        let Walk {
            remembered,
            mut found,
            ..
        } = walk;
        self.folders.insert(root.to_owned(), remembered);
        found.sort_unstable_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        Ok(found)
    }
}

fn compare(entry: &Entry, file: &Found) -> Result<(), RehashError> {
    match entry.path.as_bytes().cmp(file.path.as_bytes()) {
        std::cmp::Ordering::Less => return Err(differs(&entry.path, "is missing")),
        std::cmp::Ordering::Greater => return Err(differs(&file.path, "is not in bundle.lock")),
        std::cmp::Ordering::Equal => {}
    }
    let what = if entry.kind != file.kind {
        "is of another kind or mode than bundle.lock says"
    } else if entry.size != file.size {
        "has another size than bundle.lock says"
    } else if entry.hash != file.hash {
        "has other bytes than bundle.lock says"
    } else {
        return Ok(());
    };
    Err(differs(&file.path, what))
}

/// One walk. Every step goes from a folder's descriptor to a name in it and follows no link, so that nothing outside can be reached.
struct Walk<'a> {
    root: &'a Path,
    known: Known,
    now: i64,
    remembered: Known,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn folder(&mut self, fd: &OwnedFd, prefix: &str, depth: usize) -> Result<(), RehashError> {
        if depth > MAX_DEPTH {
            return Err(differs(prefix, "lies too deep"));
        }
        let text = |errno: nix::errno::Errno| io(&self.root.join(prefix), errno.desc());
        let mut names = Vec::new();
        let mut dir = Dir::from_fd(
            fd.try_clone()
                .map_err(|error| io(self.root, &error.to_string()))?,
        )
        .map_err(text)?;
        for entry in dir.iter() {
            let name = entry.map_err(text)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(
                    String::from_utf8(name)
                        .map_err(|_| differs(prefix, "holds a name that is not UTF-8"))?,
                );
            }
        }
        for name in names {
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}/{name}")
            };
            if self.found.len() >= MAX_FILES {
                return Err(differs(&path, "is one file too many"));
            }
            self.entry(fd, &name, path, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        parent: &OwnedFd,
        name: &str,
        path: String,
        depth: usize,
    ) -> Result<(), RehashError> {
        let trouble = |errno: nix::errno::Errno| io(&self.root.join(&path), errno.desc());
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let held = openat(parent, name, flags, Mode::empty()).map_err(trouble)?;
        let stat = fstat(&held).map_err(trouble)?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => {
                let fd = openat(parent, name, folder_flags(), Mode::empty()).map_err(trouble)?;
                self.folder(&fd, &path, depth + 1)
            }
            libc::S_IFLNK => {
                let target = readlinkat(parent, name).map_err(trouble)?;
                let target = target.as_encoded_bytes();
                self.found.push(Found {
                    path,
                    kind: Kind::Link,
                    size: target.len() as u64,
                    hash: Digest::of(target),
                });
                Ok(())
            }
            libc::S_IFREG => self.file(parent, name, path, &stat),
            _ => Err(differs(&path, "is neither a file nor a folder nor a link")),
        }
    }

    fn file(
        &mut self,
        parent: &OwnedFd,
        name: &str,
        path: String,
        stat: &FileStat,
    ) -> Result<(), RehashError> {
        let kind = match stat.st_mode & 0o7777 {
            0o444 | 0o644 => Kind::Plain,
            0o555 | 0o755 => Kind::Executable,
            mode => return Err(differs(&path, &format!("has mode {mode:o}"))),
        };
        let key = (stat.st_dev, stat.st_ino);
        let seen = stamp(stat);
        let hash = match self.known.get(&key) {
            Some((known, hash)) if *known == seen => *hash,
            _ => {
                let flags =
                    OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                let trouble = |text: String| io(&self.root.join(&path), &text);
                let fd = openat(parent, name, flags, Mode::empty())
                    .map_err(|errno| trouble(errno.desc().into()))?;
                // Another file may have come under the name since it was looked at.
                if fstat(&fd).map_or(true, |now| (now.st_dev, now.st_ino) != key) {
                    return Err(differs(&path, "was changed while it was looked at"));
                }
                hash_bytes(File::from(fd), stat.st_size.unsigned_abs())
                    .map_err(|error| trouble(error.to_string()))?
                    .ok_or_else(|| differs(&path, "was changed while it was looked at"))?
            }
        };
        if seen.ctime.0 + SETTLED < self.now {
            self.remembered.insert(key, (seen, hash));
        }
        self.found.push(Found {
            path,
            kind,
            size: stat.st_size.unsigned_abs(),
            hash,
        });
        Ok(())
    }
}

/// None: there are more or fewer bytes than there should be.
fn hash_bytes(file: File, size: u64) -> std::io::Result<Option<Digest>> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut limited = file.take(size + 1);
    let mut total = 0;
    loop {
        match limited.read(&mut buffer)? {
            0 => break,
            read => {
                hash.update(&buffer[..read]);
                total += read as u64;
            }
        }
    }
    Ok((total == size).then(|| Digest(hash.finalize().into())))
}

fn stamp(stat: &FileStat) -> Stamp {
    Stamp {
        size: stat.st_size,
        mtime: (stat.st_mtime, stat.st_mtime_nsec),
        ctime: (stat.st_ctime, stat.st_ctime_nsec),
    }
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

fn folder_flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
}

fn read_limited(path: &Path) -> Result<Vec<u8>, RehashError> {
    let trouble = |error: std::io::Error| io(path, &error.to_string());
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let fd =
        nix::fcntl::open(path, flags, Mode::empty()).map_err(|errno| io(path, errno.desc()))?;
    // Room for most locks at once.
    let mut text = Vec::with_capacity(16 << 10);
    File::from(fd)
        .take(MAX_LOCK)
        .read_to_end(&mut text)
        .map_err(trouble)?;
    Ok(text)
}

pub(super) fn differs(path: &str, what: &str) -> RehashError {
    RehashError::File {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

pub(super) fn io(path: &Path, text: &str) -> RehashError {
    RehashError::Io {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::seal::seal;
    use super::*;
    use std::{
        fmt::Write as _,
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    /// A store with a lock and its tree, sealed as the agent leaves it.
    fn store() -> (tempfile::TempDir, Digest) {
        let dir = tempfile::tempdir().expect("tempdir");
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("bin")).expect("folders");
        let mut lines = String::from("swarm-bundle-v1\nname ramp\nversion 1.0.0\n");
        for (path, kind, text) in [("a.txt", "644", "hello"), ("bin/run", "755", "#!/bin/sh\n")] {
            fs::write(tree.join(path), text).expect("written");
            let mode = if kind == "755" { 0o555 } else { 0o444 };
            fs::set_permissions(tree.join(path), fs::Permissions::from_mode(mode)).expect("mode");
            let hash = Digest::of(text.as_bytes()).hex();
            writeln!(lines, "{hash} {kind} {} {path}", text.len()).expect("text");
        }
        symlink("bin/run", tree.join("link")).expect("link");
        writeln!(lines, "{} link 7 link", Digest::of(b"bin/run").hex()).expect("text");
        fs::write(dir.path().join("bundle.lock"), &lines).expect("written");
        (dir, Digest::of(lines.as_bytes()))
    }

    fn trouble(spoil: impl Fn(&Path)) -> String {
        let (dir, digest) = store();
        let mut rehasher = Rehasher::new();
        rehasher
            .check(dir.path(), &digest)
            .expect("as it was stored");
        spoil(&dir.path().join("tree"));
        rehasher
            .check(dir.path(), &digest)
            .expect_err("noticed")
            .to_string()
    }

    fn rewrite(path: &Path, text: &str) {
        fs::remove_file(path).expect("removed");
        fs::write(path, text).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).expect("mode");
    }

    #[test]
    fn every_change_of_the_store_is_noticed_before_the_next_start() {
        let mode = |mode| {
            move |tree: &Path| {
                fs::set_permissions(tree.join("a.txt"), fs::Permissions::from_mode(mode))
                    .expect("mode");
            }
        };
        assert_eq!(
            trouble(|tree| rewrite(&tree.join("a.txt"), "HELLO")),
            "a.txt: has other bytes than bundle.lock says"
        );
        assert_eq!(
            trouble(|tree| rewrite(&tree.join("a.txt"), "more bytes")),
            "a.txt: has another size than bundle.lock says"
        );
        assert_eq!(
            trouble(|tree| fs::remove_file(tree.join("a.txt")).expect("removed")),
            "a.txt: is missing"
        );
        assert_eq!(
            trouble(|tree| fs::write(tree.join("bin/x"), "")
                .and_then(|()| fs::set_permissions(
                    tree.join("bin/x"),
                    fs::Permissions::from_mode(0o444)
                ))
                .expect("written")),
            "bin/x: is not in bundle.lock"
        );
        assert_eq!(trouble(mode(0o4444)), "a.txt: has mode 4444");
        assert_eq!(
            trouble(mode(0o555)),
            "a.txt: is of another kind or mode than bundle.lock says"
        );
        assert_eq!(
            trouble(|tree| {
                fs::remove_file(tree.join("link")).expect("removed");
                symlink("/etc/pw", tree.join("link")).expect("link");
            }),
            "link: has other bytes than bundle.lock says"
        );
    }

    #[test]
    fn another_lock_is_not_the_one_that_was_verified() {
        let (dir, digest) = store();
        let text = fs::read_to_string(dir.path().join("bundle.lock")).expect("read");
        fs::write(
            dir.path().join("bundle.lock"),
            text.replace("1.0.0", "1.0.1"),
        )
        .expect("written");
        assert!(matches!(
            Rehasher::new().check(dir.path(), &digest),
            Err(RehashError::Lock { .. })
        ));
    }

    #[test]
    fn a_sealed_folder_has_one_hash_until_something_changes() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::create_dir(dir.path().join("sub")).expect("folder");
        fs::write(dir.path().join("sub/f"), "x").expect("written");
        fs::set_permissions(dir.path().join("sub/f"), fs::Permissions::from_mode(0o6755))
            .expect("mode");
        seal(dir.path()).expect("sealed");
        let mode = dir
            .path()
            .join("sub/f")
            .metadata()
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o555);
        let first = Rehasher::new().hash_folder(dir.path()).expect("hashed");
        assert_eq!(
            Rehasher::new().hash_folder(dir.path()).expect("hashed"),
            first
        );
        fs::set_permissions(dir.path().join("sub"), fs::Permissions::from_mode(0o755))
            .expect("mode");
        rewrite(&dir.path().join("sub/f"), "y");
        assert_ne!(
            Rehasher::new().hash_folder(dir.path()).expect("hashed"),
            first
        );
    }
}
