//! Between clone and execve: what was prepared comes in, the program or a report of the step that failed comes out.
//!
//! Nothing here allocates, locks or panics: the memory is a copy of a process that may have had other threads. Everything that can be
//! made before is in [`Prepared`]. The order matters: any other fails or, worse, leaves root.

use libc::{c_char, c_int, c_long};
use std::{
    ffi::{CStr, CString},
    os::fd::RawFd,
    ptr,
};

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

/// A mount, as the kernel takes it.
#[derive(Debug)]
pub enum Op {
    Cover {
        at: CString,
        options: CString,
    },
    Folder {
        at: CString,
    },
    File {
        at: CString,
    },
    Bind {
        at: CString,
        tree: usize,
        writable: bool,
    },
}

impl Op {
    /// Where it is done.
    pub fn at(&self) -> &CString {
        match self {
            Self::Cover { at, .. }
            | Self::Folder { at }
            | Self::File { at }
            | Self::Bind { at, .. } => at,
        }
    }
}

/// Everything that the child needs, made before it.
#[derive(Debug)]
pub struct Prepared {
    /// What `argv` and `envp` point to.
    #[allow(dead_code)]
    pub strings: Vec<CString>,
    /// The program as it was named.
    pub title: CString,
    pub programs: Vec<CString>,
    pub argv: Vec<*const c_char>,
    pub envp: Vec<*const c_char>,
    pub workdir: CString,
    pub fds: [RawFd; 3],
    pub extra: Option<RawFd>,
    pub report: RawFd,
    /// `cgroup.procs`, open, where clone3 could not do it.
    pub cgroup_procs: Option<RawFd>,
    pub join: Option<(RawFd, c_int)>,
    pub mounts: Option<Mounts>,
    pub private_network: bool,
    pub rlimits: Vec<(libc::__rlimit_resource_t, u64)>,
    pub reset_oom_score: bool,
    pub drop_capabilities: bool,
    pub ids: Option<(u32, u32, Vec<u32>)>,
    pub landlock: Option<(RawFd, u64, Vec<CString>)>,
    pub seccomp: Option<libc::sock_fprog>,
}

/// The mount namespace: what to open before anything is covered, and then what to do.
#[derive(Debug)]
pub struct Mounts {
    pub read_only_root: bool,
    /// Opened first, as detached copies, into `trees`.
    pub sources: Vec<CString>,
    pub trees: Vec<RawFd>,
    pub ops: Vec<Op>,
}

/// A report of eight bytes: the step, an index that says which, and the error number.
pub const REPORT: usize = 8;

type Done = Result<(), Failure>;

#[derive(Clone, Copy)]
struct Failure {
    step: Step,
    which: usize,
    errno: c_int,
}

/// Never comes back: executes the program, or reports and ends.
pub fn run(prepared: &mut Prepared) -> ! {
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

fn confine_and_execute(prepared: &mut Prepared) -> Done {
    // SAFETY: a new process is no group leader, so this cannot fail, and touches nothing else.
    check(unsafe { libc::setsid() }.into(), Step::Session)?;
    if let Some(procs) = prepared.cgroup_procs {
        check(
            // SAFETY: one static byte to an open descriptor: "0" is the writer.
            unsafe { libc::write(procs, c"0".as_ptr().cast(), 1) } as c_long,
            Step::JoinCgroup,
        )?;
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
    descriptors(prepared)?;
    signals();
    privileges(prepared)?;
    check(
        // SAFETY: a C string of ours.
        unsafe { libc::chdir(prepared.workdir.as_ptr()) }.into(),
        Step::Workdir,
    )?;
    filters(prepared)?;
    execute(prepared)
}

fn private_mounts(mounts: &mut Mounts) -> Done {
    check(
        // SAFETY: unshare(2) takes flags.
        unsafe { libc::unshare(libc::CLONE_NEWNS) }.into(),
        Step::MountNamespace,
    )?;
    // One call for the whole tree: nothing that is mounted here is seen outside; and all is read-only that is not bound writable below.
    let protect = if mounts.read_only_root {
        libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID
    } else {
        0
    };
    set_attributes(
        libc::AT_FDCWD,
        c"/",
        libc::AT_RECURSIVE,
        protect,
        0,
        libc::MS_PRIVATE,
    )
    .map_err(|errno| Failure {
        step: Step::MountNamespace,
        which: 0,
        errno,
    })?;
    for (which, source) in mounts.sources.iter().enumerate() {
        let flags =
            libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE.cast_unsigned();
        // SAFETY: open_tree(2) with a C string of ours.
        let tree =
            unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, source.as_ptr(), flags) };
        mounts.trees[which] =
            check(tree, Step::OpenPath).map_err(|failure| Failure { which, ..failure })?;
    }
    for (which, op) in mounts.ops.iter().enumerate() {
        mount(op, &mounts.trees).map_err(|failure| Failure { which, ..failure })?;
    }
    Ok(())
}

fn mount(op: &Op, trees: &[RawFd]) -> Done {
    match op {
        Op::Cover { at, options } => {
            let flags = libc::MS_NOSUID | libc::MS_NODEV;
            let name = c"tmpfs".as_ptr();
            // SAFETY: mount(2) with C strings of ours.
            let done =
                unsafe { libc::mount(name, at.as_ptr(), name, flags, options.as_ptr().cast()) };
            check(done.into(), Step::Cover).map(drop)
        }
        Op::Folder { at } => {
            check(
                // SAFETY: a C string of ours.
                unsafe { libc::mkdir(at.as_ptr(), 0o755) }.into(),
                Step::Folder,
            )
            .map(drop)
        }
        Op::File { at } => {
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
            check(
                // SAFETY: a C string of ours; the descriptor is closed by execve.
                unsafe { libc::open(at.as_ptr(), flags, 0o644) }.into(),
                Step::Folder,
            )
            .map(drop)
        }
        Op::Bind { at, tree, writable } => {
            let safe = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
            let (set, clear) = if *writable {
                (safe, libc::MOUNT_ATTR_RDONLY)
            } else {
                (safe | libc::MOUNT_ATTR_RDONLY, 0)
            };
            let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
            let tree = trees[*tree];
            set_attributes(tree, c"", flags, set, clear, 0).map_err(|errno| Failure {
                step: Step::Bind,
                which: 0,
                errno,
            })?;
            // SAFETY: move_mount(2) with an open descriptor and a C string of ours.
            let done = unsafe {
                libc::syscall(
                    libc::SYS_move_mount,
                    tree,
                    c"".as_ptr(),
                    libc::AT_FDCWD,
                    at.as_ptr(),
                    libc::MOVE_MOUNT_F_EMPTY_PATH,
                )
            };
            check(done, Step::Bind).map(drop)
        }
    }
}

fn set_attributes(
    at: RawFd,
    path: &CStr,
    flags: c_int,
    set: u64,
    clear: u64,
    propagation: u64,
) -> Result<(), c_int> {
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: clear,
        propagation,
        userns_fd: 0,
    };
    let size = size_of::<libc::mount_attr>();
    // SAFETY: mount_setattr(2) reads `size` bytes of `attributes`, which outlives the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size,
        )
    };
    if done == 0 { Ok(()) } else { Err(errno()) }
}

/// A network of its own with nothing in it but a loopback that works.
fn private_network() -> Done {
    const UP: libc::c_short = 0x1 | 0x40; // IFF_UP | IFF_RUNNING
    check(
        // SAFETY: unshare(2) takes flags.
        unsafe { libc::unshare(libc::CLONE_NEWNET) }.into(),
        Step::Network,
    )?;
    let socket = check(
        // SAFETY: socket(2) takes integers; the descriptor is closed by execve.
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into(),
        Step::Loopback,
    )?;
    // SAFETY: ifreq is plain bytes, for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l'.cast_signed() as c_char;
    request.ifr_name[1] = b'o'.cast_signed() as c_char;
    request.ifr_ifru.ifru_flags = UP;
    check(
        // SAFETY: SIOCSIFFLAGS reads one ifreq.
        unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) }.into(),
        Step::Loopback,
    )
    .map(drop)
}

fn resources(prepared: &Prepared) -> Done {
    for (which, &(resource, value)) in prepared.rlimits.iter().enumerate() {
        let limit = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        // SAFETY: setrlimit(2) reads one rlimit.
        let done = unsafe { libc::setrlimit(resource, &raw const limit) };
        check(done.into(), Step::Limit).map_err(|failure| Failure { which, ..failure })?;
    }
    if prepared.reset_oom_score {
        // A process that is more likely to be killed than we are: where that cannot be said, it is no hole.
        // SAFETY: opens a static name and writes a static byte.
        unsafe {
            let file = libc::open(
                c"/proc/self/oom_score_adj".as_ptr(),
                libc::O_WRONLY | libc::O_CLOEXEC,
            );
            libc::write(file, c"0".as_ptr().cast(), 1);
        }
    }
    // SAFETY: umask(2) cannot fail.
    unsafe { libc::umask(0o022) };
    Ok(())
}

/// 0, 1, 2 and perhaps 3; whatever else is open is closed by execve.
fn descriptors(prepared: &Prepared) -> Done {
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
    // SAFETY: close_range(2) with this flag closes nothing before execve.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first_closed,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    check(done, Step::Descriptors).map(drop)
}

/// What is ignored stays ignored over execve, and what is blocked stays blocked: a new program starts with neither.
fn signals() {
    const SET: usize = 8; // The kernel's set of 64 signals, in bytes.
    // Of the kernel's struct sigaction, in every architecture's order of fields: SIG_DFL, no flags, nothing blocked.
    let default = [0_u64; 4];
    // The system calls themselves: the C library hides the numbers that it uses itself, and those may be ignored, too.
    for signal in 1..=64 {
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

fn privileges(prepared: &Prepared) -> Done {
    if prepared.drop_capabilities {
        // EINVAL: one more than this kernel has.
        while_ok(
            // SAFETY: prctl(2) with integers.
            |number| unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) }.into(),
            Step::Capabilities,
        )?;
    }
    if let Some((uid, gid, groups)) = &prepared.ids {
        // The system calls themselves: the C library's functions would call together threads that are not here.
        check(
            // SAFETY: setgroups(2) reads as many ids as it is told.
            unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) },
            Step::User,
        )?;
        check(
            // SAFETY: setresgid(2) takes integers.
            unsafe { libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid) },
            Step::User,
        )?;
        check(
            // SAFETY: setresuid(2) takes integers.
            unsafe { libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid) },
            Step::User,
        )?;
    }
    drop_capabilities()?;
    check(
        // SAFETY: prctl(2) with integers.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into(),
        Step::NoNewPrivileges,
    )
    .map(drop)
}

fn while_ok(call: impl Fn(c_long) -> c_long, step: Step) -> Done {
    for number in 0..64 {
        match check(call(number), step) {
            Ok(_) => {}
            Err(failure) if failure.errno == libc::EINVAL && number > 0 => break,
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Permitted, effective and inheritable: none. The ambient ones go with them.
fn drop_capabilities() -> Done {
    const VERSION_3: u32 = 0x2008_0522; // _LINUX_CAPABILITY_VERSION_3
    let head: [u32; 2] = [VERSION_3, 0];
    let none = [0_u32; 6];
    check(
        // SAFETY: capset(2) reads a header of two words and, with version 3, two structs of three.
        unsafe { libc::syscall(libc::SYS_capset, head.as_ptr(), none.as_ptr()) },
        Step::Capabilities,
    )
    .map(drop)
}

fn filters(prepared: &Prepared) -> Done {
    if let Some((ruleset, all, private)) = &prepared.landlock {
        for path in private {
            allow_beneath(*ruleset, path, *all)?;
        }
        check(
            // SAFETY: landlock_restrict_self(2) takes integers.
            unsafe { libc::syscall(libc::SYS_landlock_restrict_self, *ruleset, 0) },
            Step::Landlock,
        )?;
    }
    if let Some(filter) = &prepared.seccomp {
        // SAFETY: the filter lives as long as the process that we are a copy of.
        let done = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                ptr::from_ref(filter),
                0,
                0,
            )
        };
        check(done.into(), Step::Seccomp)?;
    }
    Ok(())
}

/// What was mounted in this child only cannot have its rule from before.
fn allow_beneath(ruleset: RawFd, path: &CStr, access: u64) -> Done {
    const PATH_BENEATH: c_int = 1; // LANDLOCK_RULE_PATH_BENEATH
    #[repr(C, packed)]
    struct PathBeneath {
        access: u64,
        parent: RawFd,
    }
    let parent = check(
        // SAFETY: a C string of ours; the descriptor is closed by execve.
        unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) }.into(),
        Step::Landlock,
    )?;
    let rule = PathBeneath { access, parent };
    // SAFETY: landlock_add_rule(2) reads one such struct, packed as linux/landlock.h says.
    let done = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset,
            PATH_BENEATH,
            &raw const rule,
            0,
        )
    };
    check(done, Step::Landlock).map(drop)
}

/// The first of the candidates that is there; one that may not be executed is remembered, as execvp(3) does.
fn execute(prepared: &Prepared) -> Done {
    let mut remembered = libc::ENOENT;
    for program in &prepared.programs {
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
