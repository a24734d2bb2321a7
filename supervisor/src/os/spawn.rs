//! A [`Launch`] goes in, a running process comes out, confined before its first instruction; or the step that failed, and nothing runs.
//!
//! Everything is prepared before the fork, so that `child` needs no memory; one fork, not vfork: between setuid and execve the child may be
//! stopped by whoever shares its user, and must not stop us with it.

use super::{
    arena::Arena,
    child::{self, Prepared},
    clock, confine,
    identity::{self, Identity, Pidfd},
    launch::{Launch, Profile},
    pages,
    prepare::{Kept, prepare},
    report::{Names, Report},
    seats::{Row, Seats},
    seccomp,
    view::View,
};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
    rc::Rc,
    sync::OnceLock,
    time::Duration,
};
use swarm_manifests::bundle::Network;

/// How long a child may take to its execve before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// `CLONE_INTO_CGROUP`, which does not fit into the type that libc gives it.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// `CLONE_CLEAR_SIGHAND`: what we handle is at its default in the child. What we ignore is not.
const CLEAR_HANDLERS: u64 = 0x1_0000_0000;

/// A process that executes its program.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Child {
    pub pid: i32,
    pub pidfd: Pidfd,
    pub identity: Identity,
    /// Protections that could not be given here, and why: `no own user: not root`.
    pub missing: Vec<&'static str>,
}

/// A process that is made, and on its way to its program.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Birth {
    pub pid: i32,
    pub pidfd: Pidfd,
    pub missing: Vec<&'static str>,
    pub report: Report,
}

/// Why a process was not started. Nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {text}")]
pub struct SpawnError {
    /// What was being done: `execute /usr/bin/node`, `mount namespace`.
    pub step: String,
    /// The kernel's error number; 0 where it did not come from the kernel.
    pub errno: i32,
    /// The error in words.
    pub text: String,
}

impl SpawnError {
    pub(super) fn new(step: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            errno: 0,
            text: text.into(),
        }
    }

    /// Whether what is to be executed, or the folder to do that in, is not there or closed: somebody may mend that on the box.
    pub fn is_missing(&self) -> bool {
        let of_the_box = ["execute ", "enter the working directory "];
        let is_missing = matches!(self.errno, libc::ENOENT | libc::ENOTDIR | libc::EACCES);
        is_missing && of_the_box.iter().any(|step| self.step.starts_with(step))
    }

    pub(super) fn kernel(step: impl Into<String>, errno: i32) -> Self {
        Self {
            step: step.into(),
            errno,
            text: nix::errno::Errno::from_raw(errno).desc().to_owned(),
        }
    }

    pub(super) fn io(step: impl Into<String>, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::kernel(step, errno),
            None => Self::new(step, error.to_string()),
        }
    }
}

/// Starts it. Returns when it executes its program.
pub fn spawn(launch: Launch) -> Result<Child, SpawnError> {
    let Birth {
        pid,
        pidfd,
        missing,
        report,
    } = begin(launch)?;
    report.let_go();
    if let Err(error) = report.wait() {
        end(&pidfd);
        return Err(error);
    }
    let start_time = identity::start_time(pid).unwrap_or_default();
    let identity = Identity {
        pid,
        start_time,
        boot_id: clock::boot_id().to_owned(),
    };
    Ok(Child {
        pid,
        pidfd,
        identity,
        missing,
    })
}

/// Makes it. It comes to its program once it is let go ([`Report::let_go`]); and whether it did, [`Birth::report`] tells, within [`PATIENCE`] where all is well. One that fails is to be
/// ended ([`end`]) by whoever asked for it.
pub fn begin(launch: Launch) -> Result<Birth, SpawnError> {
    make(launch, None)
}

/// The same for a process with many descriptors: the child copies a few of them, where one of these seats' rows is free.
pub fn begin_seated(launch: Launch, seats: &Rc<Seats>) -> Result<Birth, SpawnError> {
    make(launch, seats.row())
}

fn make(launch: Launch, row: Option<Row>) -> Result<Birth, SpawnError> {
    let is_root = nix::unistd::geteuid().is_root();
    if is_root
        && launch
            .user
            .as_ref()
            .is_none_or(|ids| ids.uid == 0 || ids.gid == 0)
    {
        return Err(SpawnError::new(
            "user",
            "nothing runs as root: name another user",
        ));
    }
    let view = View::of(&launch, is_root)?;
    let missing = missing(&launch, is_root);
    let (report, reported) = std::os::unix::net::UnixStream::pair()
        .map(|(ours, its)| (OwnedFd::from(ours), OwnedFd::from(its)))
        .map_err(|error| SpawnError::io("pipe", &error))?;
    let kept = Kept::new(&launch, &view, (&reported, &report), row.as_ref())?;
    let arena = Arena::new();
    let mut prepared = prepare(&launch, &view, &kept, row.as_ref(), &arena)?;
    pages::before_a_fork();
    let (pid, pidfd) = fork(&launch, &mut prepared)?;
    // The child has its own copies now; ours of the report's end must be closed to see its.
    drop((kept, reported));
    let names = Names {
        program: launch.argv.into_iter().next().unwrap_or_default(),
        workdir: launch.workdir,
        mounts: view.mounts.unwrap_or_default(),
    };
    Ok(Birth {
        pid,
        pidfd: Pidfd::from_fd(pidfd),
        missing,
        report: Report::new(report, names, row),
    })
}

/// Ends a process that did not come to execute, and takes it off the process table.
pub fn end(pidfd: &Pidfd) {
    let _ = pidfd.signal(libc::SIGKILL);
    // It was killed, or has reported and ends: this does not take long.
    let _ = nix::poll::poll(
        &mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)],
        PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX),
    );
    let _ = pidfd.wait();
}

/// What this caller or this kernel cannot give.
fn missing(launch: &Launch, is_root: bool) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if !is_root {
        missing.push("no own user: not root");
        missing.push("no private /tmp, nothing hidden: not root");
        if launch.sandbox.network == Network::None {
            missing.push("no network by system call filter only: not root");
        }
    }
    if launch.profile == Profile::Workflow {
        if confine::abi() == landlock::ABI::Unsupported {
            missing.push("no landlock: not in this kernel");
        }
        if seccomp::for_workflow(false).is_none() {
            missing.push("no system call filter: not for this architecture");
        }
    }
    missing
}

/// Clones with a pidfd, into the cgroup where there is one. All signals are blocked until the child is one of its own.
fn fork(launch: &Launch, prepared: &mut Prepared<'_>) -> Result<(i32, OwnedFd), SpawnError> {
    let cgroup = launch
        .cgroup
        .as_deref()
        .map(|path| open_folder(path).map_err(|error| SpawnError::io("cgroup", &error)))
        .transpose()?;
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero is a value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = CLEAR_HANDLERS | u64::from(libc::CLONE_PIDFD.cast_unsigned());
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    if prepared.row.is_some() {
        arguments.flags |= u64::from(libc::CLONE_FILES.cast_unsigned());
    }
    if let Some(cgroup) = &cgroup {
        arguments.flags |= INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or_default();
    }
    let old = block_signals();
    let mut made = clone(&arguments, prepared);
    if made.as_ref().err().and_then(io::Error::raw_os_error) == Some(libc::EINVAL) {
        // A kernel before 5.5: the child sees to every signal by itself.
        arguments.flags &= !CLEAR_HANDLERS;
        prepared.reset_signals = u64::MAX;
        made = clone(&arguments, prepared);
    }
    restore_signals(&old);
    let pid = made.map_err(|error| SpawnError::io("clone into the cgroup", &error))?;
    // SAFETY: the kernel has made it for us, as CLONE_PIDFD says.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Comes back in us only.
fn clone(arguments: &libc::clone_args, prepared: &mut Prepared<'_>) -> io::Result<i32> {
    // SAFETY: like fork(2): the child runs on a copy of our memory, and `child::run` neither allocates nor returns.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_ref(arguments),
            size_of::<libc::clone_args>(),
        )
    };
    match pid {
        0 => child::run(prepared),
        pid if pid < 0 => Err(io::Error::last_os_error()),
        pid => i32::try_from(pid).map_err(io::Error::other),
    }
}

/// What this process ignores: bit 0 is signal 1. It is asked once, for that is how it was started, and nothing of ours changes it later.
pub(super) fn ignored_signals() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED.get_or_init(ask_for_ignored_signals)
}

fn ask_for_ignored_signals() -> u64 {
    let is_ignored = |signal: &i32| {
        // SAFETY: sigaction(2) without a new action changes nothing; zeroes are a struct sigaction.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            let done = libc::sigaction(*signal, std::ptr::null(), &raw mut now);
            // The C library says nothing of those that it uses itself: they may be.
            done != 0 || now.sa_sigaction == libc::SIG_IGN
        }
    };
    let ignored = (1..=64).filter(is_ignored);
    ignored.fold(0, |set, signal| set | 1 << (signal - 1))
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(path)?;
    Ok(file.into())
}

fn block_signals() -> libc::sigset_t {
    // SAFETY: both sets are made here; pthread_sigmask(3) fills the old one.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut old: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut old);
        old
    }
}

fn restore_signals(old: &libc::sigset_t) {
    // SAFETY: a set that pthread_sigmask(3) gave.
    unsafe {
        libc::pthread_sigmask(
            libc::SIG_SETMASK,
            std::ptr::from_ref(old),
            std::ptr::null_mut(),
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_that_is_ignored_is_known_and_no_other() {
        let bit = |signal: i32| 1_u64 << (signal - 1);
        let before = ask_for_ignored_signals();
        // Rust's start code ignores it.
        assert_ne!(before & bit(libc::SIGPIPE), 0);
        let real_time = libc::SIGRTMAX();
        // SAFETY: nobody sends these to us here, and both are put back.
        let set = |action| unsafe {
            libc::signal(libc::SIGTTOU, action);
            libc::signal(real_time, action);
        };
        set(libc::SIG_IGN);
        let now = ask_for_ignored_signals();
        set(libc::SIG_DFL);
        assert_eq!(now, before | bit(libc::SIGTTOU) | bit(real_time));
        assert_eq!(
            now & (bit(libc::SIGTERM) | bit(libc::SIGCHLD) | bit(libc::SIGKILL)),
            0
        );
    }
}
