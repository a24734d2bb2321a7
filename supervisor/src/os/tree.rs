//! The whole process tree of an instance, however it forks, setsids and daemonizes: a cgroup of its own wherever a cgroup2 mount is
//! writable; otherwise our being its subreaper, its user id, and the mark in its environment.

use std::{
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};
use swarm_manifests::{bundle::Limits, name::Name};

/// Where the trees of this box's workflows are kept. One for a supervisor.
#[derive(Debug)]
pub struct Trees {
    base: Option<PathBuf>,
}

/// How a tree's processes are known where there is no cgroup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// An entry of the environment that no other instance has: `SWARM_STATE=/var/lib/swarm/workflows/ramp/0`.
    pub env: Vec<u8>,
    /// A user id that nobody else has: of a workflow with one instance.
    pub uid: Option<u32>,
    /// The main process, whose descendants belong to it too.
    pub main: Option<i32>,
}

/// The processes of one instance.
#[derive(Debug)]
pub struct Tree {
    cgroup: Option<PathBuf>,
    marks: Marks,
}

/// What became of the limits that were asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Enforced {
    /// `memory limit 256M`, as the kernel gave it back.
    pub enforced: Vec<String>,
    /// `memory limit 256M not enforced on the tree: no memory controller`.
    pub missing: Vec<String>,
    /// What the process itself is to be limited to ([`super::launch::Launch::limits`]).
    pub rest: Limits,
}

/// What a tree uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Usage {
    pub memory_bytes: u64,
    pub cpu: std::time::Duration,
    pub processes: u32,
}

impl Trees {
    /// Finds the place below which cgroups may be made: `swarm-<8 hex of the state path's hash>`. Without one, becomes the subreaper.
    /// `holder`: the cgroup of the holder unit, where systemd runs.
    pub fn open(state: &Path, holder: Option<&Path>) -> Self {
        let _ = (state, holder);
        todo!()
    }

    /// In words, for `status`: `cgroup v2 /sys/fs/cgroup/unified/swarm-…, without controllers`.
    pub fn describe(&self) -> String {
        todo!()
    }

    /// The tree of an instance, its cgroup made if it is not there. Found again by the same names after a restart of ours.
    pub fn tree(&self, workflow: &Name, instance: u16, marks: Marks) -> io::Result<Tree> {
        let _ = (&self.base, workflow, instance, marks);
        todo!()
    }
}

impl Tree {
    /// For [`super::launch::Launch::cgroup`].
    pub fn cgroup(&self) -> Option<&Path> {
        self.cgroup.as_deref()
    }

    /// The main process, once it is known.
    pub fn set_main(&mut self, pid: i32) {
        self.marks.main = Some(pid);
    }

    /// Writes the limits where a controller is there, and reads them back.
    pub fn limit(&self, limits: &Limits) -> Enforced {
        let _ = limits;
        todo!()
    }

    /// Sends a signal to every process of the tree. How many there were.
    pub fn signal(&self, signal: i32) -> io::Result<usize> {
        todo!("{signal}")
    }

    /// Kills every process of the tree. Ask [`Tree::is_gone`] afterwards (without a cgroup: kill again until it is).
    pub fn kill(&self) -> io::Result<()> {
        todo!()
    }

    /// Whether no process is left (zombies do not count).
    pub fn is_gone(&self) -> bool {
        todo!()
    }

    /// Becomes `POLLPRI` (epoll: `EPOLLPRI`) whenever the tree becomes empty or populated. None: no cgroup; ask from time to time.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        todo!()
    }

    /// The processes, as far as they can be known.
    pub fn pids(&self) -> Vec<i32> {
        todo!()
    }

    /// What the tree uses now.
    pub fn usage(&self) -> Usage {
        todo!()
    }

    /// Whether the kernel killed one of it for want of memory since the cgroup was made. None: it is not known.
    pub fn oom_kills(&self) -> Option<u64> {
        todo!()
    }

    /// Removes the cgroup; the tree must be gone.
    pub fn remove(self) -> io::Result<()> {
        todo!()
    }
}
