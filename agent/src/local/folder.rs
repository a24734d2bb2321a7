//! A plain folder as a bundle: the lock's lines for what lies there, but for what is ignored.
//!
//! Touches the folder, only to read it.

use crate::store::StoreError;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};
use swarm_manifests::{
    id::Digest,
    lock::{Entry, Kind, MAX_BYTES, MAX_DEPTH},
    problem::Refusal,
    rules,
};

/// Files of a bundle's folder that are no part of the bundle.
const LEFT_OUT: [&str; 3] = ["bundle.lock", "bundle.lock.sig", ".git"];

/// The lock's lines for a folder, and where each file is.
pub fn list(folder: &Path) -> Result<(Vec<Entry>, BTreeMap<String, PathBuf>), StoreError> {
    let ignored = ignored(folder);
    let (mut entries, mut files, mut total) = (Vec::new(), BTreeMap::new(), 0);
    let mut pile = vec![folder.to_path_buf()];
    while let Some(here) = pile.pop() {
        for entry in fs::read_dir(&here).map_err(|error| unreadable(&here, &error))? {
            let entry = entry.map_err(|error| unreadable(&here, &error))?;
            let (path, name) = (entry.path(), entry.file_name());
            let kind = entry
                .file_type()
                .map_err(|error| unreadable(&path, &error))?;
            let is_left_out = LEFT_OUT.iter().any(|left_out| name == *left_out)
                && (here == folder || name == ".git");
            if is_left_out || ignored.matched(&path, kind.is_dir()).is_ignore() {
                continue;
            }
            if kind.is_dir() {
                if path
                    .strip_prefix(folder)
                    .is_ok_and(|below| below.components().count() <= MAX_DEPTH)
                {
                    pile.push(path);
                }
                continue;
            }
            let refused =
                |reason: String| StoreError::Refused(Refusal::new(&rules::bundle::PATH, reason));
            let relative = path
                .strip_prefix(folder)
                .ok()
                .and_then(Path::to_str)
                .ok_or_else(|| refused(format!("{} is not UTF-8", path.display())))?;
            let meta = fs::symlink_metadata(&path).map_err(|error| unreadable(&path, &error))?;
            total += meta.len();
            if total > MAX_BYTES {
                return Err(StoreError::Refused(Refusal::new(
                    &rules::bundle::TOO_LARGE,
                    format!("{} has more than {MAX_BYTES} bytes", folder.display()),
                )));
            }
            let kind = match (kind.is_symlink(), meta.is_file(), meta.mode() & 0o111) {
                (true, ..) => Kind::Link,
                (_, true, 0) => Kind::Plain,
                (_, true, _) => Kind::Executable,
                (_, false, _) => {
                    return Err(StoreError::Refused(Refusal::new(
                        &rules::bundle::MODE,
                        format!("{relative} is neither file nor link"),
                    )));
                }
            };
            let content = bytes(&path).map_err(|error| unreadable(&path, &error))?;
            entries.push(Entry {
                hash: Digest::of(&content),
                kind,
                size: content.len() as u64,
                path: relative.into(),
            });
            files.insert(relative.to_string(), path);
        }
    }
    Ok((entries, files))
}

/// A file's bytes, or a link's target.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    if fs::symlink_metadata(path)?.is_symlink() {
        Ok(fs::read_link(path)?.into_os_string().into_vec())
    } else {
        fs::read(path)
    }
}

fn ignored(folder: &Path) -> Gitignore {
    let mut builder = GitignoreBuilder::new(folder);
    // A line that does not parse is left out, as git does.
    let _ = builder.add(folder.join(".swarmignore"));
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

/// A file that went away between two looks is there again after the next save.
fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Blocked(Refusal::new(
        &rules::bundle::FILE_DIFFERS,
        format!("cannot read {}: {error}", path.display()),
    ))
}
