//! What must survive our death: one small file a workflow, replaced atomically. Touches files below one folder.
//!
//! The rule that makes a crash harmless: a state is saved before anything that follows from it is done. A file a workflow keeps that
//! cheap with a thousand of them.

use crate::machine::State;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use swarm_manifests::name::Name;

/// The folder of saved states.
#[derive(Debug)]
pub struct Snapshots {
    folder: PathBuf,
}

/// A saved state, and during which boot of the box it was saved.
#[derive(Debug, Serialize, Deserialize)]
struct Saved<S> {
    format: u32,
    boot: String,
    state: S,
}

const FORMAT: u32 = 1;

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
        })
    }

    /// Replaces what was saved of this workflow. `durably`: returns when a power cut cannot take it.
    pub fn save(&self, state: &State, boot: &str, durably: bool) -> io::Result<()> {
        let bytes = serde_json::to_vec(&Saved {
            format: FORMAT,
            boot: boot.into(),
            state,
        })?;
        let path = self.path(&state.workflow);
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
        Ok(())
    }

    /// Forgets a workflow, durably.
    pub fn forget(&self, workflow: &Name) -> io::Result<()> {
        match fs::remove_file(self.path(workflow)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open(&self.folder)?.sync_all()
    }

    /// Everything that was saved. A file that cannot be read is set aside and named: it stops nobody else.
    pub fn load(&self) -> io::Result<(Vec<Loaded>, Vec<String>)> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(loaded) => good.push(loaded),
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
        self.folder.join(format!("{workflow}.json"))
    }
}

fn read(path: &Path) -> Result<Loaded, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let saved: Saved<State> = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if saved.format != FORMAT {
        return Err(format!("it has format {}, not {FORMAT}", saved.format));
    }
    if path
        .file_stem()
        .is_none_or(|stem| stem != saved.state.workflow.as_str())
    {
        return Err(format!("it is about {}", saved.state.workflow));
    }
    Ok(Loaded {
        state: saved.state,
        boot: saved.boot,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_what_is_broken_is_set_aside() {
        let folder = tempfile::tempdir().expect("folder");
        let snapshots = Snapshots::open(folder.path()).expect("open");
        let state = State::new("ramp".parse().expect("a name"));
        snapshots.save(&state, "boot-1", true).expect("save");
        fs::write(folder.path().join("other.json"), "{\"format\":").expect("write");
        let (good, bad) = snapshots.load().expect("load");
        assert_eq!((good.len(), bad.len()), (1, 1));
        assert_eq!((&good[0].state, good[0].boot.as_str()), (&state, "boot-1"));
        assert!(folder.path().join("other.broken").exists());
        snapshots.forget(&state.workflow).expect("forget");
        assert!(snapshots.load().expect("load").0.is_empty());
    }
}
