//! Many small packs become one. In: a mirror. Out: the same objects in fewer files.
//!
//! Touches the object folder of the mirror. Each push leaves a pack; with hundreds of them every look-up asks them all.
//! Two steps, so that whoever reads the mirror waits for the second only: [`join`] writes one pack of what several hold and
//! puts it beside them, [`Joined::retire`] takes those away. A pack that is larger than all smaller ones together stays as it
//! is, so an object is written anew as often as the mirror doubles. Killed at any moment it loses nothing: the new pack is whole
//! before an old one goes.

use crate::{
    index::{adopt, packs},
    objects::{ObjectError, Objects, theirs},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
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

/// Packs whose objects stand in a new one as well.
#[derive(Debug)]
#[must_use = "the packs that were joined are still there"]
pub struct Joined {
    folder: PathBuf,
    names: Vec<String>,
}

/// Joins the small packs of a mirror, where there are more than [`MANY`]; returns how many went. Whoever has the mirror open
/// opens it again afterwards ([`Objects::reopen`]).
pub fn compact(mirror: &Path) -> Result<usize, ObjectError> {
    join(mirror)?.map_or(Ok(0), Joined::retire)
}

/// The first step, which may take seconds and can be done beside whoever reads the mirror, or has packs adopted by it. None:
/// it is not worth it.
pub fn join(mirror: &Path) -> Result<Option<Joined>, ObjectError> {
    let folder = mirror.join("objects/pack");
    let failed = |source| ObjectError::Io {
        path: folder.clone(),
        source,
    };
    let mut names = small(&folder).map_err(failed)?;
    if names.len() <= MANY {
        return Ok(None);
    }
    let mut ids = Vec::new();
    for name in &names {
        ids.extend(listed(&folder.join(format!("{name}.idx"))).map_err(failed)?);
    }
    ids.sort_unstable();
    ids.dedup();
    // What a killed one left there goes with it.
    let beside = mirror.join("objects/joining");
    anew(&beside).map_err(failed)?;
    let new = write(&Objects::open(mirror, false)?, &beside, &ids)?;
    adopt(&beside, mirror)?;
    fs::remove_dir_all(&beside).map_err(failed)?;
    names.retain(|name| *name != new);
    Ok(Some(Joined { folder, names }))
}

impl Joined {
    /// The second step: takes the packs away that were joined, and returns how many.
    pub fn retire(self) -> Result<usize, ObjectError> {
        for name in &self.names {
            // Without its index a pack does not count; then its bytes may go.
            for file in [format!("{name}.idx"), format!("{name}.pack")] {
                let path = self.folder.join(file);
                fs::remove_file(&path).map_err(|source| ObjectError::Io { path, source })?;
            }
        }
        Ok(self.names.len())
    }
}

/// An empty folder.
fn anew(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir(folder)
}

/// Writes one pack of these objects into a folder, and returns its name.
fn write(objects: &Objects, folder: &Path, ids: &[Oid]) -> Result<String, ObjectError> {
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
    Ok(builder
        .name()?
        .map(|name| format!("pack-{name}"))
        .unwrap_or_default())
}

/// The packs that are worth joining: from the smallest on, up to one that is larger than all before it together.
fn small(folder: &Path) -> io::Result<Vec<String>> {
    let mut sized = Vec::new();
    for name in packs(folder)? {
        let size = fs::metadata(folder.join(format!("{name}.pack")))?.len();
        sized.push((size, name));
    }
    sized.sort_unstable();
    Ok(worth_joining(sized))
}

/// Of packs in the order of their sizes: up to the last one that the ones before it outweigh.
fn worth_joining(sized: Vec<(u64, String)>) -> Vec<String> {
    let (mut total, mut end) = (0, 0);
    for (at, (size, _)) in sized.iter().enumerate() {
        if *size > LARGE || total + size > ONE_RUN {
            break;
        }
        if *size <= total {
            end = at + 1;
        }
        total += size;
    }
    sized.into_iter().take(end).map(|(_, name)| name).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_that_outweighs_all_smaller_ones_is_left_alone() {
        for (sizes, wanted) in [
            (vec![], 0),
            (vec![7], 0),
            (vec![1, 3, 3, 3], 4),
            (vec![2, 2, 2, 5_000_000], 3),
            (vec![2, 2, 2, 5_000_000, 5_000_000], 5),
            (vec![1, 2, 4, 8, 16], 0),
            (vec![2, 2, LARGE + 1, LARGE + 1], 2),
        ] {
            let sized = sizes.iter().map(|size| (*size, size.to_string())).collect();
            assert_eq!(worth_joining(sized).len(), wanted, "{sizes:?}");
        }
    }
}
