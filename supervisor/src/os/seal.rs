//! A folder is closed: from here on its files are ours, read-only, and on the disk. Touches that folder.

use super::rehash::{RehashError, differs, io};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Makes a folder read-only for good (files 0444 or 0555, folders 0555) and owned by us; setuid bits go. For the result of `[install]`,
/// whose processes must all be gone. Links stay as they are and are not followed; what is no file, folder or link is an error.
pub fn seal(folder: &Path) -> Result<(), RehashError> {
    let trouble = |path: &Path, error: std::io::Error| io(path, &error.to_string());
    let entries = fs::read_dir(folder).map_err(|error| trouble(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| trouble(folder, error))?.path();
        let meta = path
            .symlink_metadata()
            .map_err(|error| trouble(&path, error))?;
        if meta.is_dir() {
            seal(&path)?;
        } else if meta.is_file() {
            let mode = if meta.permissions().mode() & 0o111 == 0 {
                0o444
            } else {
                0o555
            };
            own(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .map_err(|error| trouble(&path, error))?;
        } else if meta.is_symlink() {
            own(&path)?;
        } else {
            return Err(differs(
                &path.to_string_lossy(),
                "is neither a file nor a folder nor a link",
            ));
        }
    }
    own(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555))
        .map_err(|error| trouble(folder, error))
}

fn own(path: &Path) -> Result<(), RehashError> {
    let (uid, gid) = (
        nix::unistd::geteuid().as_raw(),
        nix::unistd::getegid().as_raw(),
    );
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
        .map_err(|error| io(path, &error.to_string()))
}
