//! Between clone and execve: what was prepared comes in, the program or a report of the step that failed comes out.
//!
//! Nothing here allocates, locks or panics: the memory is a copy of a process that may have had other threads, and its heap is perhaps
//! not there at all. Everything that can be made before is in [`Prepared`]. The order matters: any other fails or, worse, leaves root.

mod namespaces;
mod privileges;

use super::seats::Place;
use libc::{c_char, c_int, c_long};
pub use namespaces::{Mounts, Op};
use namespaces::{private_mounts, private_network};
pub use privileges::add_rule;
use privileges::{filters, privileges};
use std::{ffi::CStr, os::fd::RawFd, ptr, sync::atomic::Ordering};

/// What a child does before its program, as far as there is something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Step {
    Session = 1,
    JoinCgroup,
    JoinNamespaces,
    MountNamespace,
    OpenPath,
    Cover,
    Folder,
    Bind,
    Network,
    Loopback,
    Limit,
    Descriptors,
    Capabilities,
    User,
    NoNewPrivileges,
    Landlock,
    Seccomp,
    Workdir,
    Execute,
}

/// Everything that the child needs, made before it, in memory that it has: nothing of this lies in the heap ([`super::arena`]).
#[derive(Debug)]
pub struct Prepared<'a> {
    pub programs: &'a [&'a CStr],
    /// Both end with null.
    pub argv: &'a [*const c_char],
    pub envp: &'a [*const c_char],
    pub workdir: &'a CStr,
    pub fds: [RawFd; 3],
    pub extra: Option<RawFd>,
    pub report: RawFd,
    /// The other end of `report`, our maker's: a copy of it is here, too.
    pub makers: RawFd,
    /// Where our descriptors are while our table is our maker's. None: it is a copy.
    pub row: Option<Place<'a>>,
    /// `cgroup.procs`, open, where clone3 could not do it.
    pub cgroup_procs: Option<RawFd>,
    pub join: Option<(RawFd, c_int)>,
    pub mounts: Option<Mounts<'a>>,
    pub private_network: bool,
    /// Signals that it has to take back to their defaults: bit 0 is signal 1.
    pub reset_signals: u64,
    pub rlimits: &'a [(libc::__rlimit_resource_t, u64)],
    /// Set last: until execve, copies of all that we have open are there, and are more than a program may need.
    pub open_files: Option<u64>,
    pub reset_oom_score: bool,
    pub drop_capabilities: bool,
    pub ids: Option<(u32, u32, &'a [u32])>,
    pub landlock: Option<(RawFd, u64, &'a [&'a CStr])>,
    pub seccomp: Option<libc::sock_fprog>,
}

/// A report of eight bytes: the step, an index that says which, and the error number.
pub const REPORT: usize = 8;
/// No step: our table of descriptors is our own, as was asked.
pub const APART: u8 = 0;
/// The word to go on.
pub const GO: u8 = 1;
/// The same, and to say [`APART`].
pub const GO_AND_TELL: u8 = 2;

type Done = Result<(), Failure>;

#[derive(Clone, Copy)]
struct Failure {
    step: Step,
    which: usize,
    errno: c_int,
}

/// Never comes back: executes the program, or reports and ends.
pub fn run(prepared: &mut Prepared<'_>) -> ! {
    if let Err(failure) = confine_and_execute(prepared) {
        let mut report = [failure.step as u8, 0, 0, 0, 0, 0, 0, 0];
        let which = u16::try_from(failure.which)
            .unwrap_or(u16::MAX)
            .to_ne_bytes();
        report[2..4].copy_from_slice(&which);
        report[4..].copy_from_slice(&failure.errno.to_ne_bytes());
        // SAFETY: `report` outlives the call; the descriptor was made for this.
        unsafe { libc::write(prepared.report, report.as_ptr().cast(), report.len()) };
    }
    // SAFETY: ends this process only, without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

fn confine_and_execute(prepared: &mut Prepared<'_>) -> Done {
    part(prepared)?;
    // SAFETY: a new process is no group leader, so this cannot fail, and touches nothing else.
    check(unsafe { libc::setsid() }.into(), Step::Session)?;
    if let Some(procs) = prepared.cgroup_procs {
        check(
            // SAFETY: one static byte to an open descriptor: "0" is the writer.
            unsafe { libc::write(procs, c"0".as_ptr().cast(), 1) } as c_long,
            Step::JoinCgroup,
        )?;
    }
    // Before the mounts: they make /proc read-only.
    if prepared.reset_oom_score {
        reset_oom_score();
    }
    if let Some((pidfd, namespaces)) = prepared.join {
        check(
            // SAFETY: setns(2) takes two integers.
            unsafe { libc::setns(pidfd, namespaces) }.into(),
            Step::JoinNamespaces,
        )?;
    }
    if let Some(mounts) = &mut prepared.mounts {
        private_mounts(mounts)?;
    }
    if prepared.private_network {
        private_network()?;
    }
    resources(prepared)?;
    wait_for_word(prepared);
    descriptors(prepared)?;
    signals(prepared.reset_signals);
    privileges(prepared)?;
    check(
        // SAFETY: a C string of ours.
        unsafe { libc::chdir(prepared.workdir.as_ptr()) }.into(),
        Step::Workdir,
    )?;
    filters(prepared)?;
    execute(prepared)
}

/// From here on nothing that we open or close is our maker's.
fn part(prepared: &Prepared<'_>) -> Done {
    let mut end = u32::MAX;
    if let Some(Place { row, first, apart }) = &prepared.row {
        // A copy of the table up to our row, instead of the whole one.
        close_range(row.end, u32::MAX, libc::CLOSE_RANGE_UNSHARE)?;
        apart.store(1, Ordering::Release);
        // Who sits in the rows before ours is not kept waiting for our end.
        if let Some(last) = row.start.checked_sub(1).filter(|last| last >= first) {
            close_range(*first, last, 0)?;
        }
        end = row.end;
    }
    if u32::try_from(prepared.makers).is_ok_and(|makers| makers < end) {
        // SAFETY: closes a copy that is of no use here.
        unsafe { libc::close(prepared.makers) };
    }
    Ok(())
}

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> Done {
    // SAFETY: close_range(2) takes integers; whoever owned these descriptors lives in our maker.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    check(done, Step::Descriptors).map(drop)
}

/// Until our maker has written down that we are there. Where it died before, nobody would ever know of us: nothing begins.
fn wait_for_word(prepared: &Prepared<'_>) {
    let mut word = 0_u8;
    // SAFETY: reads one byte into `word`, or ends this process only. No signal interrupts it: all are blocked.
    unsafe {
        if libc::read(prepared.report, (&raw mut word).cast(), 1) != 1 {
            libc::_exit(127);
        }
        if word == GO_AND_TELL {
            // A maker that has died meanwhile is no reason to die before the program begins.
            let said = [APART; REPORT].as_ptr().cast();
            libc::send(prepared.report, said, REPORT, libc::MSG_NOSIGNAL);
        }
    }
}

/// A process that is more likely to be killed than we are: where that cannot be said, it is no hole.
fn reset_oom_score() {
    // SAFETY: opens a static name, writes a static byte, and closes what was opened.
    unsafe {
        let file = libc::open(
            c"/proc/self/oom_score_adj".as_ptr(),
            libc::O_WRONLY | libc::O_CLOEXEC,
        );
        libc::write(file, c"0".as_ptr().cast(), 1);
        libc::close(file);
    }
}

fn resources(prepared: &Prepared<'_>) -> Done {
    for (which, &(resource, value)) in prepared.rlimits.iter().enumerate() {
        let limit = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        // SAFETY: setrlimit(2) reads one rlimit.
        let done = unsafe { libc::setrlimit(resource, &raw const limit) };
        check(done.into(), Step::Limit).map_err(|failure| Failure { which, ..failure })?;
    }
    raise_open_files(prepared)?;
    // SAFETY: umask(2) cannot fail.
    unsafe { libc::umask(0o022) };
    Ok(())
}

/// More than we may have ourselves is allowed while that can be done.
fn raise_open_files(prepared: &Prepared<'_>) -> Done {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit(2) fills one rlimit.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    check(done.into(), Step::Limit)?;
    match prepared.open_files {
        Some(files) if files > limit.rlim_max => {
            limit.rlim_max = files;
            // SAFETY: setrlimit(2) reads one rlimit.
            let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
            check(done.into(), Step::Limit).map(drop)
        }
        _ => Ok(()),
    }
}

/// 0, 1, 2 and perhaps 3; whatever else is open is closed by execve.
fn descriptors(prepared: &Prepared<'_>) -> Done {
    let mut first_closed = 3;
    for (number, &fd) in (0..).zip(&prepared.fds) {
        // SAFETY: dup2(2) of descriptors that are above all of 0 to 3.
        check(unsafe { libc::dup2(fd, number) }.into(), Step::Descriptors)?;
    }
    if let Some(fd) = prepared.extra {
        // SAFETY: as above.
        check(unsafe { libc::dup2(fd, 3) }.into(), Step::Descriptors)?;
        first_closed = 4;
    }
    // With this flag nothing is closed before execve.
    close_range(first_closed, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// What is ignored stays ignored over execve, and what is blocked stays blocked: a new program starts with neither.
fn signals(reset: u64) {
    const SET: usize = 8; // The kernel's set of 64 signals, in bytes.
    // Of the kernel's struct sigaction, in every architecture's order of fields: SIG_DFL, no flags, nothing blocked.
    let default = [0_u64; 4];
    // The system calls themselves: the C library hides the numbers that it uses itself, and those may be ignored, too.
    for signal in (1..=64).filter(|signal| reset & (1 << (signal - 1)) != 0) {
        // SAFETY: rt_sigaction(2) reads a struct of at most 32 bytes. SIGKILL and SIGSTOP are refused without harm.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<u64>(),
                SET,
            )
        };
    }
    // SAFETY: rt_sigprocmask(2) reads one set.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            default.as_ptr(),
            ptr::null_mut::<u64>(),
            SET,
        )
    };
}

/// The first of the candidates that is there; one that may not be executed is remembered, as execvp(3) does.
fn execute(prepared: &Prepared<'_>) -> Done {
    let mut remembered = libc::ENOENT;
    for program in prepared.programs {
        // SAFETY: both lists end with null and point to strings that live as long as `prepared`.
        unsafe {
            libc::execve(
                program.as_ptr(),
                prepared.argv.as_ptr(),
                prepared.envp.as_ptr(),
            )
        };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => remembered = libc::EACCES,
            other => {
                return Err(Failure {
                    step: Step::Execute,
                    which: 0,
                    errno: other,
                });
            }
        }
    }
    Err(Failure {
        step: Step::Execute,
        which: 0,
        errno: remembered,
    })
}

fn check(done: c_long, step: Step) -> Result<c_int, Failure> {
    if done < 0 {
        Err(Failure {
            step,
            which: 0,
            errno: errno(),
        })
    } else {
        // What is returned here are descriptors and zeroes.
        Ok(c_int::try_from(done).unwrap_or(c_int::MAX))
    }
}

fn errno() -> c_int {
    // SAFETY: the C library's errno of this thread is always there.
    unsafe { *libc::__errno_location() }
}
