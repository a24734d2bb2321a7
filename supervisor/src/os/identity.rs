//! Which process is meant, for ever: a pid alone is used again, so a process is known by pid, start time and boot id, and held by a pidfd.

use super::clock;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Read as _},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
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

/// The process that was meant, if it is still there (also as a zombie). None: it is gone, or its pid is another's now.
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
    stat_field(pid, 22)?.parse().ok()
}

/// A field of /proc/PID/stat from the third on, counted as proc(5) does.
pub(super) fn stat_field(pid: i32, number: usize) -> Option<String> {
    let mut bytes = [0; 4096];
    let count = fs::File::open(format!("/proc/{pid}/stat"))
        .and_then(|mut file| file.read(&mut bytes))
        .ok()?;
    let text = &bytes[..count];
    // The second field is a name in brackets, in which anything may stand: what follows its last bracket is ours to count.
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&text[end + 1..]).ok()?;
    rest.split_ascii_whitespace()
        .nth(number.checked_sub(3)?)
        .map(str::to_owned)
}

impl Pidfd {
    /// Holds the process that has this pid now.
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: pidfd_open(2) takes two integers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us, and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// A pidfd that was handed to us.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends a signal (`libc::SIGTERM`). `Ok(false)`: the process is gone.
    pub fn signal(&self, signal: i32) -> io::Result<bool> {
        // SAFETY: pidfd_send_signal(2) with a null siginfo acts like kill(2); the descriptor is ours and open.
        let done = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.raw(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match io::Error::last_os_error() {
            _ if done == 0 => Ok(true),
            error if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            error => Err(error),
        }
    }

    /// Whether it has ended (a zombie has).
    pub fn has_ended(&self) -> bool {
        let mut poll = [nix::poll::PollFd::new(
            self.as_fd(),
            nix::poll::PollFlags::POLLIN,
        )];
        nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// How a child of ours ended, and takes it off the process table. None: it still runs. `ECHILD`: it is not our child.
    pub fn wait(&self) -> io::Result<Option<LastExit>> {
        // SAFETY: siginfo_t is plain integers, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let id = libc::id_t::try_from(self.raw()).map_err(io::Error::other)?;
        // SAFETY: `info` is a valid place, and the descriptor is open.
        let done = unsafe {
            libc::waitid(
                libc::P_PIDFD,
                id,
                &raw mut info,
                libc::WEXITED | libc::WNOHANG,
            )
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: waitid(2) filled it in, or left the zeroes that say that nothing has ended.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        Ok((pid != 0).then(|| {
            if info.si_code == libc::CLD_EXITED {
                LastExit::Code { code: status }
            } else {
                signalled(status)
            }
        }))
    }

    /// How it ended, whether it is our child or an adopted process. None: it still runs. Where the kernel does not know any more:
    /// `{"seen": false}`.
    pub fn exit(&self) -> Option<LastExit> {
        match self.wait() {
            Ok(exit) => exit,
            Err(_) => self.has_ended().then(|| self.exit_of_adopted()),
        }
    }

    /// Twice: it may be reaped between the question about the reaped and the one about the zombie.
    fn exit_of_adopted(&self) -> LastExit {
        (0..2)
            .find_map(|_| self.exit_of_reaped().or_else(|| self.exit_of_zombie()))
            .map_or(LastExit::Unseen { seen: false }, decode)
    }

    /// `PIDFD_GET_INFO`, from Linux 6.15 on.
    fn exit_of_reaped(&self) -> Option<i32> {
        // SAFETY: pidfd_info is plain integers, for which zero is a value.
        let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
        info.mask = u64::from(libc::PIDFD_INFO_EXIT);
        // SAFETY: the kernel writes at most the size that is part of the request's number, which is that of `info`.
        let done = unsafe { libc::ioctl(self.raw(), libc::PIDFD_GET_INFO, &raw mut info) };
        (done == 0 && info.mask & u64::from(libc::PIDFD_INFO_EXIT) != 0).then_some(info.exit_code)
    }

    /// Field 52 of /proc/PID/stat, while nobody has reaped it.
    fn exit_of_zombie(&self) -> Option<i32> {
        let pid = self.pid()?;
        let is_zombie = stat_field(pid, 3)? == "Z";
        let code = stat_field(pid, 52)?.parse().ok();
        // Still the same pid afterwards: what was read in between was this process.
        (is_zombie && self.pid() == Some(pid))
            .then_some(code)
            .flatten()
    }

    /// The pid, as long as the process is not reaped.
    fn pid(&self) -> Option<i32> {
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.raw())).ok()?;
        let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        pid.trim().parse().ok().filter(|&pid| pid > 0)
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

/// A wait status as wait(2) encodes it.
fn decode(status: i32) -> LastExit {
    if libc::WIFEXITED(status) {
        LastExit::Code {
            code: libc::WEXITSTATUS(status),
        }
    } else {
        signalled(libc::WTERMSIG(status))
    }
}

fn signalled(number: i32) -> LastExit {
    let signal = match nix::sys::signal::Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("SIGRTMIN+{}", number - libc::SIGRTMIN()),
    };
    LastExit::Signal { signal }
}

/// Makes us the parent of every orphan below us (`PR_SET_CHILD_SUBREAPER`).
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Takes zombies off the process table that are not among `ours` (pids that [`Pidfd::wait`] will ask for), and returns their pids.
/// To be called when SIGCHLD came, where we are the subreaper.
pub fn reap_orphans(ours: &dyn Fn(i32) -> bool) -> Vec<i32> {
    // An orphan comes to whichever thread the kernel picks.
    let threads = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let children: String = threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .collect();
    let orphans = children
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter(|&pid| !ours(pid));
    orphans
        .filter(|&pid| Pidfd::open(pid).is_ok_and(|held| matches!(held.wait(), Ok(Some(_)))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sleeper() -> std::process::Child {
        Command::new("sleep")
            .arg("60")
            .stdout(Stdio::null())
            .spawn()
            .expect("sleep")
    }

    fn identity(pid: i32) -> Identity {
        Identity {
            pid,
            start_time: start_time(pid).expect("it runs"),
            boot_id: clock::boot_id().into(),
        }
    }

    #[test]
    fn a_process_is_known_again_by_pid_start_time_and_boot() {
        let mut child = sleeper();
        let known = identity(child.id().cast_signed());
        assert!(adopt(&known).is_some());
        assert!(
            adopt(&Identity {
                start_time: known.start_time + 1,
                ..known.clone()
            })
            .is_none()
        );
        assert!(
            adopt(&Identity {
                boot_id: "another".into(),
                ..known.clone()
            })
            .is_none()
        );
        child.kill().expect("kill");
        child.wait().expect("wait");
        assert!(adopt(&known).is_none());
    }

    #[test]
    fn a_child_is_signalled_and_its_end_is_told_once() {
        let pidfd = Pidfd::open(sleeper().id().cast_signed()).expect("pidfd");
        assert_eq!(pidfd.wait().expect("wait"), None);
        assert_eq!(pidfd.exit(), None);
        assert!(pidfd.signal(libc::SIGTERM).expect("signal"));
        let mut poll = [nix::poll::PollFd::new(
            pidfd.as_fd(),
            nix::poll::PollFlags::POLLIN,
        )];
        nix::poll::poll(&mut poll, 5000_u16).expect("poll");
        assert_eq!(
            pidfd.exit(),
            Some(LastExit::Signal {
                signal: "SIGTERM".into()
            })
        );
        assert!(!pidfd.signal(libc::SIGTERM).expect("gone is no error"));
    }

    #[test]
    fn wait_statuses_are_decoded() {
        assert_eq!(decode(3 << 8), LastExit::Code { code: 3 });
        assert_eq!(
            decode(9),
            LastExit::Signal {
                signal: "SIGKILL".into()
            }
        );
        assert_eq!(
            decode(9 | 0x80),
            LastExit::Signal {
                signal: "SIGKILL".into()
            },
            "with a core dump"
        );
        assert_eq!(
            decode(libc::SIGRTMIN() + 2),
            LastExit::Signal {
                signal: "SIGRTMIN+2".into()
            }
        );
    }
}
