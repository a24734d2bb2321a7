//! Which process is meant, for ever: a pid alone is used again, so a process is known by pid, start time and boot id, and held by a pidfd.

use super::clock;
use serde::{Deserialize, Serialize};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};
use swarm_manifests::status::LastExit;

/// A process, distinguishable from every other one of this box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Identity {
    pub pid: i32,
    /// Field 22 of /proc/PID/stat, in clock ticks since boot.
    pub start_time: u64,
    pub boot_id: String,
}

/// A process, held: whatever is done through it reaches this process or none. Readable (`POLLIN`) once the process has ended.
#[derive(Debug)]
pub struct Pidfd(OwnedFd);

/// The process that was meant, if it is still there. None: it is gone, or its pid is another's now.
///
/// The pidfd is opened first and the start time compared afterwards: what the pidfd holds cannot change in between.
pub fn adopt(identity: &Identity) -> Option<Pidfd> {
    if identity.boot_id != clock::boot_id() {
        return None;
    }
    let pidfd = Pidfd::open(identity.pid).ok()?;
    (start_time(identity.pid)? == identity.start_time).then_some(pidfd)
}

/// Field 22 of /proc/PID/stat. None: no such process.
pub fn start_time(pid: i32) -> Option<u64> {
    todo!("{pid}")
}

impl Pidfd {
    /// Holds the process that has this pid now.
    pub fn open(pid: i32) -> io::Result<Self> {
        todo!("{pid}")
    }

    pub(super) fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends a signal (`libc::SIGTERM`). `Ok(false)`: the process is gone.
    pub fn signal(&self, signal: i32) -> io::Result<bool> {
        todo!("{signal}")
    }

    /// Whether it has ended (a zombie has).
    pub fn has_ended(&self) -> bool {
        todo!()
    }

    /// How a child of ours ended, and takes it off the process table. None: it still runs.
    pub fn wait(&self) -> io::Result<Option<LastExit>> {
        todo!()
    }

    /// How a process ended that is not our child (adopted). Call it when the pidfd is readable; `{"seen": false}` where the kernel
    /// does not know any more. `pid` is only used while the process is a zombie.
    pub fn exit_of_adopted(&self, pid: i32) -> LastExit {
        todo!("{pid}")
    }

    /// The number, for an event loop.
    pub fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes us the parent of every orphan below us (`PR_SET_CHILD_SUBREAPER`).
pub fn become_subreaper() -> io::Result<()> {
    todo!()
}

/// Takes zombies off the process table that are not among `ours` (pids that [`Pidfd::wait`] will ask for). To be called when
/// SIGCHLD came. Returns the pids of those it took.
pub fn reap_orphans(ours: &dyn Fn(i32) -> bool) -> Vec<i32> {
    let _ = ours;
    todo!()
}
