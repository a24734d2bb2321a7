//! A [`Launch`] goes in, a running process comes out, confined before its first instruction; or the step that failed, and nothing runs.
//!
//! Everything is prepared before the fork, so that `child` needs no memory; one fork, not vfork: between setuid and execve the child may be
//! stopped by whoever shares its user, and must not stop us with it.

use super::{
    child::{self, Mounts, Op, Prepared, Step},
    clock, confine,
    expose::{self, Cover, Eyes, Mount, Want},
    identity::{self, Identity, Pidfd},
    launch::{Launch, Profile},
    seccomp,
};
use std::{
    ffi::{CString, OsStr, OsString},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
    sync::OnceLock,
};
use swarm_manifests::bundle::Network;

/// How long a child may take to its execve before it is given up.
const PATIENCE: u16 = 5_000;
/// `CLONE_INTO_CGROUP`, which does not fit into the type that libc gives it.
const INTO_CGROUP: u64 = 0x2_0000_0000;
/// Where programs are looked for if `env` has no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    fn new(step: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            errno: 0,
            text: text.into(),
        }
    }

    fn kernel(step: impl Into<String>, errno: i32) -> Self {
        Self {
            step: step.into(),
            errno,
            text: nix::errno::Errno::from_raw(errno).desc().to_owned(),
        }
    }

    fn io(step: impl Into<String>, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::kernel(step, errno),
            None => Self::new(step, error.to_string()),
        }
    }
}

/// Starts it. Returns when it executes its program.
pub fn spawn(launch: Launch) -> Result<Child, SpawnError> {
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
    let (report, reported) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(|errno| SpawnError::kernel("pipe", errno as i32))?;
    let kept = Kept::new(&launch, &view, &reported)?;
    let mut prepared = prepare(&launch, &view, &kept, is_root)?;
    let (pid, pidfd) = fork(&launch, &mut prepared)?;
    // The child has its own copies now; ours of the report's end must be closed to see its.
    drop((kept, reported, launch));
    let pidfd = Pidfd::from_fd(pidfd);
    let failed = match read_report(&report) {
        Ok(None) => None,
        Ok(Some((step, which, errno))) => {
            Some(SpawnError::kernel(name_step(step, which, &prepared), errno))
        }
        Err(text) => Some(SpawnError::new("execute", text)),
    };
    if let Some(error) = failed {
        let _ = pidfd.signal(libc::SIGKILL);
        reap(&pidfd);
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

/// What it sees, with every path as it really is.
struct View {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    /// None: no mount namespace of its own.
    mounts: Option<Vec<Mount>>,
    /// The program, where it can be told before.
    program: Option<PathBuf>,
}

impl View {
    fn of(launch: &Launch, is_root: bool) -> Result<Self, SpawnError> {
        let wants =
            |paths: &[PathBuf], more: &[String], writable| -> Result<Vec<Want>, SpawnError> {
                let more = more.iter().map(Path::new);
                let all = paths.iter().map(PathBuf::as_path).chain(more);
                all.map(|path| {
                    Eyes::want(path, writable)
                        .map_err(|error| SpawnError::io(format!("see {}", path.display()), &error))
                })
                .collect()
            };
        let read = wants(&launch.read, &launch.sandbox.read, false)?;
        let write = wants(&launch.write, &launch.sandbox.write, true)?;
        let stand_ins = launch.stand_ins.iter().map(|(at, instead)| {
            let want = Eyes::want(at, false)
                .map_err(|error| SpawnError::io(format!("see {}", at.display()), &error))?;
            Ok(Want {
                instead: Some(instead.clone()),
                ..want
            })
        });
        let stand_ins = stand_ins.collect::<Result<Vec<_>, SpawnError>>()?;
        let paths = |wants: &[Want]| wants.iter().map(|want| want.path.clone()).collect();
        let (read_paths, write_paths) = (paths(&read), paths(&write));
        let mounts = (is_root && launch.join.is_none()).then(|| {
            let eyes = Eyes::of(launch.user.as_ref());
            let workflow = launch.profile == Profile::Workflow;
            let mut covers: Vec<(PathBuf, Cover)> = Vec::new();
            if workflow {
                let private = ["/tmp", "/dev/shm"]
                    .into_iter()
                    .map(PathBuf::from)
                    .filter(|path| path.is_dir());
                covers.extend(private.map(|path| (path, Cover::Tmp)));
            }
            covers.extend(
                launch
                    .hide
                    .iter()
                    .filter_map(|path| Some((path.canonicalize().ok()?, Cover::Blank))),
            );
            let wants: Vec<Want> = read.into_iter().chain(write).chain(stand_ins).collect();
            expose::plan(&wants, &covers, &|folder| eyes.passable(folder), workflow)
        });
        Ok(Self {
            read: read_paths,
            write: write_paths,
            mounts,
            program: program(launch),
        })
    }
}

fn program(launch: &Launch) -> Option<PathBuf> {
    let name = Path::new(launch.argv.first()?);
    let found = if name.is_absolute() {
        Some(name.to_owned())
    } else {
        candidates(launch).find(|path| path.is_file())
    };
    found?.canonicalize().ok()
}

/// Where the program may be, in the order of PATH.
fn candidates(launch: &Launch) -> impl Iterator<Item = PathBuf> {
    let name = launch.argv.first().cloned().unwrap_or_default();
    let path = launch
        .env
        .get(OsStr::new("PATH"))
        .cloned()
        .unwrap_or_else(|| OsString::from(PATH));
    let folders: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        // Relative to the working directory, where the child will be.
        vec![PathBuf::new()]
    } else {
        std::env::split_paths(&path).collect()
    };
    folders.into_iter().map(move |folder| folder.join(&name))
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

/// Descriptors that must stay open until the child executes.
struct Kept {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    extra: Option<OwnedFd>,
    report: OwnedFd,
    landlock: Option<confine::Rules>,
}

impl Kept {
    fn new(launch: &Launch, view: &View, report: &OwnedFd) -> Result<Self, SpawnError> {
        let landlock = match launch.profile {
            Profile::Workflow => {
                confine::rules(launch, &view.read, &view.write, view.program.as_deref())
                    .map_err(|text| SpawnError::new("landlock", text))?
            }
            Profile::Agent => None,
        };
        let null = std::fs::File::open("/dev/null")
            .map_err(|error| SpawnError::io("open /dev/null", &error))?;
        Ok(Self {
            stdin: above(&null)?,
            stdout: above(&launch.stdout)?,
            stderr: above(&launch.stderr)?,
            extra: launch.extra.as_ref().map(above).transpose()?,
            report: above(report)?,
            landlock,
        })
    }
}

/// A copy that is not among those that the child puts in order.
fn above(fd: &impl AsRawFd) -> Result<OwnedFd, SpawnError> {
    // SAFETY: F_DUPFD_CLOEXEC makes a new descriptor of one that is open.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 4) };
    if copy < 0 {
        return Err(SpawnError::io("descriptors", &io::Error::last_os_error()));
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

fn c_string(text: impl Into<Vec<u8>>, what: &str) -> Result<CString, SpawnError> {
    CString::new(text).map_err(|_| SpawnError::new(what, "a NUL stands in it"))
}

fn c_path(path: &Path) -> Result<CString, SpawnError> {
    c_string(path.as_os_str().as_bytes(), "paths")
}

fn prepare(
    launch: &Launch,
    view: &View,
    kept: &Kept,
    is_root: bool,
) -> Result<Prepared, SpawnError> {
    let Some(name) = launch.argv.first() else {
        return Err(SpawnError::new("execute", "no command"));
    };
    let programs = candidates(launch)
        .map(|path| c_path(&path))
        .collect::<Result<Vec<_>, _>>()?;
    let argv = launch
        .argv
        .iter()
        .map(|arg| c_string(arg.as_bytes(), "arguments"))
        .collect::<Result<Vec<_>, _>>()?;
    let env = launch.env.iter().map(|(name, value)| {
        let mut entry = name.clone().into_vec();
        entry.push(b'=');
        entry.extend(value.as_bytes());
        c_string(entry, "environment")
    });
    let env = env.collect::<Result<Vec<_>, _>>()?;
    let workflow = launch.profile == Profile::Workflow;
    let without_network =
        launch.sandbox.network == Network::None && workflow && launch.join.is_none();
    let mounts = view
        .mounts
        .as_ref()
        .map(|mounts| lay_out(mounts, workflow))
        .transpose()?;
    let private = view
        .mounts
        .iter()
        .flatten()
        .filter_map(|mount| match mount {
            Mount::Cover(path, Cover::Tmp) => Some(c_path(path)),
            _ => None,
        });
    let private = private.collect::<Result<Vec<_>, _>>()?;
    let joined_tmp = launch
        .join
        .is_some()
        .then(|| vec![c"/tmp".to_owned(), c"/dev/shm".to_owned()])
        .filter(|_| is_root);
    let filter = workflow
        .then(|| seccomp::for_workflow(launch.sandbox.network == Network::None && !is_root))
        .flatten();
    let pointers = |strings: &[CString]| {
        strings
            .iter()
            .map(|text| text.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    Ok(Prepared {
        argv: pointers(&argv),
        envp: pointers(&env),
        title: c_string(name.as_bytes(), "arguments")?,
        strings: argv.into_iter().chain(env).collect(),
        programs,
        workdir: c_path(&launch.workdir)?,
        fds: [
            kept.stdin.as_raw_fd(),
            kept.stdout.as_raw_fd(),
            kept.stderr.as_raw_fd(),
        ],
        extra: kept.extra.as_ref().map(AsRawFd::as_raw_fd),
        report: kept.report.as_raw_fd(),
        cgroup_procs: None,
        join: launch
            .join
            .as_ref()
            .filter(|_| is_root)
            .map(|held| (held.raw(), libc::CLONE_NEWNS | libc::CLONE_NEWNET)),
        mounts,
        private_network: without_network && is_root,
        rlimits: rlimits(launch),
        reset_oom_score: our_oom_score() != 0,
        drop_capabilities: is_root,
        ids: launch
            .user
            .as_ref()
            .filter(|_| is_root)
            .map(|ids| (ids.uid, ids.gid, ids.groups.clone())),
        landlock: kept.landlock.as_ref().map(|rules| {
            (
                rules.fd.as_raw_fd(),
                rules.all,
                joined_tmp.unwrap_or(private),
            )
        }),
        seccomp: filter.map(|filter| libc::sock_fprog {
            len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
            // The kernel reads it only, and both structs are the kernel's sock_filter.
            filter: filter.as_ptr().cast::<libc::sock_filter>().cast_mut(),
        }),
    })
}

/// The plan in C strings, with the sources that are opened first.
fn lay_out(plan: &[Mount], read_only_root: bool) -> Result<Mounts, SpawnError> {
    let mut mounts = Mounts {
        read_only_root,
        sources: Vec::new(),
        trees: Vec::new(),
        ops: Vec::new(),
    };
    for step in plan {
        let op = match step {
            // Tmpfs counts against the workflow's memory where there is a controller, and never takes the box's.
            Mount::Cover(path, Cover::Tmp) => Op::Cover {
                at: c_path(path)?,
                options: c"mode=1777,size=25%".to_owned(),
            },
            Mount::Cover(path, Cover::Blank) => Op::Cover {
                at: c_path(path)?,
                options: c"mode=0755,size=64k".to_owned(),
            },
            Mount::Folder(path) => Op::Folder { at: c_path(path)? },
            Mount::File(path) => Op::File { at: c_path(path)? },
            Mount::Bind {
                path,
                from,
                writable,
            } => {
                mounts.sources.push(c_path(from)?);
                Op::Bind {
                    at: c_path(path)?,
                    tree: mounts.sources.len() - 1,
                    writable: *writable,
                }
            }
        };
        mounts.ops.push(op);
    }
    mounts.trees = vec![-1; mounts.sources.len()];
    Ok(mounts)
}

/// Core dumps off, and what the cgroup does not limit as far as a process can be limited.
fn rlimits(launch: &Launch) -> Vec<(libc::__rlimit_resource_t, u64)> {
    let mut rlimits = vec![(libc::RLIMIT_CORE, 0)];
    if let Some(files) = launch.limits.open_files {
        rlimits.push((libc::RLIMIT_NOFILE, files));
    }
    // Not the address space: run times reserve gigabytes of it that they never use.
    if let Some(memory) = launch.limits.memory {
        rlimits.push((libc::RLIMIT_DATA, memory.0));
    }
    // Counted by user: it limits nobody else only where the user is the workflow's own.
    if let (Some(pids), Some(_)) = (launch.limits.pids, &launch.user) {
        rlimits.push((libc::RLIMIT_NPROC, pids.into()));
    }
    rlimits
}

fn our_oom_score() -> i32 {
    static SCORE: OnceLock<i32> = OnceLock::new();
    *SCORE.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        text.trim().parse().unwrap_or_default()
    })
}

/// Clones with a pidfd, into the cgroup where there is one. All signals are blocked until the child is one of its own.
fn fork(launch: &Launch, prepared: &mut Prepared) -> Result<(i32, OwnedFd), SpawnError> {
    let cgroup = launch
        .cgroup
        .as_deref()
        .map(|path| open_folder(path).map_err(|error| SpawnError::io("cgroup", &error)))
        .transpose()?;
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero is a value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = libc::CLONE_PIDFD.cast_unsigned().into();
    arguments.pidfd = (&raw mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    if let Some(cgroup) = &cgroup {
        arguments.flags |= INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or_default();
    }
    let old = block_signals();
    // SAFETY: like fork(2): the child runs on a copy of our memory, and `child::run` neither allocates nor returns.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<libc::clone_args>(),
        )
    };
    if pid == 0 {
        child::run(prepared);
    }
    let error = io::Error::last_os_error();
    restore_signals(&old);
    if pid < 0 {
        return Err(SpawnError::io("clone into the cgroup", &error));
    }
    // SAFETY: the kernel has made it for us, as CLONE_PIDFD says.
    Ok((i32::try_from(pid).unwrap_or(-1), unsafe {
        OwnedFd::from_raw_fd(pidfd)
    }))
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

/// None: it executes.
fn read_report(report: &OwnedFd) -> Result<Option<(u8, usize, i32)>, String> {
    use nix::poll::{PollFd, PollFlags};
    use std::os::fd::AsFd;
    loop {
        match nix::poll::poll(
            &mut [PollFd::new(report.as_fd(), PollFlags::POLLIN)],
            PATIENCE,
        ) {
            Err(nix::errno::Errno::EINTR) => {}
            Ok(0) => {
                return Err(format!(
                    "it did not come to execute within {} s",
                    PATIENCE / 1000
                ));
            }
            Ok(_) => break,
            Err(errno) => return Err(errno.desc().to_owned()),
        }
    }
    let mut bytes = [0; child::REPORT];
    match nix::unistd::read(report, &mut bytes) {
        Ok(0) => Ok(None),
        Ok(child::REPORT) => {
            let [step, _, which @ .., e0, e1, e2, e3] = bytes;
            Ok(Some((
                step,
                u16::from_ne_bytes(which).into(),
                i32::from_ne_bytes([e0, e1, e2, e3]),
            )))
        }
        Ok(_) => Err("its report is cut off".into()),
        Err(errno) => Err(errno.desc().to_owned()),
    }
}

/// It was killed, or has reported and ends: this does not take long.
fn reap(pidfd: &Pidfd) {
    use nix::poll::{PollFd, PollFlags};
    use std::os::fd::AsFd;
    let _ = nix::poll::poll(
        &mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)],
        PATIENCE,
    );
    let _ = pidfd.wait();
}

/// What the child was doing, in words.
fn name_step(step: u8, which: usize, prepared: &Prepared) -> String {
    let mounts = prepared.mounts.as_ref();
    let path = |path: Option<&CString>| {
        path.map(|path| path.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let source = || path(mounts.and_then(|mounts| mounts.sources.get(which)));
    let target = || path(mounts.and_then(|mounts| mounts.ops.get(which)).map(Op::at));
    match step {
        s if s == Step::Execute as u8 => format!("execute {}", prepared.title.to_string_lossy()),
        s if s == Step::Workdir as u8 => format!(
            "enter the working directory {}",
            prepared.workdir.to_string_lossy()
        ),
        s if s == Step::OpenPath as u8 => format!("open {}", source()),
        s if s == Step::Cover as u8 => format!("cover {}", target()),
        s if s == Step::Folder as u8 => format!("make {}", target()),
        s if s == Step::Bind as u8 => format!("mount {}", target()),
        s if s == Step::Limit as u8 => "resource limits".into(),
        s if s == Step::JoinNamespaces as u8 => {
            "enter the namespaces of the running process".into()
        }
        s if s == Step::MountNamespace as u8 => "mount namespace".into(),
        s if s == Step::Network as u8 || s == Step::Loopback as u8 => "network namespace".into(),
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
