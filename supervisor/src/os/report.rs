//! What a child reports on its way to its program: a pipe comes in, "it executes" or the step that failed comes out. Reads that pipe.

use super::{
    child::{self, Step},
    expose::Mount,
    seats::Row,
    spawn::{PATIENCE, SpawnError},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout},
};
use std::{
    cell::RefCell,
    ffi::OsString,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
};

/// Where a process says whether it came to execute its program.
#[derive(Debug)]
pub struct Report {
    end: OwnedFd,
    names: Names,
    /// Where its descriptors are, our copy of its end of this among them, until it has a table of its own.
    row: RefCell<Option<Row>>,
}

/// What the child's steps are about.
#[derive(Debug)]
pub(super) struct Names {
    /// The program as it was named.
    pub program: OsString,
    pub workdir: PathBuf,
    pub mounts: Vec<Mount>,
}

impl Report {
    pub(super) fn new(end: OwnedFd, names: Names, row: Option<Row>) -> Self {
        let row = RefCell::new(row);
        Self { end, names, row }
    }

    /// It is known to whoever has to know it, and may go on to its program. Without this, and once we are gone, it ends.
    pub fn let_go(&self) {
        let is_apart = self.row.borrow().as_ref().is_none_or(Row::is_apart);
        let word = if is_apart {
            self.ended();
            child::GO
        } else {
            child::GO_AND_TELL
        };
        // Where it is gone already, its report says why.
        let _ = nix::sys::socket::send(
            self.end.as_raw_fd(),
            &[word],
            nix::sys::socket::MsgFlags::MSG_NOSIGNAL,
        );
    }

    /// It has no part in our descriptors any more, or has ended: our copies of its own are closed, so that its end is heard.
    pub fn ended(&self) {
        self.row.take();
    }

    /// What it says so far. None: nothing yet; [`Report::fd`] becomes readable.
    pub fn outcome(&self) -> Option<Result<(), SpawnError>> {
        self.hear(PollTimeout::ZERO)
    }

    fn hear(&self, patience: PollTimeout) -> Option<Result<(), SpawnError>> {
        while self.has_spoken(patience) {
            if let Some(outcome) = self.read() {
                return Some(outcome);
            }
        }
        None
    }

    /// It had its time, and said nothing.
    pub fn too_late() -> SpawnError {
        let text = format!("it did not come to execute within {} s", PATIENCE.as_secs());
        SpawnError::new("execute", text)
    }

    pub(super) fn wait(&self) -> Result<(), SpawnError> {
        let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
        self.hear(patience).unwrap_or_else(|| Err(Self::too_late()))
    }

    /// Readable when there is something to be heard.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }

    fn has_spoken(&self, patience: PollTimeout) -> bool {
        loop {
            let mut waited = [PollFd::new(self.end.as_fd(), PollFlags::POLLIN)];
            match nix::poll::poll(&mut waited, patience) {
                Err(Errno::EINTR) => {}
                // An error shows when it is read.
                other => return other != Ok(0),
            }
        }
    }

    /// Its end without a word: it executes. None: it is apart, and goes on.
    fn read(&self) -> Option<Result<(), SpawnError>> {
        let mut bytes = [0; child::REPORT];
        let said = nix::unistd::read(&self.end, &mut bytes);
        if said == Ok(child::REPORT) && bytes[0] == child::APART {
            self.ended();
            return None;
        }
        Some(match said {
            Ok(0) => Ok(()),
            Ok(child::REPORT) => {
                let [step, _, which @ .., e0, e1, e2, e3] = bytes;
                let which = u16::from_ne_bytes(which).into();
                let errno = i32::from_ne_bytes([e0, e1, e2, e3]);
                Err(SpawnError::kernel(self.names.of(step, which), errno))
            }
            Ok(_) => Err(SpawnError::new("execute", "its report is cut off")),
            Err(errno) => Err(SpawnError::new("execute", errno.desc())),
        })
    }
}

impl Names {
    /// What the child was doing, in words.
    fn of(&self, step: u8, which: usize) -> String {
        let source = || {
            let mut binds = self.mounts.iter().filter_map(|mount| match mount {
                Mount::Bind { from, .. } => Some(from.display().to_string()),
                _ => None,
            });
            binds.nth(which).unwrap_or_default()
        };
        let target = || {
            let mount = self.mounts.get(which).map(Mount::at);
            mount.map_or_else(String::new, |at| at.display().to_string())
        };
        match step {
            s if s == Step::Execute as u8 => format!("execute {}", self.program.display()),
            s if s == Step::Workdir as u8 => {
                format!("enter the working directory {}", self.workdir.display())
            }
            s if s == Step::OpenPath as u8 => format!("open {}", source()),
            s if s == Step::Cover as u8 => format!("cover {}", target()),
            s if s == Step::Folder as u8 => format!("make {}", target()),
            s if s == Step::Bind as u8 => format!("mount {}", target()),
            s if s == Step::Limit as u8 => "resource limits".into(),
            s if s == Step::JoinNamespaces as u8 => {
                "enter the namespaces of the running process".into()
            }
            s if s == Step::MountNamespace as u8 => "mount namespace".into(),
            s if s == Step::Network as u8 || s == Step::Loopback as u8 => {
                "network namespace".into()
            }
            s if s == Step::Capabilities as u8 => "capabilities".into(),
            s if s == Step::User as u8 => "user".into(),
            s if s == Step::NoNewPrivileges as u8 => "no new privileges".into(),
            s if s == Step::Landlock as u8 => "landlock".into(),
            s if s == Step::Seccomp as u8 => "system call filter".into(),
            s if s == Step::Session as u8 => "session".into(),
            s if s == Step::JoinCgroup as u8 => "cgroup".into(),
            _ => "descriptors".into(),
        }
    }
}
