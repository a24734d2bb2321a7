//! From a folder to its lock: the same bytes from the same content, on every machine. Reads the folder, writes bundle.lock.

use crate::{
    failure::{Failure, Finding, Outcome},
    folder::{self, Folder, Ignoring, Item, of_refusal},
};
use anyhow::Context;
use sha2::{Digest as _, Sha256};
use std::{fs::File, io::Read, path::Path};
use swarm_manifests::{
    bundle::{self, Bundle, Workdir},
    id::Digest,
    lock::{Entry, Kind, Lock},
    problem::Problem,
    rules::file::{BAD_VALUE, MISSING_KEY},
    shape,
};
use swarm_repository::cores::on_every_core;

/// A bundle that was packed.
#[derive(Debug)]
pub struct Packed {
    /// bundle.toml
    pub bundle: Bundle,
    /// bundle.lock
    pub lock: Lock,
    /// The files, in the lock's order.
    pub items: Vec<Item>,
}

impl Packed {
    /// The bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.size).sum()
    }

    /// `ramp 1.2.0`
    pub fn title(&self) -> String {
        format!("{} {}", self.bundle.name, self.bundle.version)
    }

    /// Writes bundle.lock into the folder.
    pub fn write_lock(&self, dir: &Path) -> Outcome {
        let path = dir.join("bundle.lock");
        std::fs::write(&path, self.lock.text())
            .with_context(|| format!("{} could not be written", path.display()))?;
        Ok(())
    }
}

/// Reads, checks and hashes the bundle in this folder; every problem at once.
pub fn pack(dir: &Path) -> Outcome<Packed> {
    let (bundle, mut findings) = read_bundle(dir)?;
    let folder = folder::walk(dir, Ignoring::SwarmIgnore)?;
    findings.extend(
        bundle
            .iter()
            .flat_map(|bundle| {
                let workdir = workdir_problem(dir, bundle, &folder);
                entry_problem(dir, bundle, &folder)
                    .into_iter()
                    .chain(workdir)
            })
            .map(Finding::bare),
    );
    let Folder { items, problems } = folder;
    findings.extend(problems.into_iter().map(Finding::bare));
    let Some(bundle) = bundle.filter(|_| findings.is_empty()) else {
        return Err(Failure::findings(findings));
    };
    let entries = on_every_core(&items, entry)?;
    let lock =
        Lock::new(bundle.name.clone(), bundle.version.clone(), entries).map_err(|refusal| {
            Failure::findings(vec![Finding::bare(of_refusal(
                &dir.to_string_lossy(),
                refusal,
            ))])
        })?;
    Ok(Packed {
        bundle,
        lock,
        items,
    })
}

/// Reads bundle.toml.
pub fn read_bundle(dir: &Path) -> Outcome<(Option<Bundle>, Vec<Finding>)> {
    let path = dir.join("bundle.toml");
    if !dir.is_dir() {
        return Err(Failure::usage(format!("{} is not a folder", dir.display()))
            .hint("name the folder that holds bundle.toml"));
    }
    if !path.exists() {
        let problem = Problem::whole(
            &path.to_string_lossy(),
            &MISSING_KEY,
            "there is no bundle.toml in this folder",
        );
        return Err(Failure::findings(vec![Finding::bare(problem.hint(
            "swarm-pack new NAME --engine sh writes a bundle to start from",
        ))]));
    }
    let text = read_limited(&path, shape::MAX_TEXT as u64 + 1)?;
    let (bundle, problems) = bundle::read(&path.to_string_lossy(), &text);
    Ok((bundle, Finding::of(problems, &text)))
}

/// Reads a file, but not more than so many bytes of it.
pub fn read_limited(path: &Path, limit: u64) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let file =
        File::open(path).with_context(|| format!("{} could not be opened", path.display()))?;
    file.take(limit)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{} could not be read", path.display()))?;
    Ok(bytes)
}

/// An entry that is not there would be found on every box, much later: look for it now.
///
/// Only where it can be known: not with placeholders, not where an install makes files, not for engines whose entry is no file.
fn entry_problem(dir: &Path, bundle: &Bundle, folder: &Folder) -> Option<Problem> {
    let is_file = ["exec", "sh", "node", "python", "beam"].contains(&bundle.engine.as_str());
    if !is_file || bundle.install.is_some() || bundle.entry.contains('{') {
        return None;
    }
    let file = dir.join("bundle.toml").to_string_lossy().into_owned();
    let found = folder.items.iter().find(|item| item.path == bundle.entry);
    match found.map(|item| item.kind) {
        None if lies_below_link(folder, &bundle.entry) => None,
        None => Some(
            Problem::whole(
                &file,
                &BAD_VALUE,
                format!("the entry {:?} is not a file of this bundle", bundle.entry),
            )
            .hint("correct entry, or see whether .swarmignore leaves it out"),
        ),
        Some(Kind::Plain) if bundle.engine.as_str() == "exec" => Some(
            Problem::whole(
                &file,
                &BAD_VALUE,
                format!(
                    "the entry {:?} is not executable, and the engine is exec",
                    bundle.entry
                ),
            )
            .hint(format!("chmod +x {}", bundle.entry)),
        ),
        Some(_) => None,
    }
}

/// A working directory below the bundle that no file lies in. An install may make it.
fn workdir_problem(dir: &Path, bundle: &Bundle, folder: &Folder) -> Option<Problem> {
    let Some(Workdir::Bundle(below)) = &bundle.workdir else {
        return None;
    };
    let is_there = below.is_empty()
        || bundle.install.is_some()
        || lies_below_link(folder, &format!("{below}/"))
        || folder.items.iter().any(|item| {
            let rest = item.path.strip_prefix(below.as_str());
            rest.is_some_and(|rest| {
                rest.starts_with('/') || item.kind == Kind::Link && rest.is_empty()
            })
        });
    if is_there {
        return None;
    }
    let file = dir.join("bundle.toml").to_string_lossy().into_owned();
    let what = format!("the workdir \"bundle/{below}\" is no folder of this bundle");
    let problem = Problem::whole(&file, &BAD_VALUE, what);
    Some(problem.hint(
        "correct workdir, or put a file into that folder: git and bundles know no empty ones",
    ))
}

/// Whether a link of the bundle leads to where the path lies; the box resolves it.
fn lies_below_link(folder: &Folder, path: &str) -> bool {
    folder.items.iter().any(|item| {
        item.kind == Kind::Link
            && path
                .strip_prefix(&item.path)
                .is_some_and(|rest| rest.starts_with('/'))
    })
}

fn entry(item: &Item) -> Outcome<Entry> {
    let (hash, size) = match &item.target {
        Some(target) => (Digest::of(target.as_bytes()), target.len() as u64),
        None => hash_file(&item.at)?,
    };
    Ok(Entry {
        hash,
        kind: item.kind,
        size,
        path: item.path.clone(),
    })
}

/// SHA-256 and size of a file.
pub fn hash_file(path: &Path) -> Outcome<(Digest, u64)> {
    let mut file =
        File::open(path).with_context(|| format!("{} could not be opened", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let count = file
            .read(&mut buffer)
            .with_context(|| format!("{} could not be read", path.display()))?;
        if count == 0 {
            return Ok((Digest(hasher.finalize().into()), size));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}
