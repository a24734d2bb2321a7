//! A tree, read strictly. In: the object's bytes. Out: its entries in git's order, no name twice. Pure.
//!
//! What could hide a change is refused here (entries out of order, a name twice, `/` inside a name); which
//! modes and names are allowed is asked where it matters, in [`crate::bundle`] and [`crate::snapshot`].

use swarm_manifests::id::Oid;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// 40000
    Folder,
    /// 100644
    File,
    /// 100755
    Executable,
    /// 120000
    Link,
    /// Submodules (160000), setuid files, what old versions of git wrote: nothing that a box takes.
    Other(u32),
}

impl Mode {
    /// From git's number.
    pub fn of(bits: u32) -> Self {
        match bits {
            0o40000 => Self::Folder,
            0o100_644 => Self::File,
            0o100_755 => Self::Executable,
            0o120_000 => Self::Link,
            other => Self::Other(other),
        }
    }

    /// Git's number.
    pub fn bits(self) -> u32 {
        match self {
            Self::Folder => 0o40000,
            Self::File => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Link => 0o120_000,
            Self::Other(bits) => bits,
        }
    }

    /// Whether a folder stands behind it, for git's order of names.
    fn is_folder(self) -> bool {
        self.bits() & 0o170_000 == 0o40000
    }
}

/// One entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Entry<'a> {
    pub mode: Mode,
    pub name: &'a [u8],
    pub id: Oid,
}

/// A tree; its entries are borrowed from its bytes.
#[derive(Debug, Clone)]
pub struct Tree {
    raw: Box<[u8]>,
    entries: Vec<Slot>,
}

/// Where an entry's name and id are; the id follows the NUL behind the name.
#[derive(Debug, Clone, Copy)]
struct Slot {
    bits: u32,
    start: u32,
    end: u32,
}

/// Why some bytes are no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum TreeError {
    #[error("its entries are cut off")]
    Truncated,
    #[error("an entry's mode is not an octal number")]
    Mode,
    #[error("an entry has the name {0:?}")]
    Name(String),
    #[error("the entry {0:?} is out of order, or there twice")]
    Order(String),
}

impl Tree {
    /// Reads a raw tree.
    pub fn parse(raw: &[u8]) -> Result<Self, TreeError> {
        let mut entries: Vec<Slot> = Vec::new();
        let mut at = 0;
        while at < raw.len() {
            let (slot, next) = slot(raw, at)?;
            let name = &raw[slot.start as usize..slot.end as usize];
            if name.is_empty() || name.contains(&b'/') {
                return Err(TreeError::Name(lossy(name)));
            }
            if !follows(raw, &entries, slot) {
                return Err(TreeError::Order(lossy(name)));
            }
            entries.push(slot);
            at = next;
        }
        Ok(Self {
            raw: raw.into(),
            entries,
        })
    }

    /// The entries in git's order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry<'_>> + DoubleEndedIterator {
        self.entries.iter().map(|slot| self.entry(*slot))
    }

    /// The entry of this name.
    pub fn get(&self, name: &[u8]) -> Option<Entry<'_>> {
        // A name sorts as a file or, with a slash behind it, as a folder: there is at most one of the two.
        [Mode::File, Mode::Folder].into_iter().find_map(|mode| {
            let found = self
                .entries
                .binary_search_by(|slot| order(self.name(*slot), Mode::of(slot.bits), name, mode));
            found.ok().map(|at| self.entry(self.entries[at]))
        })
    }

    fn name(&self, slot: Slot) -> &[u8] {
        &self.raw[slot.start as usize..slot.end as usize]
    }

    fn entry(&self, slot: Slot) -> Entry<'_> {
        let mut id = [0; 20];
        id.copy_from_slice(&self.raw[slot.end as usize + 1..slot.end as usize + 21]);
        Entry {
            mode: Mode::of(slot.bits),
            name: self.name(slot),
            id: Oid(id),
        }
    }
}

/// Git's order of two entries: by name, where a folder's name has a slash behind it.
pub fn order(a: &[u8], a_mode: Mode, b: &[u8], b_mode: Mode) -> std::cmp::Ordering {
    let slash = |mode: Mode| mode.is_folder().then_some(b'/');
    let common = a.len().min(b.len());
    let next = |name: &[u8], mode| {
        name.get(common).copied().or(if name.len() == common {
            slash(mode)
        } else {
            None
        })
    };
    a[..common]
        .cmp(&b[..common])
        .then_with(|| next(a, a_mode).cmp(&next(b, b_mode)))
        .then_with(|| a.len().cmp(&b.len()))
}

/// Whether an entry may stand behind these. Git's order alone does not exclude a file and a folder of one name, which are
/// apart in it (`a`, `a.b`, `a/`): those in between all begin with the name.
fn follows(raw: &[u8], entries: &[Slot], slot: Slot) -> bool {
    let text = |slot: &Slot| &raw[slot.start as usize..slot.end as usize];
    let (name, mode) = (text(&slot), Mode::of(slot.bits));
    let Some(last) = entries.last() else {
        return true;
    };
    let mut akin = entries
        .iter()
        .rev()
        .map(text)
        .take_while(|before| before.starts_with(name));
    order(text(last), Mode::of(last.bits), name, mode).is_lt()
        && !(mode.is_folder() && akin.any(|before| before == name))
}

fn slot(raw: &[u8], at: usize) -> Result<(Slot, usize), TreeError> {
    let rest = &raw[at..];
    let space = rest
        .iter()
        .take(8)
        .position(|&b| b == b' ')
        .ok_or(TreeError::Mode)?;
    let digits = std::str::from_utf8(&rest[..space]).map_err(|_| TreeError::Mode)?;
    let padded = digits.len() > 1 && digits.starts_with('0');
    if digits.is_empty() || padded || !digits.bytes().all(|b| b.is_ascii_digit()) {
        // Padded modes were written by broken tools only: one spelling for one tree.
        return Err(TreeError::Mode);
    }
    let bits = u32::from_str_radix(digits, 8).map_err(|_| TreeError::Mode)?;
    let name = space + 1;
    let nul = rest[name..]
        .iter()
        .position(|&b| b == 0)
        .ok_or(TreeError::Truncated)?
        + name;
    if rest.len() < nul + 21 {
        return Err(TreeError::Truncated);
    }
    let offset = |n: usize| u32::try_from(at + n).map_err(|_| TreeError::Truncated);
    Ok((
        Slot {
            bits,
            start: offset(name)?,
            end: offset(nul)?,
        },
        at + nul + 21,
    ))
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(&name[..name.len().min(80)]).into_owned()
}
