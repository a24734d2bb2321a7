//! Many small packs become one. In: a mirror. Out: the same objects in fewer files.
//!
//! Touches `objects/pack` of the mirror. Each push leaves a pack; with hundreds of them every look-up asks them all.
//! Large packs stay as they are, so one run costs what the small ones hold. Killed at any moment it loses nothing: the new
//! pack is whole before an old one goes.

use crate::{
    index::packs,
    objects::{ObjectError, Objects, theirs},
};
use std::{
    fs::{self, File},
    io,
    path::Path,
};
use swarm_manifests::id::Oid;

/// So many packs are worth a run.
pub const MANY: usize = 30;
/// Larger packs are left alone.
const LARGE: u64 = 32 << 20;
/// What one run takes in at most.
const ONE_RUN: u64 = 256 << 20;
/// The most objects of one run.
const MAX_OBJECTS: usize = 1_000_000;

/// Joins the small packs of a mirror, where there are more than [`MANY`]; returns how many went. Whoever has the mirror open
/// opens it again afterwards ([`Objects::reopen`]).
pub fn compact(mirror: &Path) -> Result<usize, ObjectError> {
    let folder = mirror.join("objects/pack");
    let failed = |source| ObjectError::Io {
        path: folder.clone(),
        source,
    };
    let small = small(&folder).map_err(failed)?;
    if small.len() <= MANY {
        return Ok(0);
    }
    let objects = Objects::open(mirror, false)?;
    let mut ids = Vec::new();
    for name in &small {
        ids.extend(listed(&folder.join(format!("{name}.idx"))).map_err(failed)?);
    }
    ids.sort_unstable();
    ids.dedup();
    let new = join(&objects, &folder, &ids)?;
    File::open(&folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)?;
    for name in small.iter().filter(|name| **name != new) {
        // Without its index a pack does not count; then its bytes may go.
        for file in [format!("{name}.idx"), format!("{name}.pack")] {
            fs::remove_file(folder.join(file)).map_err(failed)?;
        }
    }
    Ok(small.len())
}

/// Writes one pack of these objects, and returns its name.
fn join(objects: &Objects, folder: &Path, ids: &[Oid]) -> Result<String, ObjectError> {
    forget_configuration();
    let odb = git2::Odb::new()?;
    let home = objects.git_dir().join("objects");
    odb.add_disk_alternate(
        home.to_str()
            .ok_or_else(|| ObjectError::NoRepository(home.clone()))?,
    )?;
    let repository = git2::Repository::from_odb(odb)?;
    let mut builder = repository.packbuilder()?;
    builder.set_threads(1);
    for id in ids {
        builder.insert_object(theirs(*id), None)?;
    }
    builder.write(folder, 0o444)?;
    let name = builder
        .name()?
        .map(|name| format!("pack-{name}"))
        .unwrap_or_default();
    for file in [format!("{name}.pack"), format!("{name}.idx")] {
        let path = folder.join(file);
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(|source| ObjectError::Io { path, source })?;
    }
    Ok(name)
}

/// The packs that are not large, as many as one run takes.
fn small(folder: &Path) -> io::Result<Vec<String>> {
    let mut total = 0;
    let mut names = Vec::new();
    for name in packs(folder)? {
        let size = fs::metadata(folder.join(format!("{name}.pack")))?.len();
        if size <= LARGE && total + size <= ONE_RUN {
            total += size;
            names.push(name);
        }
    }
    Ok(names)
}

/// The ids that a pack index (version 2, gitformat-pack) lists.
fn listed(path: &Path) -> io::Result<Vec<Oid>> {
    let bytes = fs::read(path)?;
    let wrong = || io::Error::other(format!("{} is not a pack index", path.display()));
    let number = |at: usize| {
        bytes
            .get(at..at + 4)
            .map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]) as usize)
    };
    if number(0) != Some(0xff74_4f63) || number(4) != Some(2) {
        return Err(wrong());
    }
    let names = 8 + 256 * 4;
    let count = number(names - 4)
        .filter(|count| *count <= MAX_OBJECTS)
        .ok_or_else(wrong)?;
    let ids = bytes.get(names..names + 20 * count).ok_or_else(wrong)?;
    let oid = |id: &[u8]| {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(id);
        Oid(bytes)
    };
    Ok(ids.chunks_exact(20).map(oid).collect())
}

/// A pack builder asks the configuration for its window; what a user or this machine has configured is none of our business.
#[allow(unsafe_code)]
fn forget_configuration() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        use git2::ConfigLevel::{Global, ProgramData, System, XDG};
        for level in [System, Global, XDG, ProgramData] {
            // SAFETY: it writes a global of libgit2 that nothing but a repository's configuration reads; this is the only
            // place that has one, and call_once keeps a second caller waiting until the paths are written.
            let _ = unsafe { git2::opts::set_search_path(level, "") };
        }
    });
}
