//! Everything that a child needs, made before the fork: a [`Launch`] and its [`View`] come in, [`Prepared`] comes out. Opens files.

use super::{
    child::{Mounts, Op, Prepared},
    confine,
    expose::{Cover, Mount},
    launch::{Launch, Profile},
    seccomp,
    spawn::SpawnError,
    view::{self, View},
};
use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
    sync::OnceLock,
};
use swarm_manifests::bundle::Network;

/// Descriptors that must stay open until the child executes.
pub(super) struct Kept {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    extra: Option<OwnedFd>,
    report: OwnedFd,
    makers: RawFd,
    landlock: Option<confine::Rules>,
}

impl Kept {
    pub fn new(
        launch: &Launch,
        view: &View,
        (report, makers): (&OwnedFd, &OwnedFd),
    ) -> Result<Self, SpawnError> {
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
            makers: makers.as_raw_fd(),
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

pub(super) fn prepare(
    launch: &Launch,
    view: &View,
    kept: &Kept,
    is_root: bool,
) -> Result<Prepared, SpawnError> {
    let Some(name) = launch.argv.first() else {
        return Err(SpawnError::new("execute", "no command"));
    };
    let programs = view::candidates(launch)
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
        makers: kept.makers,
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

fn c_string(text: impl Into<Vec<u8>>, what: &str) -> Result<CString, SpawnError> {
    CString::new(text).map_err(|_| SpawnError::new(what, "a NUL stands in it"))
}

fn c_path(path: &Path) -> Result<CString, SpawnError> {
    c_string(path.as_os_str().as_bytes(), "paths")
}
