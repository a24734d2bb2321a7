//! What a process is started with. Pure types; `spawn` acts.

use std::{collections::BTreeMap, ffi::OsString, os::fd::OwnedFd, path::PathBuf};
use swarm_manifests::bundle::{Limits, Sandbox};

/// Everything that `spawn` needs for one process: a workflow's, its install's, a probe's or a stop command's.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Launch {
    /// The program, absolute or looked for in `env`'s PATH, and its arguments.
    pub argv: Vec<OsString>,
    /// The whole environment; nothing of ours is inherited.
    pub env: BTreeMap<OsString, OsString>,
    pub workdir: PathBuf,
    /// None: the caller's own ids.
    pub user: Option<Ids>,
    /// Its output: the write ends of the pipes (stdin is /dev/null).
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// The cgroup folder to be born in, where there is one.
    pub cgroup: Option<PathBuf>,
    pub limits: Limits,
    pub sandbox: Sandbox,
    /// Folders that it sees read-only although they lie below something hidden: the bundle.
    pub read: Vec<PathBuf>,
    /// Folders that it may write: its state.
    pub write: Vec<PathBuf>,
    /// Folders that it does not see at all: the box's state folder (`read` and `write` below it are still seen).
    pub hide: Vec<PathBuf>,
}

/// User, group and further groups.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}
