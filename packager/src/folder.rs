//! A bundle's folder, walked: what is in it, and what may not be. Reads the folder; follows no link.

use crate::failure::Outcome;
use anyhow::Context;
use ignore::WalkBuilder;
use std::{
    fs::Metadata,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use swarm_manifests::{
    lock::{self, Kind},
    problem::{Problem, Refusal},
    rules::bundle::{MODE, PATH},
};

/// Its file beside the others that says what stays out.
const IGNORE_FILE: &str = ".swarmignore";
/// The two files at a bundle's top that the lock does not list.
const UNLISTED: [&str; 2] = ["bundle.lock", "bundle.lock.sig"];

/// One file or link of a bundle.
#[derive(Debug, Clone)]
pub struct Item {
    /// Relative to the bundle, with `/`.
    pub path: String,
    /// Where it lies.
    pub at: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// In bytes.
    pub size: u64,
    /// A link's target.
    pub target: Option<String>,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Folder {
    /// Sorted by the path's bytes.
    pub items: Vec<Item>,
    /// What no bundle may hold.
    pub problems: Vec<Problem>,
}

/// Whether `.swarmignore` counts: it does where a bundle is made, and not where it lies published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignoring {
    /// What `.swarmignore` names stays out.
    SwarmIgnore,
    /// Everything counts.
    Nothing,
}

/// Walks a bundle's folder.
pub fn walk(dir: &Path, ignoring: Ignoring) -> Outcome<Folder> {
    let mut builder = WalkBuilder::new(dir);
    builder.standard_filters(false).follow_links(false);
    if ignoring == Ignoring::SwarmIgnore {
        builder.add_custom_ignore_filename(IGNORE_FILE);
    }
    builder.filter_entry(|entry| {
        entry.depth() == 0 || !entry.file_name().eq_ignore_ascii_case(".git")
    });
    let mut folder = Folder::default();
    for entry in builder.build() {
        let entry = entry.with_context(|| format!("{} could not be read", dir.display()))?;
        if entry.depth() > 0 {
            let metadata = entry
                .path()
                .symlink_metadata()
                .with_context(|| format!("{} could not be read", entry.path().display()))?;
            folder.take(dir, entry.path(), &metadata)?;
        }
    }
    folder
        .items
        .sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    folder.check_links();
    Ok(folder)
}

impl Folder {
    fn take(&mut self, dir: &Path, at: &Path, metadata: &Metadata) -> Outcome {
        if metadata.is_dir() {
            return Ok(());
        }
        let relative = at.strip_prefix(dir).unwrap_or(at);
        let Some(path) = relative.to_str() else {
            self.problems.push(
                Problem::whole(&relative.to_string_lossy(), &PATH, "the name is not UTF-8")
                    .hint(PATH.remedy),
            );
            return Ok(());
        };
        if UNLISTED.contains(&path) {
            return Ok(());
        }
        if let Err(refusal) = lock::check_path(path) {
            self.problems.push(of_refusal(path, refusal));
            return Ok(());
        }
        let item = Item {
            path: path.into(),
            at: at.into(),
            kind: Kind::Plain,
            size: metadata.len(),
            target: None,
        };
        if metadata.is_symlink() {
            self.take_link(item)?;
        } else if metadata.is_file() {
            // As git does it: the owner's bit decides.
            let kind = if metadata.permissions().mode() & 0o100 != 0 {
                Kind::Executable
            } else {
                Kind::Plain
            };
            self.items.push(Item { kind, ..item });
        } else {
            self.problems.push(
                Problem::whole(
                    path,
                    &MODE,
                    "a device, socket or pipe has no place in a bundle",
                )
                .hint("remove it, or name it in .swarmignore"),
            );
        }
        Ok(())
    }

    fn take_link(&mut self, item: Item) -> Outcome {
        let target = std::fs::read_link(&item.at)
            .with_context(|| format!("{} could not be read", item.at.display()))?;
        let Some(target) = target.to_str() else {
            self.problems.push(Problem::whole(
                &item.path,
                &PATH,
                "the link's target is not UTF-8",
            ));
            return Ok(());
        };
        match lock::check_link(&item.path, target) {
            Err(refusal) => self.problems.push(of_refusal(&item.path, refusal)),
            Ok(()) => self.items.push(Item {
                kind: Kind::Link,
                size: target.len() as u64,
                target: Some(target.into()),
                ..item
            }),
        }
        Ok(())
    }

    /// Each link stays inside by itself; together they may still lead out of the bundle, or in a circle.
    fn check_links(&mut self) {
        let target = |item: &Item| Some((item.path.clone(), item.target.clone()?));
        let links = self.items.iter().filter_map(target).collect();
        if let Err(refusal) = lock::check_links(&links) {
            self.problems.push(of_refusal("the links", refusal));
        }
    }
}

/// A refusal as a problem of this file.
pub fn of_refusal(file: &str, refusal: Refusal) -> Problem {
    let problem = Problem::whole(file, refusal.rule, refusal.reason);
    problem.hint(refusal.hint.unwrap_or_else(|| refusal.rule.remedy.into()))
}
