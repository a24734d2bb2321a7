//! Versions whose folder was removed while a workflow ran them: boxes go on from their store (SPEC §3.2). Asks git.

use crate::{failure::Outcome, git::Git};
use swarm_manifests::manifest::{self, Manifest};

/// A version that is on the trunk no more, and that the workflow ran when it went.
#[derive(Debug)]
pub struct Removed {
    /// What it was.
    title: String,
    /// The last commit that has it.
    pub before: String,
}

/// Whether the bundle of this manifest was removed up to `head` while the same manifest named it, as it has done ever since: only
/// then do boxes have it in their store.
pub fn find(git: &Git, head: &str, path: &str, wanted: &Manifest) -> Outcome<Option<Removed>> {
    let lock = format!("bundles/{}/{}/bundle.lock", wanted.bundle, wanted.version);
    let gone = git.line([
        "log",
        "-1",
        "--first-parent",
        "-m",
        "--no-renames",
        "--diff-filter=D",
        "--format=%H",
        head,
        "--",
        &lock,
    ])?;
    if gone.is_empty() {
        return Ok(None);
    }
    let before = git.line(["rev-parse", "--verify", &format!("{gone}^1")])?;
    let edits = git.line([
        "log",
        "--first-parent",
        "-m",
        "--no-renames",
        "--format=%H",
        &format!("{before}..{head}"),
        "--",
        path,
    ])?;
    for commit in edits.lines().chain([before.as_str()]) {
        if !names(git, commit, path, wanted)? {
            return Ok(None);
        }
    }
    Ok(Some(Removed {
        title: format!("{} {}", wanted.bundle, wanted.version),
        before,
    }))
}

/// Whether the manifest named this bundle and version at that commit.
fn names(git: &Git, commit: &str, path: &str, wanted: &Manifest) -> Outcome<bool> {
    let text = git.file(commit, path)?.unwrap_or_default();
    Ok(manifest::read(path, &text).0.is_some_and(|manifest| {
        (&manifest.bundle, &manifest.version) == (&wanted.bundle, &wanted.version)
    }))
}

impl Removed {
    /// What a person should know of it.
    pub fn warning(&self, path: &str) -> String {
        format!(
            "{path}: {} is in the repository no more: boxes that have it go on from their store, and a new box cannot get it",
            self.title
        )
    }
}
