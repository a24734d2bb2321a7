//! The whole process tree of an instance, however it forks, setsids and daemonizes: a cgroup of its own wherever a cgroup2 mount is
//! writable; otherwise our being its subreaper, its user id, and the mark in its environment.

use super::{cgroup, identity, marks, traffic};
use std::{
    cell::Cell,
    io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_manifests::{bundle::Limits, name::Name};

pub use marks::Marks;

/// Where the trees of this box's workflows are kept. One for a supervisor.
#[derive(Debug)]
pub struct Trees {
    base: Option<cgroup::Base>,
}

/// The processes of one instance.
#[derive(Debug)]
pub struct Tree {
    cgroup: Option<cgroup::Group>,
    marks: Marks,
    /// Since Linux 6.14 a process that is cloned into a cgroup whose `cgroup.kill` was ever written is killed at birth.
    was_killed: Cell<bool>,
    /// What its limits are, and what became of them.
    limited: Option<(Limits, Enforced)>,
    /// Processor time of earlier runs in the same cgroup.
    used_before: Duration,
}

/// What became of the limits that were asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Enforced {
    /// `memory limit 256M`, as the kernel gave it back.
    pub enforced: Vec<String>,
    /// `memory limit 256M of each process only: no memory controller`.
    pub missing: Vec<String>,
    /// What the process itself is to be limited to ([`super::launch::Launch::limits`]).
    pub rest: Limits,
}

/// What a tree uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Usage {
    pub memory_bytes: u64,
    pub cpu: Duration,
    pub processes: u32,
}

impl Trees {
    /// Finds the place below which cgroups may be made: `swarm-<8 hex of the state path's hash>`. Without one, becomes the subreaper.
    /// `holder`: the cgroup of the holder unit, where systemd runs.
    pub fn open(state: &Path, holder: Option<&Path>) -> Self {
        let base = cgroup::Base::find(state, holder);
        if base.is_none() {
            // Where even this fails, the marks in the environment remain.
            let _ = identity::become_subreaper();
        }
        Self { base }
    }

    /// Without cgroups, whatever the box has: for tests, and for whoever may not.
    pub fn without_cgroups() -> Self {
        let _ = identity::become_subreaper();
        Self { base: None }
    }

    /// In words, for `status`: `cgroup v2 /sys/fs/cgroup/unified/swarm-0a1b2c3d, without controllers`.
    pub fn describe(&self) -> String {
        match &self.base {
            Some(base) => base.describe(),
            None => "no cgroup v2 that may be written: processes are found as our descendants, by user and by environment".into(),
        }
    }

    /// Whether orphans come to us, to be reaped with [`identity::reap_orphans`].
    pub fn needs_reaping(&self) -> bool {
        self.base.is_none()
    }

    /// The tree of an instance, its cgroup made if it is not there. Found again by the same names after a restart of ours.
    pub fn tree(&self, workflow: &Name, instance: u16, marks: Marks) -> io::Result<Tree> {
        self.named(&format!("{workflow}.{instance}"), marks)
    }

    /// A tree of another kind, that lists nobody: an install's (`ramp.install`), the agent's (`agent`). A name has no slash.
    pub fn named(&self, name: &str, marks: Marks) -> io::Result<Tree> {
        let made = self
            .base
            .as_ref()
            .map(|base| base.group(name))
            .transpose()?;
        let is_new = made.as_ref().is_none_or(|(_, is_new)| *is_new);
        Ok(Tree {
            cgroup: made.map(|(group, _)| group),
            marks,
            was_killed: Cell::new(!is_new),
            limited: None,
            used_before: Duration::ZERO,
        })
    }

    /// The names of the trees that are there (from former lives too). Empty without cgroups.
    pub fn names(&self) -> Vec<String> {
        self.base
            .as_ref()
            .map(cgroup::Base::names)
            .unwrap_or_default()
    }

    /// Removes our own folder, if no tree is left in it: when the supervisor ends for good.
    pub fn close(self) {
        if let Some(base) = self.base {
            base.remove();
        }
    }
}

impl Tree {
    /// For [`super::launch::Launch::cgroup`].
    pub fn cgroup(&self) -> Option<&Path> {
        self.cgroup.as_ref().map(cgroup::Group::path)
    }

    /// Whether nobody was ever in it.
    pub fn is_new(&self) -> bool {
        !self.was_killed.get()
    }

    /// The main process, once it is known.
    pub fn set_main(&mut self, pid: i32) {
        self.marks.main = Some(pid);
    }

    /// Writes the limits where a controller is there, and reads them back. `Enforced::rest` is for the launch.
    pub fn limit(&mut self, limits: &Limits) -> Enforced {
        if let Some((known, enforced)) = &self.limited
            && known == limits
        {
            return enforced.clone();
        }
        let enforced = cgroup::limit(self.cgroup.as_ref(), limits);
        self.limited = Some((limits.clone(), enforced.clone()));
        enforced
    }

    /// Makes it ready for a successor, where it can be: nobody is in it, and nobody was ever killed in it. False: take another.
    pub fn renew(&mut self) -> bool {
        let as_new = !self.was_killed.get()
            && self.is_gone()
            && self.oom_kills().is_none_or(|many| many == 0);
        if as_new && let Some(used) = self.cgroup.as_ref().and_then(cgroup::Group::cpu) {
            self.used_before = used;
        }
        as_new
    }

    /// Sends a signal to every process of the tree. How many there were.
    pub fn signal(&self, signal: i32) -> io::Result<usize> {
        let mut sent = 0;
        for pid in self.pids() {
            // By pidfd, and looked at again through it: between list and signal a pid may have become another's.
            let Ok(held) = identity::Pidfd::open(pid) else {
                continue;
            };
            if self.has(pid) && held.signal(signal)? {
                sent += 1;
            }
        }
        Ok(sent)
    }

    /// Kills every process of the tree. Ask [`Tree::is_gone`] afterwards (without a cgroup: kill again until it is).
    pub fn kill(&self) -> io::Result<()> {
        self.was_killed.set(true);
        match &self.cgroup {
            Some(group) if group.kill()? => Ok(()),
            _ => self.kill_each(),
        }
    }

    /// Until nothing new turns up: who forks while we look is seen in the next round.
    fn kill_each(&self) -> io::Result<()> {
        for _ in 0..16 {
            if self.signal(libc::SIGKILL)? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Whether no process is left (zombies do not count).
    pub fn is_gone(&self) -> bool {
        match &self.cgroup {
            Some(group) => !group.is_populated(),
            None => marks::members(&self.marks).is_empty(),
        }
    }

    /// Becomes `POLLPRI` (epoll: `EPOLLPRI`) whenever the tree becomes empty or populated. None: no cgroup; ask from time to time.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.cgroup.as_ref().map(cgroup::Group::events)
    }

    /// The processes, as far as they can be known.
    pub fn pids(&self) -> Vec<i32> {
        match &self.cgroup {
            Some(group) => group.pids(),
            None => marks::members(&self.marks),
        }
    }

    /// Whether this process belongs to it now: for who sends a notification.
    pub fn has(&self, pid: i32) -> bool {
        match &self.cgroup {
            Some(group) => group.has(pid),
            None => marks::members(&self.marks).contains(&pid),
        }
    }

    /// Bytes that the tree uses now: what its cgroup counts, or what is resident of each process, summed.
    pub fn memory(&self) -> u64 {
        let counted = self.cgroup.as_ref().and_then(cgroup::Group::memory);
        counted.unwrap_or_else(|| {
            let resident = self.pids().into_iter().filter_map(cgroup::resident);
            resident.sum()
        })
    }

    /// Processor time that the tree has used.
    pub fn cpu(&self) -> Duration {
        let counted = self.cgroup.as_ref().and_then(cgroup::Group::cpu);
        counted.map_or_else(
            || self.pids().into_iter().filter_map(cgroup::cpu_of).sum(),
            |used| used.saturating_sub(self.used_before),
        )
    }

    /// Bytes that it read from and wrote to disks: what its cgroup counts, or those of its processes that live. None: not known.
    pub fn traffic(&self) -> Option<(u64, u64)> {
        let counted = self.cgroup().and_then(traffic::of_cgroup);
        counted.or_else(|| {
            let each = self.pids().into_iter().filter_map(traffic::of_process);
            each.reduce(|(read, written), (more, others)| (read + more, written + others))
        })
    }

    /// What the tree uses now.
    pub fn usage(&self) -> Usage {
        Usage {
            memory_bytes: self.memory(),
            cpu: self.cpu(),
            processes: u32::try_from(self.pids().len()).unwrap_or(u32::MAX),
        }
    }

    /// How many of it the kernel killed for want of memory since the cgroup was made. None: it is not known.
    pub fn oom_kills(&self) -> Option<u64> {
        self.cgroup.as_ref()?.oom_kills()
    }

    /// Removes the cgroup; the tree must be gone.
    pub fn remove(self) -> io::Result<()> {
        self.cgroup.map_or(Ok(()), cgroup::Group::remove)
    }
}

/// The cgroup of the calling process in the cgroup2 hierarchy, below its mount: for finding the holder's.
pub fn own_cgroup() -> Option<PathBuf> {
    cgroup::own()
}
