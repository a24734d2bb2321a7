//! The folders of an instance: `<state>/workflows/<workflow>/<instance>/` with `home/` and `tmp/`, its user's alone.

use super::launch::Ids;
use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat},
    sys::stat::{Mode, fchmod, fstat, mkdirat},
    unistd::{Gid, Uid, fchown},
};
use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};
use swarm_manifests::name::Name;

/// Where an instance writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Folders {
    /// `SWARM_STATE`
    pub state: PathBuf,
    /// `HOME`
    pub home: PathBuf,
    /// `TMPDIR`
    pub tmp: PathBuf,
}

/// Where they are. Pure.
pub fn of(state: &Path, workflow: &Name, instance: u16) -> Folders {
    let state = of_workflow(state, workflow).join(instance.to_string());
    Folders {
        home: state.join("home"),
        tmp: state.join("tmp"),
        state,
    }
}

fn of_workflow(state: &Path, workflow: &Name) -> PathBuf {
    state.join("workflows").join(workflow.as_str())
}

/// Makes them, mode 0700 and owned by `owner`; what is there from a former user is handed over (links are never followed).
pub fn make(
    state: &Path,
    workflow: &Name,
    instance: u16,
    owner: Option<&Ids>,
) -> io::Result<Folders> {
    let folders = of(state, workflow, instance);
    make_passable(&state.join("workflows"))?;
    make_passable(&of_workflow(state, workflow))?;
    let parent = open_folder(&of_workflow(state, workflow))?;
    let top = make_at(&parent, &instance.to_string())?;
    let owner = owner.filter(|_| nix::unistd::geteuid().is_root());
    if let Some(ids) = owner
        && fstat(&top)?.st_uid != ids.uid
    {
        hand_over(&folders.state, ids)?;
        give(&top, ids)?;
    }
    // From here on the workflow may have put anything there: every step is by descriptor and follows no link.
    for name in ["home", "tmp"] {
        let folder = make_at(&top, name)?;
        if let Some(ids) = owner {
            give(&folder, ids)?;
        }
    }
    Ok(folders)
}

/// Makes what is not there of a path below an instance's folder, for its owner. What is there stays as it is, and a link is not followed:
/// whether the way leads on shows when the program, as its user, goes there.
pub fn make_below(folders: &Folders, below: &str, owner: Option<&Ids>) -> io::Result<()> {
    let owner = owner.filter(|_| nix::unistd::geteuid().is_root());
    if below.split('/').any(|name| name == "..") {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut folder = open_folder(&folders.state)?;
    for name in below
        .split('/')
        .filter(|name| !name.is_empty() && *name != ".")
    {
        let made = match mkdirat(&folder, name, Mode::S_IRWXU) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(errno) => return Err(errno.into()),
        };
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        folder = match openat(&folder, name, flags, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::ELOOP | Errno::ENOTDIR | Errno::EACCES) if !made => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if let Some(ids) = owner.filter(|_| made) {
            give(&folder, ids)?;
        }
    }
    Ok(())
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(
        path,
        OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?)
}

/// A folder of mode 0700 below another; one that is there is taken, anything else there is an error.
fn make_at(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = openat(parent, name, flags, Mode::empty())?;
    if fstat(&folder)?.st_mode & 0o7777 != 0o700 {
        fchmod(&folder, Mode::S_IRWXU)?;
    }
    Ok(folder)
}

fn give(folder: impl AsFd, ids: &Ids) -> io::Result<()> {
    Ok(fchown(
        folder,
        Some(Uid::from_raw(ids.uid)),
        Some(Gid::from_raw(ids.gid)),
    )?)
}

/// Everything below gets a new owner; links themselves, never what they lead to. Files with further names elsewhere are left alone.
fn hand_over(folder: &Path, ids: &Ids) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.path().symlink_metadata()?;
        if meta.is_dir() {
            hand_over(&entry.path(), ids)?;
        } else if meta.nlink() > 1 {
            continue;
        }
        let (uid, gid) = (Some(Uid::from_raw(ids.uid)), Some(Gid::from_raw(ids.gid)));
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &entry.path(),
            uid,
            gid,
            AtFlags::AT_SYMLINK_NOFOLLOW,
        )?;
    }
    Ok(())
}

/// Removes a workflow's folders with all that is in them, whatever modes it set; links are never followed. None there: nothing to do.
pub fn remove(state: &Path, workflow: &Name) -> io::Result<()> {
    let folder = of_workflow(state, workflow);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // As an ordinary user, a folder without the write bit keeps what is in it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(&folder)?;
            fs::remove_dir_all(&folder)
        }
        other => other,
    }
}

fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes a folder of our own, mode 0711: passable for everybody, listable by nobody else.
pub fn make_passable(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(path)?;
    let meta = path.symlink_metadata()?;
    if !meta.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("{} is no folder", path.display()),
        ));
    }
    if meta.mode() & 0o7777 != 0o711 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o711))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name::new("ramp").expect("a name")
    }

    #[test]
    fn folders_are_their_owners_alone() {
        let dir = tempfile::tempdir().expect("tempdir");
        let folders = make(dir.path(), &name(), 3, None).expect("made");
        assert_eq!(folders.state, dir.path().join("workflows/ramp/3"));
        for path in [&folders.state, &folders.home, &folders.tmp] {
            assert_eq!(path.metadata().expect("there").mode() & 0o7777, 0o700);
        }
        assert_eq!(
            dir.path()
                .join("workflows")
                .metadata()
                .expect("there")
                .mode()
                & 0o7777,
            0o711
        );
        assert_eq!(make(dir.path(), &name(), 3, None).expect("again"), folders);
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_not_followed() {
        let dir = tempfile::tempdir().expect("tempdir");
        let outside = tempfile::tempdir().expect("tempdir");
        let folders = make(dir.path(), &name(), 0, None).expect("made");
        fs::remove_dir(&folders.home).expect("remove");
        std::os::unix::fs::symlink(outside.path(), &folders.home).expect("link");
        assert!(make(dir.path(), &name(), 0, None).is_err());
    }

    #[test]
    fn a_folder_below_is_made_and_no_link_on_the_way_is_followed() {
        let dir = tempfile::tempdir().expect("tempdir");
        let outside = tempfile::tempdir().expect("tempdir");
        let folders = make(dir.path(), &name(), 0, None).expect("made");
        make_below(&folders, "a/b", None).expect("made");
        make_below(&folders, "a/b", None).expect("there");
        assert!(folders.state.join("a/b").is_dir());
        std::os::unix::fs::symlink(outside.path(), folders.state.join("l")).expect("link");
        make_below(&folders, "l/x", None).expect("left alone");
        assert!(!outside.path().join("x").exists());
    }

    #[test]
    fn removing_takes_what_was_made_unremovable() {
        let dir = tempfile::tempdir().expect("tempdir");
        let folders = make(dir.path(), &name(), 0, None).expect("made");
        let deep = folders.home.join("a/b");
        fs::create_dir_all(&deep).expect("made");
        fs::write(deep.join("f"), "x").expect("written");
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o500)).expect("mode");
        remove(dir.path(), &name()).expect("removed");
        assert!(!dir.path().join("workflows/ramp").exists());
        remove(dir.path(), &name()).expect("nothing to do");
    }
}
