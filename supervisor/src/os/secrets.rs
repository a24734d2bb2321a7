//! Secrets as files that one workflow may read: sealed memory comes in, files below a folder in memory come out. Touches a file system
//! that lives in memory, never a disk.
//!
//! What is secret goes from the kernel to the kernel (`sendfile(2)`): no byte of it is ever in our memory, and so in none of our core
//! files. Each instance has a folder of its own, its user's alone, which is removed when its tree is gone.

use super::launch::Ids;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open, openat},
    sys::{
        sendfile::sendfile,
        stat::{Mode, fchmod, fstat, mkdirat},
        statfs::{TMPFS_MAGIC, fstatfs},
    },
    unistd::{AccessFlags, Gid, Uid, access, fchown, geteuid},
};
use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};
use swarm_manifests::name::Name;

/// Where file systems in memory are, by habit: where root alone writes first, so that nobody else can be there before us.
const MEMORY: [&str; 2] = ["/run", "/dev/shm"];
/// The largest secret, in bytes.
const MOST: usize = 1 << 20;

/// Why a secret could not be given.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum SecretError {
    #[error("there is no file system in memory here (looked at {})", MEMORY.join(" and "))]
    NoMemory,
    #[error("{} was made by somebody else", .0.display())]
    Foreign(PathBuf),
    #[error("what was handed over as a secret is no sealed memory")]
    NotSealed,
    #[error("{}: {source}", path.display())]
    Path { path: PathBuf, source: io::Error },
}

/// Memory that nobody can change any more, not even who made it.
#[derive(Debug)]
pub struct Sealed(OwnedFd);

impl Sealed {
    /// Takes a `memfd_create(2)` that is sealed against everything.
    pub fn new(memory: OwnedFd) -> Result<Self, SecretError> {
        let all = SealFlag::F_SEAL_WRITE
            | SealFlag::F_SEAL_GROW
            | SealFlag::F_SEAL_SHRINK
            | SealFlag::F_SEAL_SEAL;
        let seals = fcntl(&memory, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_truncate);
        let size = fstat(&memory).map(|stat| usize::try_from(stat.st_size).unwrap_or(usize::MAX));
        match (seals, size) {
            (Ok(seals), Ok(..=MOST)) if seals.contains(all) => Ok(Self(memory)),
            _ => Err(SecretError::NotSealed),
        }
    }
}

/// Where the secrets of all workflows of this box lie.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of the box whose state is here; it is made when something is put into it.
    pub fn of(state: &Path) -> Result<Self, SecretError> {
        let is_memory = |path: &&&str| {
            let folder = open_folder(Path::new(path)).ok();
            let folder = folder.filter(|_| access(**path, AccessFlags::W_OK).is_ok());
            let kind = folder.and_then(|folder| fstatfs(folder).ok());
            kind.is_some_and(|kind| kind.filesystem_type() == TMPFS_MAGIC)
        };
        let memory = MEMORY.iter().find(is_memory).ok_or(SecretError::NoMemory)?;
        let which = hex::encode(&Sha256::digest(state.as_os_str().as_bytes())[..8]);
        let name = format!("swarm-{}-{which}", geteuid());
        Ok(Self(Path::new(memory).join(name)))
    }

    /// Where those of an instance lie. Pure.
    pub fn of_instance(&self, workflow: &Name, instance: u16) -> PathBuf {
        self.0.join(format!("{workflow}.{instance}"))
    }

    /// Lays an instance's secrets out, mode 0400 and its user's; what was there before goes.
    pub fn lay_out<'a>(
        &self,
        (workflow, instance): (&Name, u16),
        secrets: impl Iterator<Item = (&'a str, &'a Sealed)>,
        owner: Option<&Ids>,
    ) -> Result<(), SecretError> {
        self.clear(workflow, instance)?;
        let folder = self.of_instance(workflow, instance);
        let done = self.make().and_then(|base| {
            let name = format!("{workflow}.{instance}");
            mkdirat(&base, name.as_str(), Mode::S_IRWXU).map_err(|errno| at(&folder, errno))?;
            let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let made = openat(&base, name.as_str(), flags, Mode::empty());
            let made = made.map_err(|errno| at(&folder, errno))?;
            for (variable, sealed) in secrets {
                write(&made, variable, sealed, owner).map_err(|errno| at(&folder, errno))?;
            }
            give(&made, owner, 0o500).map_err(|errno| at(&folder, errno))
        });
        if done.is_err() {
            let _ = self.clear(workflow, instance);
        }
        done
    }

    /// Removes an instance's secrets; none there is fine.
    pub fn clear(&self, workflow: &Name, instance: u16) -> Result<(), SecretError> {
        match self.base()? {
            Some(base) => {
                remove(&below(&base, &format!("{workflow}.{instance}")))?;
                self.leave();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The folder goes with the last secret; where something is left, it stays.
    fn leave(&self) {
        let _ = fs::remove_dir(&self.0);
    }

    /// Removes those of every instance that `stays` does not name.
    pub fn sweep(&self, stays: impl Fn(&str) -> bool) -> Result<(), SecretError> {
        let Some(base) = self.base()? else {
            return Ok(());
        };
        let Ok(entries) = fs::read_dir(below(&base, "")) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            if !entry.file_name().to_str().is_some_and(&stays) {
                remove(&entry.path())?;
            }
        }
        self.leave();
        Ok(())
    }

    fn make(&self) -> Result<OwnedFd, SecretError> {
        match nix::unistd::mkdir(&self.0, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(at(&self.0, errno)),
        }
        self.base()?.ok_or_else(|| at(&self.0, Errno::ENOENT))
    }

    /// The folder, held open, if it is there and ours alone. Everybody may write around it: somebody else may have been there first,
    /// and what they put there is neither written to nor removed.
    fn base(&self) -> Result<Option<OwnedFd>, SecretError> {
        let folder = match open_folder(&self.0) {
            Err(Errno::ENOENT) => return Ok(None),
            Err(_) => return Err(SecretError::Foreign(self.0.clone())),
            Ok(folder) => folder,
        };
        let stat = fstat(&folder).map_err(|errno| at(&self.0, errno))?;
        if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o7777 != 0o700 {
            return Err(SecretError::Foreign(self.0.clone()));
        }
        Ok(Some(folder))
    }
}

/// A path below a folder that is held open, whatever stands at the folder's own path by now.
fn below(folder: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

fn at(path: &Path, errno: Errno) -> SecretError {
    SecretError::Path {
        path: path.to_owned(),
        source: errno.into(),
    }
}

fn open_folder(path: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
}

fn write(folder: &OwnedFd, name: &str, sealed: &Sealed, owner: Option<&Ids>) -> nix::Result<()> {
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    let file = openat(folder, name, flags, Mode::S_IRUSR)?;
    let (mut offset, size) = (0, fstat(&sealed.0)?.st_size);
    while offset < size {
        if sendfile(&file, &sealed.0, Some(&mut offset), MOST)? == 0 {
            return Err(Errno::EIO);
        }
    }
    give(&file, owner, 0o400)
}

fn give(what: impl AsFd, owner: Option<&Ids>, mode: u32) -> nix::Result<()> {
    fchmod(&what, Mode::from_bits_truncate(mode))?;
    match owner.filter(|_| geteuid().is_root()) {
        Some(ids) => fchown(
            &what,
            Some(Uid::from_raw(ids.uid)),
            Some(Gid::from_raw(ids.gid)),
        ),
        None => Ok(()),
    }
}

/// A folder of files, which its owner may have closed to itself.
fn remove(folder: &Path) -> Result<(), SecretError> {
    let removed = match open_folder(folder) {
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => Err(errno.into()),
        Ok(open) => {
            fchmod(&open, Mode::S_IRWXU).map_err(|errno| at(folder, errno))?;
            fs::remove_dir_all(folder)
        }
    };
    removed.map_err(|source| SecretError::Path {
        path: folder.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::{
        fs::File,
        io::Write as _,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    };

    fn memory(text: &[u8], is_sealed: bool) -> OwnedFd {
        let fd = memfd_create(
            c"secret",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )
        .expect("memory");
        let mut file = File::from(fd);
        file.write_all(text).expect("room");
        if is_sealed {
            fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::all())).expect("seals");
        }
        file.into()
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    #[test]
    fn a_secret_is_its_users_alone_in_memory_and_gone_when_it_is_cleared() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = Folder::of(state.path()).expect("memory");
        let sealed = Sealed::new(memory(b"hunter2", true)).expect("it is sealed");
        let ids = Ids {
            uid: 4321,
            gid: 4321,
            groups: vec![],
        };
        for _ in 0..2 {
            let secrets = [("DB", &sealed)].into_iter();
            let done = folder.lay_out((&name("ramp"), 0), secrets, Some(&ids));
            done.expect("it can be laid out, and again");
        }
        let file = folder.of_instance(&name("ramp"), 0).join("DB");
        let meta = file.metadata().expect("a file");
        assert_eq!(meta.permissions().mode() & 0o7777, 0o400);
        if geteuid().is_root() {
            assert_eq!(meta.uid(), 4321);
        }
        assert_eq!(fs::read(&file).expect("a file"), b"hunter2");
        folder.sweep(|kept| kept == "ramp.0").expect("it is ours");
        assert!(file.exists(), "what stays was swept away");
        folder.clear(&name("ramp"), 0).expect("it is ours");
        assert!(
            !folder.0.exists(),
            "the folder stays without a secret in it"
        );
        folder.sweep(|_| false).expect("none there is fine");
    }

    #[test]
    fn what_can_still_be_changed_is_no_secret() {
        for memory in [
            memory(b"x", false),
            tempfile::tempfile().expect("a file").into(),
            memory(&vec![0; MOST + 1], true),
        ] {
            assert!(matches!(Sealed::new(memory), Err(SecretError::NotSealed)));
        }
    }

    #[test]
    fn a_folder_that_somebody_made_beforehand_is_not_taken() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = Folder::of(state.path()).expect("memory");
        let refused = || {
            let done = folder.lay_out((&name("ramp"), 0), std::iter::empty(), None);
            matches!(done, Err(SecretError::Foreign(_)))
        };
        symlink(state.path(), &folder.0).expect("room");
        let precious = state.path().join("ramp.0");
        fs::create_dir(&precious).expect("room");
        assert!(refused(), "a link was followed");
        assert!(folder.sweep(|_| false).is_err() && folder.clear(&name("ramp"), 0).is_err());
        assert!(precious.exists(), "somebody else's folder was removed");
        fs::remove_file(&folder.0).expect("it is ours");
        fs::create_dir(&folder.0).expect("room");
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o777)).expect("it is ours");
        assert!(refused(), "a folder that others may write was taken");
        fs::remove_dir(&folder.0).expect("it is ours");
    }
}
