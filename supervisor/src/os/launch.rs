//! What a process is started with. Pure types; `spawn` acts.

use super::identity::Pidfd;
use std::{collections::BTreeMap, ffi::OsString, os::fd::OwnedFd, path::PathBuf, sync::Arc};
use swarm_manifests::bundle::{Limits, Sandbox};

/// Everything that `spawn` needs for one process: a workflow's, its install's, a probe's, a stop command's, or the agent's.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Launch {
    pub profile: Profile,
    /// The program, absolute or looked for in `env`'s PATH, and its arguments.
    pub argv: Vec<OsString>,
    /// The whole environment; nothing of ours is inherited.
    pub env: BTreeMap<OsString, OsString>,
    pub workdir: PathBuf,
    /// None: the caller's own ids (refused where the caller is root).
    pub user: Option<Ids>,
    /// Its output: the write ends of the pipes (stdin is /dev/null).
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    /// Handed down as fd 3; the agent's socket. Workflows get none.
    pub extra: Option<OwnedFd>,
    /// The cgroup folder to be born in, where there is one.
    pub cgroup: Option<PathBuf>,
    /// What the process itself has to be limited to: `tree::Enforced::rest`, that is what its cgroup does not enforce.
    pub limits: Limits,
    pub sandbox: Sandbox,
    /// Folders (or files) that it sees read-only although they lie below something hidden: the bundle.
    pub read: Vec<PathBuf>,
    /// Folders (or files) that it may write: its state, its run folder.
    pub write: Vec<PathBuf>,
    /// Folders that it does not see at all: the box's state and run folders (`read` and `write` below them are still seen).
    pub hide: Vec<PathBuf>,
    /// Files that it sees in the place of others, read-only: (where, the file that stands in). For what its user may not read
    /// itself; only root can do this.
    pub stand_ins: Vec<(PathBuf, PathBuf)>,
    /// A running process of the same workflow whose namespaces it enters instead of new ones: for probes and stop commands.
    pub join: Option<Arc<Pidfd>>,
}

/// How much a process is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Somebody else's program: everything is closed that was not granted.
    Workflow,
    /// Our own agent: no capabilities and its own user, but the file system and the network as they are, and no filter
    /// (it starts the indexer and `ssh`).
    Agent,
}

/// User, group and further groups.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Ids {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}
