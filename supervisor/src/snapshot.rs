//! What must survive our death: one small file a workflow, replaced so that it is always whole. Touches files below one folder.
//!
//! A file has two slots, written in turns and in place: a restart costs one write to memory and no work for the file system. Each slot
//! begins with a line of its number and the hash of what follows; whichever is whole and has the higher number counts. So a power cut
//! in the middle of a write leaves the state before. A state that has outgrown its slot gets a new file, by rename.

use crate::machine::State;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use swarm_manifests::name::Name;

/// The folder of saved states.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
    known: HashMap<Name, Slots>,
}

/// What is known of a file: the number of the state in it, and how long each slot is.
#[derive(Debug, Clone, Copy)]
struct Slots {
    number: u64,
    length: usize,
}

/// A saved state, and during which boot of the box it was saved.
#[derive(Debug, Serialize, Deserialize)]
struct Saved<S> {
    format: u32,
    boot: String,
    state: S,
}

const FORMAT: u32 = 2;
/// Slots are whole pages.
const PAGE: usize = 4096;

/// A state as it was found.
#[derive(Debug)]
pub struct Loaded {
    /// The state.
    pub state: State,
    /// The boot id of the time when it was saved.
    pub boot: String,
}

impl Snapshots {
    /// Opens the folder, or makes it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            known: HashMap::new(),
        })
    }

    /// Replaces what was saved of this workflow. `durably`: returns when a power cut cannot take it.
    pub fn save(&mut self, state: &State, boot: &str, durably: bool) -> io::Result<()> {
        let bytes = serde_json::to_vec(&Saved {
            format: FORMAT,
            boot: boot.into(),
            state,
        })?;
        let before = self.known.get(&state.workflow).copied();
        let number = before.map_or(1, |slots| slots.number + 1);
        let slot = slot(number, &bytes);
        let place = before.filter(|slots| slot.len() <= slots.length);
        // Until it is known to be whole, the file counts as unknown: the next one is written anew.
        self.known.remove(&state.workflow);
        let length = match place {
            Some(slots) => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(self.path(&state.workflow))?;
                file.write_all_at(&slot, (number % 2) * slots.length as u64)?;
                if durably {
                    file.sync_data()?;
                }
                slots.length
            }
            None => self.replace(&state.workflow, number, &slot, durably)?,
        };
        self.known
            .insert(state.workflow.clone(), Slots { number, length });
        Ok(())
    }

    /// A new file with room to grow. How long its slots are.
    fn replace(
        &self,
        workflow: &Name,
        number: u64,
        slot: &[u8],
        durably: bool,
    ) -> io::Result<usize> {
        let length = (slot.len() + slot.len() / 2).next_multiple_of(PAGE);
        let mut bytes = vec![b'\n'; 2 * length];
        let start = if number.is_multiple_of(2) { 0 } else { length };
        bytes[start..start + slot.len()].copy_from_slice(slot);
        let path = self.path(workflow);
        let temporary = path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        if durably {
            file.sync_data()?;
        }
        fs::rename(&temporary, &path)?;
        if durably {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(length)
    }

    /// Forgets a workflow, durably.
    pub fn forget(&mut self, workflow: &Name) -> io::Result<()> {
        self.known.remove(workflow);
        match fs::remove_file(self.path(workflow)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(&self.folder)?.sync_all()
    }

    /// Everything that was saved. A file that cannot be read is set aside and named: it stops nobody else.
    pub fn load(&mut self) -> io::Result<(Vec<Loaded>, Vec<String>)> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if !is_state(&path) {
                continue;
            }
            match read(&path) {
                Ok((slots, loaded)) => {
                    self.known.insert(loaded.state.workflow.clone(), slots);
                    good.push(loaded);
                }
                Err(reason) => {
                    bad.push(format!(
                        "{}: {reason}; set aside as .broken",
                        path.display()
                    ));
                    let _ = fs::rename(&path, path.with_extension("broken"));
                }
            }
        }
        good.sort_by(|a, b| a.state.workflow.cmp(&b.state.workflow));
        Ok((good, bad))
    }

    fn path(&self, workflow: &Name) -> PathBuf {
        self.folder.join(format!("{workflow}.state"))
    }
}

/// `NUMBER LENGTH HASH`, a newline, and the bytes.
fn slot(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut slot = format!("{number} {} {}\n", bytes.len(), hash(number, bytes)).into_bytes();
    slot.extend_from_slice(bytes);
    slot
}

fn hash(number: u64, bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(number.to_be_bytes());
    hash.update(bytes);
    hex::encode(hash.finalize())
}

/// What stands in a slot, where it is whole. Pure.
fn whole(slot: &[u8]) -> Option<(u64, &[u8])> {
    let end = slot.iter().position(|&byte| byte == b'\n')?;
    let mut words = std::str::from_utf8(&slot[..end]).ok()?.split(' ');
    let number = words.next()?.parse().ok()?;
    let length = words.next()?.parse().ok()?;
    let expected = words.next()?;
    let bytes = slot.get(end + 1..)?.get(..length)?;
    (hash(number, bytes) == expected).then_some((number, bytes))
}

/// Whether every state in the folder can be read; the first that cannot, in words. Nothing is set aside.
pub(crate) fn check(folder: &Path) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if is_state(&path) {
            read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        }
    }
    Ok(())
}

fn is_state(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "state")
}

fn read(path: &Path) -> Result<(Slots, Loaded), String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let (even, odd) = bytes.split_at(bytes.len() / 2);
    let newest = [even, odd].into_iter().filter_map(whole).max();
    let (number, text) = newest.ok_or("nothing in it is whole")?;
    let mut saved: Saved<State> =
        serde_json::from_slice(text).map_err(|error| error.to_string())?;
    // Read one by one, there is place for four; and most have one.
    saved.state.instances.shrink_to_fit();
    if saved.format != FORMAT {
        return Err(format!("it has format {}, not {FORMAT}", saved.format));
    }
    if path
        .file_stem()
        .is_none_or(|stem| stem != saved.state.workflow.as_str())
    {
        return Err(format!("it is about {}", saved.state.workflow));
    }
    let slots = Slots {
        number,
        length: even.len(),
    };
    let loaded = Loaded {
        state: saved.state,
        boot: saved.boot,
    };
    Ok((slots, loaded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(killed: bool) -> State {
        State {
            killed,
            ..State::new("ramp".parse().expect("a name"))
        }
    }

    fn opened(folder: &Path) -> Snapshots {
        Snapshots::open(folder).expect("open")
    }

    #[test]
    fn what_was_saved_is_loaded_and_what_is_broken_is_set_aside() {
        let folder = tempfile::tempdir().expect("folder");
        let mut snapshots = opened(folder.path());
        snapshots.save(&state(false), "boot-1", true).expect("save");
        fs::write(folder.path().join("other.state"), "{\"format\":").expect("write");
        let (good, bad) = opened(folder.path()).load().expect("load");
        assert_eq!((good.len(), bad.len()), (1, 1));
        assert_eq!(
            (&good[0].state, good[0].boot.as_str()),
            (&state(false), "boot-1")
        );
        assert!(folder.path().join("other.broken").exists());
        snapshots.forget(&state(false).workflow).expect("forget");
        assert!(snapshots.load().expect("load").0.is_empty());
    }

    #[test]
    fn the_newest_whole_slot_counts_and_a_torn_one_leaves_the_state_before() {
        let folder = tempfile::tempdir().expect("folder");
        let mut snapshots = opened(folder.path());
        for round in 0..5 {
            snapshots
                .save(&state(round % 2 == 1), "boot-1", false)
                .expect("save");
            let found = opened(folder.path()).load().expect("load").0;
            assert_eq!(found[0].state, state(round % 2 == 1), "round {round}");
            // Somebody else goes on where this one ended.
            if round == 2 {
                snapshots = opened(folder.path());
                snapshots.load().expect("load");
            }
        }
        let path = folder.path().join("ramp.state");
        let bytes = fs::read(&path).expect("read");
        let half = bytes.len() / 2;
        let newest = if whole(&bytes[..half]) > whole(&bytes[half..]) {
            0
        } else {
            half
        };
        for cut in [0, 10, 90, 200] {
            let mut torn = bytes.clone();
            torn[newest + cut] ^= 1;
            fs::write(&path, torn).expect("write");
            let found = opened(folder.path()).load().expect("load").0;
            assert_eq!(found[0].state, state(true), "torn at {cut}");
        }
    }

    #[test]
    fn a_state_that_outgrew_its_slot_gets_a_larger_one() {
        let folder = tempfile::tempdir().expect("folder");
        let mut snapshots = opened(folder.path());
        for length in [0, 3 * PAGE, 10, 9 * PAGE, 9 * PAGE + 1] {
            let boot = "b".repeat(length);
            snapshots.save(&state(false), &boot, false).expect("save");
            let found = opened(folder.path()).load().expect("load").0;
            assert_eq!(found[0].boot, boot);
        }
    }
}
