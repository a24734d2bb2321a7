//! Asking a program whether it is well, without threads: file descriptors to poll, and a state that moves on when they are ready.

use super::{identity::Pidfd, launch::Ids};
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
    time::Duration,
};
use swarm_manifests::bundle::Probe;

/// What a program says of itself through `NOTIFY_SOCKET` (sd_notify(3)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Notice {
    Ready,
    Stopping,
    Reloading,
    Status(String),
    Watchdog,
    ExtendTimeout(Duration),
}

/// The socket that an instance notifies.
#[derive(Debug)]
pub struct NotifySocket {
    fd: OwnedFd,
}

impl NotifySocket {
    /// Binds it at `path` (removing what a former life of ours left there), writable for `owner`.
    pub fn bind(path: &Path, owner: Option<&Ids>) -> io::Result<Self> {
        let _ = (path, owner);
        todo!()
    }

    /// Readable when a notice came.
    pub fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.fd.as_fd()
    }

    /// The next message: who sent it (checked by the kernel; the caller looks whether that pid belongs to the tree), and what. None: nothing now.
    pub fn receive(&self) -> io::Result<Option<(i32, Vec<Notice>)>> {
        todo!()
    }
}

/// A tcp or http probe under way.
#[derive(Debug)]
pub struct NetProbe {}

/// How far a probe has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Poll [`NetProbe::fd`] for what [`NetProbe::wants_write`] says, then go on.
    Pending,
    /// It is well.
    Passed,
    /// It is not, in words.
    Failed(String),
}

impl NetProbe {
    /// Begins a [`Probe::Tcp`] or [`Probe::Http`]; other probes are an error. `inside`: a process in whose network it asks (`network = "none"`).
    pub fn start(probe: &Probe, inside: Option<&Pidfd>) -> io::Result<Self> {
        let _ = (probe, inside);
        todo!()
    }

    /// To be polled.
    pub fn fd(&self) -> BorrowedFd<'_> {
        todo!()
    }

    /// Poll for writing (true) or reading.
    pub fn wants_write(&self) -> bool {
        todo!()
    }

    /// Goes on as far as it can without waiting.
    pub fn advance(&mut self) -> Progress {
        todo!()
    }
}
