//! Small files of the agent's own that must be whole or absent: written beside, synced, renamed.
//!
//! Touches the state folder. `trust.json` itself is read and written by the repository's `trust_file`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

/// Replaces a file by these bytes, mode 0600: afterwards it holds the old ones or the new ones, whatever happens meanwhile.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    new.write_all(bytes)?;
    new.sync_data()?;
    fs::rename(&beside, file)?;
    file.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Makes a folder of our own, mode 0700, where there is none.
pub fn own_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}
