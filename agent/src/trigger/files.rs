//! Files that wake: a repository that is a local path, the agent's own configuration, with `local` a whole folder.
//!
//! Touches inotify, by one thread of the `notify` crate for all of it.

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Keeps watching until it is dropped.
pub struct Files(#[allow(dead_code, reason = "dropping it ends the watch")] RecommendedWatcher);

/// Watches folders, and calls for each change of something whose name counts. A folder that cannot be watched is said and left out:
/// the poll finds what it would have told.
pub fn watch(
    folders: &[(PathBuf, RecursiveMode)],
    counts: impl Fn(&Path) -> bool + Send + 'static,
    changed: impl Fn() + Send + 'static,
) -> Option<Files> {
    let told = notify::recommended_watcher(
        move |event: notify::Result<notify::Event>| match event {
            Ok(event) if matches!(event.kind, EventKind::Access(kind) if !matches!(kind, AccessKind::Close(notify::event::AccessMode::Write))) =>
                {}
            Ok(event) if event.need_rescan() || event.paths.iter().any(|path| counts(path)) => {
                changed();
            }
            Ok(_) => {}
            // An overflow: something happened.
            Err(_) => changed(),
        },
    );
    let mut watcher = match told {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "cannot watch files");
            return None;
        }
    };
    for (folder, how) in folders {
        if let Err(error) = watcher.watch(folder, *how) {
            tracing::warn!(folder = %folder.display(), %error, "cannot watch");
        }
    }
    Some(Files(watcher))
}

/// Watches one file, also one that is replaced by another.
pub fn watch_file(file: &Path, changed: impl Fn() + Send + 'static) -> Option<Files> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name: OsString = file.file_name()?.into();
    watch(
        &[(folder.into(), RecursiveMode::NonRecursive)],
        move |path| path.file_name() == Some(&name),
        changed,
    )
}

/// Watches where a local repository keeps its branches.
pub fn watch_repository(url: &str, changed: impl Fn() + Send + 'static) -> Option<Files> {
    let path = Path::new(url.strip_prefix("file://").unwrap_or(url));
    if !path.is_absolute() {
        return None;
    }
    let git = [path.join(".git"), path.into()]
        .into_iter()
        .find(|git| git.join("HEAD").is_file() && git.join("refs").is_dir())?;
    let folders = [
        (git.clone(), RecursiveMode::NonRecursive),
        (git.join("refs/heads"), RecursiveMode::Recursive),
    ];
    let counts = move |path: &Path| {
        let is_ref = path.starts_with(git.join("refs/heads"))
            || path == git.join("packed-refs")
            || path == git.join("HEAD");
        // git writes NAME.lock first; the rename that follows is what counts.
        is_ref && path.extension().is_none_or(|extension| extension != "lock")
    };
    watch(&folders, counts, changed)
}
