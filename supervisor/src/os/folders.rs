//! The folders of an instance: `<state>/workflows/<workflow>/<instance>/` with `home/` and `tmp/`, its user's alone.

use super::launch::Ids;
use std::{
    io,
    path::{Path, PathBuf},
};
use swarm_manifests::name::Name;

/// Where an instance writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Folders {
    /// SWARM_STATE
    pub state: PathBuf,
    /// HOME
    pub home: PathBuf,
    /// TMPDIR
    pub tmp: PathBuf,
}

/// Where they are. Pure.
pub fn of(state: &Path, workflow: &Name, instance: u16) -> Folders {
    let _ = (state, workflow, instance);
    todo!()
}

/// Makes them, mode 0700 and owned by `owner`; what is there from a former user is handed over (links are never followed).
pub fn make(
    state: &Path,
    workflow: &Name,
    instance: u16,
    owner: Option<&Ids>,
) -> io::Result<Folders> {
    let _ = (state, workflow, instance, owner);
    todo!()
}

/// Removes a workflow's folders with all that is in them, whatever modes it set; links are never followed.
pub fn remove(state: &Path, workflow: &Name) -> io::Result<()> {
    let _ = (state, workflow);
    todo!()
}

/// Makes a folder of our own, mode 0711: passable for everybody, listable by nobody else.
pub fn make_passable(path: &Path) -> io::Result<()> {
    let _ = path;
    todo!()
}
