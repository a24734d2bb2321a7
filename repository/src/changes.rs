//! What differs between two trees, path by path. In: two tree ids. Out: each changed file, without reading any file.
//!
//! Touches the object store. Folders with equal ids are never opened, so one commit costs what it changes.

use crate::{
    objects::{ObjectError, Objects},
    tree::{self, Entry, Mode},
};
use std::cmp::Ordering;
use swarm_manifests::id::Oid;

/// Folders deeper than this are not opened: they count as one changed thing, by the path so far. Nothing reads that deep.
pub const MAX_DEPTH: usize = 64;
/// The most entries that one comparison looks at.
pub const MAX_ENTRIES: usize = 2_000_000;

/// One changed file, link, submodule, or folder too deep to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Change<'a> {
    /// From the root, with `/` between; bytes that are no UTF-8 are replaced.
    pub path: &'a str,
    /// The same, byte for byte.
    pub raw: &'a [u8],
    /// Whether nothing was replaced in the path.
    pub is_text: bool,
    pub old: Option<(Mode, Oid)>,
    pub new: Option<(Mode, Oid)>,
}

/// Why a comparison ended early.
#[derive(Debug, thiserror::Error)]
pub enum DiffError<E> {
    /// The visitor's own reason.
    #[error("refused")]
    Visitor(E),
    /// More than [`MAX_ENTRIES`] entries.
    #[error("it changes more than {MAX_ENTRIES} entries")]
    TooMany,
    /// An object could not be had.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// Calls `visit` for each change from the tree `old` to the tree `new` (none: an empty one), in git's order of paths, until it
/// refuses. The trees stand at `folder` (the root: an empty text), with which the paths begin.
pub fn changes<E>(
    objects: &Objects,
    folder: &str,
    old: Option<Oid>,
    new: Option<Oid>,
    visit: &mut impl FnMut(Change<'_>) -> Result<(), E>,
) -> Result<(), DiffError<E>> {
    let mut walk = Walk {
        objects,
        path: folder.into(),
        raw: folder.into(),
        odd: 0,
        depth: 0,
        left: MAX_ENTRIES,
        visit,
    };
    walk.folders(old, new)
}

struct Walk<'a, V> {
    objects: &'a Objects,
    path: String,
    raw: Vec<u8>,
    /// How many components of the path were not UTF-8.
    odd: usize,
    depth: usize,
    left: usize,
    visit: &'a mut V,
}

impl<V> Walk<'_, V> {
    fn folders<E>(&mut self, old: Option<Oid>, new: Option<Oid>) -> Result<(), DiffError<E>>
    where
        V: FnMut(Change<'_>) -> Result<(), E>,
    {
        if old == new {
            return Ok(());
        }
        let read = |id: Option<Oid>| id.map(|id| self.objects.tree(id)).transpose();
        let (old, new) = (read(old)?, read(new)?);
        let mut before = old.iter().flat_map(|tree| tree.entries()).peekable();
        let mut after = new.iter().flat_map(|tree| tree.entries()).peekable();
        loop {
            self.left = self.left.checked_sub(1).ok_or(DiffError::TooMany)?;
            let side = match (before.peek(), after.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => tree::order(a.name, a.mode, b.name, b.mode),
            };
            let a = if side.is_le() { before.next() } else { None };
            let b = if side.is_ge() { after.next() } else { None };
            if a != b {
                self.entry(a, b)?;
            }
        }
    }

    /// One name, which is a folder on both sides or on none of them.
    fn entry<E>(
        &mut self,
        old: Option<Entry<'_>>,
        new: Option<Entry<'_>>,
    ) -> Result<(), DiffError<E>>
    where
        V: FnMut(Change<'_>) -> Result<(), E>,
    {
        let Some(name) = new.or(old).map(|entry| entry.name) else {
            return Ok(());
        };
        let parent = (self.path.len(), self.raw.len());
        if parent.0 > 0 {
            self.path.push('/');
            self.raw.push(b'/');
        }
        let odd = usize::from(std::str::from_utf8(name).is_err());
        self.odd += odd;
        self.path.push_str(&String::from_utf8_lossy(name));
        self.raw.extend_from_slice(name);
        let folder = |entry: Option<Entry<'_>>| {
            entry
                .filter(|entry| entry.mode == Mode::Folder)
                .map(|entry| entry.id)
        };
        let (folder_old, folder_new) = (folder(old), folder(new));
        let is_folder = folder_old.is_some() || folder_new.is_some();
        if is_folder && self.depth < MAX_DEPTH {
            self.depth += 1;
            self.folders(folder_old, folder_new)?;
            self.depth -= 1;
        } else {
            let what = |entry: Option<Entry<'_>>| entry.map(|entry| (entry.mode, entry.id));
            let change = Change {
                path: &self.path,
                raw: &self.raw,
                is_text: self.odd == 0,
                old: what(old),
                new: what(new),
            };
            (self.visit)(change).map_err(DiffError::Visitor)?;
        }
        self.path.truncate(parent.0);
        self.raw.truncate(parent.1);
        self.odd -= odd;
        Ok(())
    }
}

/// What stands on one side only, of two in order: what is gone, and what came. `compare` says where two stand to each other, and
/// nothing of what both sides share, which is not looked into further.
pub fn one_sided<T>(
    before: impl IntoIterator<Item = T>,
    now: impl IntoIterator<Item = T>,
    compare: impl Fn(&T, &T) -> Option<Ordering>,
) -> (Vec<T>, Vec<T>) {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let (mut before, mut now) = (before.into_iter().peekable(), now.into_iter().peekable());
    loop {
        let side = match (before.peek(), now.peek()) {
            (None, None) => return (gone, come),
            (Some(old), Some(new)) => {
                let Some(side) = compare(old, new) else {
                    before.next();
                    now.next();
                    continue;
                };
                side
            }
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
        };
        if side.is_le() {
            gone.extend(before.next());
        }
        if side.is_ge() {
            come.extend(now.next());
        }
    }
}
