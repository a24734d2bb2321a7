//! What the agent is given to read: files of its configuration that only root may read, as copies in the same place. Touches files.
//!
//! Tokens, ssh keys and webhook secrets are often root's, mode 0600, and may lie below folders that nobody else may enter. The agent
//! runs as a user of its own; it finds each file under its configured name, as a copy that is its own. It also finds itself in
//! `/etc/passwd`, because `ssh` does not work for a user who is not there.

use crate::os::launch::Ids;
use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// The largest file that is handed over, in bytes.
const MOST: u64 = 1 << 20;

/// What goes into the agent's `Launch`.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// To be seen as they are.
    pub read: Vec<PathBuf>,
    /// To be seen as copies.
    pub stand_ins: Vec<(PathBuf, PathBuf)>,
}

/// Copies what this user may not read, below `supervisor/given` of the state folder. A file that is not there is left out: the agent
/// says so itself when it needs it.
pub(super) fn hand_over(state: &Path, ids: &Ids, files: &[PathBuf]) -> io::Result<Given> {
    let folder = state.join("supervisor/given");
    fs::create_dir_all(&folder)?;
    fs::set_permissions(&folder, Permissions::from_mode(0o711))?;
    let mut given = Given::default();
    for (number, file) in files.iter().enumerate() {
        let Ok(meta) = file.metadata() else { continue };
        if meta.is_dir() || may_read(ids, &meta) {
            given.read.push(file.clone());
            continue;
        }
        let mut text = Vec::new();
        File::open(file)?.take(MOST).read_to_end(&mut text)?;
        let copy = folder.join(number.to_string());
        write_for(ids, &copy, &text)?;
        given.stand_ins.push((file.clone(), copy));
    }
    let passwd = fs::read_to_string("/etc/passwd")?;
    if !is_listed(&passwd, ids.uid) {
        let copy = folder.join("passwd");
        let home = state.join("agent");
        let line = format!(
            "swarm:x:{}:{}:Swarmlet:{}:/usr/sbin/nologin\n",
            ids.uid,
            ids.gid,
            home.display()
        );
        write_for(
            ids,
            &copy,
            (passwd.trim_end().to_string() + "\n" + &line).as_bytes(),
        )?;
        given.stand_ins.push(("/etc/passwd".into(), copy));
    }
    Ok(given)
}

/// Device and inode of what a path names, where that is a folder.
pub(super) type Identity = Option<(u64, u64)>;

/// Which folder each path names now. The agent keeps seeing the one that stood there when it was started: another one behind the same
/// name, or none, is noticed by comparing.
pub(super) fn identities(paths: &[PathBuf]) -> Vec<Identity> {
    let identity = |path: &PathBuf| {
        let meta = path.metadata().ok().filter(fs::Metadata::is_dir)?;
        Some((meta.dev(), meta.ino()))
    };
    paths.iter().map(identity).collect()
}

/// Whether a user of this id stands in the text of a `passwd(5)`.
fn is_listed(passwd: &str, uid: u32) -> bool {
    passwd.lines().any(|line| {
        line.split(':')
            .nth(2)
            .and_then(|field| field.parse::<u32>().ok())
            == Some(uid)
    })
}

/// By the owner's, the group's or the others' bit, the first that applies (`path_resolution(7)`).
fn may_read(ids: &Ids, meta: &fs::Metadata) -> bool {
    let bit = if meta.uid() == ids.uid {
        0o400
    } else if meta.gid() == ids.gid || ids.groups.contains(&meta.gid()) {
        0o040
    } else {
        0o004
    };
    meta.mode() & bit != 0
}

/// Writes a file that this user alone may read. What was there is replaced, not followed.
fn write_for(ids: &Ids, path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)?;
    std::os::unix::fs::fchown(&file, Some(ids.uid), Some(ids.gid))?;
    file.write_all(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_in_passwd_by_the_third_field_only() {
        assert!(is_listed(
            "root:x:0:0::/root:/bin/sh\nswarm:x:990:990::/:/bin/false\n",
            990
        ));
        assert!(!is_listed(
            "root:x:0:0::/root:/bin/sh\n990:x:1:1::/:/bin/sh\n",
            990
        ));
    }

    #[test]
    fn a_file_of_ours_is_handed_over_as_a_copy_and_an_open_one_as_it_is() {
        let world = tempfile::tempdir().unwrap();
        let (open, closed) = (world.path().join("open"), world.path().join("closed"));
        fs::write(&open, "o").unwrap();
        fs::write(&closed, "secret").unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o600)).unwrap();
        let own = fs::metadata(&open).unwrap();
        let ids = Ids {
            uid: own.uid(),
            gid: own.gid(),
            groups: Vec::new(),
        };
        let stranger = Ids {
            uid: own.uid() + 1,
            gid: own.gid() + 1,
            groups: Vec::new(),
        };
        assert!(may_read(&stranger, &own));
        assert!(!may_read(&stranger, &fs::metadata(&closed).unwrap()));
        // Ourselves read both; nothing is copied.
        let given = hand_over(
            world.path(),
            &ids,
            &[open.clone(), closed.clone(), world.path().join("absent")],
        )
        .unwrap();
        assert_eq!(given.read, [open, closed]);
    }
}
