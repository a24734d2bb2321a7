//! Everything that a child needs, made before the fork: a [`Launch`] and its [`View`] come in, [`Prepared`] comes out. Opens files.

use super::{
    arena::Arena,
    child::{Mounts, Op, Prepared},
    confine,
    expose::{Cover, Mount},
    launch::{Launch, Profile},
    seats::Row,
    seccomp,
    spawn::{self, SpawnError},
    view::{self, View},
};
use std::{
    ffi::{CStr, c_char},
    io,
    os::{
        fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::OnceLock,
};
use swarm_manifests::bundle::Network;

/// Descriptors as the child will find them: in its row, or copied to where it does not put them in order.
pub(super) struct Kept {
    stdin: RawFd,
    stdout: RawFd,
    stderr: RawFd,
    extra: Option<RawFd>,
    report: RawFd,
    makers: RawFd,
    join: Option<RawFd>,
    landlock: Option<(RawFd, u64)>,
    /// Until the fork they are open here.
    _copies: Vec<OwnedFd>,
}

impl Kept {
    pub fn new(
        launch: &Launch,
        view: &View,
        (report, makers): (&OwnedFd, &OwnedFd),
        row: Option<&Row>,
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
        let mut copies = Vec::new();
        let mut place = |fd: BorrowedFd<'_>| {
            if let Some(row) = row {
                let seat = row.put(fd);
                return seat.map_err(|error| SpawnError::io("descriptors", &error));
            }
            copies.push(above(&fd)?);
            Ok(copies.last().map_or(-1, AsRawFd::as_raw_fd))
        };
        let join = launch.join.as_ref();
        Ok(Self {
            stdin: place(null.as_fd())?,
            stdout: place(launch.stdout.as_fd())?,
            stderr: place(launch.stderr.as_fd())?,
            extra: launch
                .extra
                .as_ref()
                .map(|fd| place(fd.as_fd()))
                .transpose()?,
            report: place(report.as_fd())?,
            makers: makers.as_raw_fd(),
            join: join.map(|held| place(held.as_fd())).transpose()?,
            landlock: match landlock {
                Some(rules) => Some((place(rules.fd.as_fd())?, rules.all)),
                None => None,
            },
            _copies: copies,
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

/// What the child needs of these, in `arena`.
pub(super) fn prepare<'a>(
    launch: &Launch,
    view: &View,
    kept: &Kept,
    row: Option<&'a Row>,
    arena: &'a Arena,
) -> Result<Prepared<'a>, SpawnError> {
    let is_root = nix::unistd::geteuid().is_root();
    if launch.argv.is_empty() {
        return Err(SpawnError::new("execute", "no command"));
    }
    let workflow = launch.profile == Profile::Workflow;
    let without_network =
        launch.sandbox.network == Network::None && workflow && launch.join.is_none();
    let mounts = view.mounts.as_ref();
    let filter = workflow
        .then(|| seccomp::for_workflow(launch.sandbox.network == Network::None && !is_root))
        .flatten();
    let env = launch.env.iter().map(|(name, value)| {
        let entry = [name.as_bytes(), b"=", value.as_bytes()].concat();
        c_string(arena, &entry, "environment")
    });
    let argv = launch.argv.iter();
    Ok(Prepared {
        programs: list(arena, view::candidates(launch).map(|p| c_path(arena, &p)))?,
        argv: strings(
            arena,
            argv.map(|arg| c_string(arena, arg.as_bytes(), "arguments")),
        )?,
        envp: strings(arena, env)?,
        workdir: c_path(arena, &launch.workdir)?,
        fds: [kept.stdin, kept.stdout, kept.stderr],
        extra: kept.extra,
        report: kept.report,
        makers: kept.makers,
        row: row.map(Row::place),
        cgroup_procs: None,
        join: kept
            .join
            .filter(|_| is_root)
            .map(|held| (held, libc::CLONE_NEWNS | libc::CLONE_NEWNET)),
        mounts: mounts
            .map(|mounts| lay_out(mounts, workflow, arena))
            .transpose()?,
        private_network: without_network && is_root,
        reset_signals: spawn::ignored_signals(),
        rlimits: copy(arena, &rlimits(launch))?,
        open_files: launch.limits.open_files,
        reset_oom_score: our_oom_score() != 0,
        drop_capabilities: is_root,
        ids: match launch.user.as_ref().filter(|_| is_root) {
            Some(ids) => Some((ids.uid, ids.gid, copy(arena, &ids.groups)?)),
            None => None,
        },
        landlock: match kept.landlock {
            Some((rules, all)) => Some((rules, all, private(launch, view, is_root, arena)?)),
            None => None,
        },
        seccomp: filter.map(|filter| program(filter, arena)).transpose()?,
    })
}

/// Where the child has a /tmp of its own, or that of the process that it joins.
fn private<'a>(
    launch: &Launch,
    view: &View,
    is_root: bool,
    arena: &'a Arena,
) -> Result<&'a [&'a CStr], SpawnError> {
    if launch.join.is_some() && is_root {
        return copy(arena, &[c"/tmp", c"/dev/shm"]);
    }
    let private = view
        .mounts
        .iter()
        .flatten()
        .filter_map(|mount| match mount {
            Mount::Cover(path, Cover::Tmp) => Some(c_path(arena, path)),
            _ => None,
        });
    list(arena, private)
}

fn program(
    filter: &[seccompiler::sock_filter],
    arena: &Arena,
) -> Result<libc::sock_fprog, SpawnError> {
    let lines = filter.iter().map(|line| libc::sock_filter {
        code: line.code,
        jt: line.jt,
        jf: line.jf,
        k: line.k,
    });
    let filter = copy(arena, &lines.collect::<Vec<_>>())?;
    Ok(libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
        // The kernel reads it only.
        filter: filter.as_ptr().cast_mut(),
    })
}

/// The plan in C strings, with the sources that are opened first.
fn lay_out<'a>(
    plan: &[Mount],
    read_only_root: bool,
    arena: &'a Arena,
) -> Result<Mounts<'a>, SpawnError> {
    let (mut sources, mut ops) = (Vec::new(), Vec::new());
    for step in plan {
        let at = c_path(arena, step.at())?;
        ops.push(match step {
            // Tmpfs counts against the workflow's memory where there is a controller, and never takes the box's.
            Mount::Cover(_, Cover::Tmp) => Op::Cover {
                at,
                options: c"mode=1777,size=25%",
            },
            Mount::Cover(_, Cover::Blank) => Op::Cover {
                at,
                options: c"mode=0755,size=64k",
            },
            Mount::Folder(_) => Op::Folder { at },
            Mount::File(_) => Op::File { at },
            Mount::Bind { from, writable, .. } => {
                sources.push(c_path(arena, from)?);
                Op::Bind {
                    at,
                    tree: sources.len() - 1,
                    writable: *writable,
                }
            }
        });
    }
    let memory = |error: io::Error| SpawnError::io("memory", &error);
    Ok(Mounts {
        read_only_root,
        trees: arena.copy(&vec![-1; sources.len()]).map_err(memory)?,
        sources: copy(arena, &sources)?,
        ops: copy(arena, &ops)?,
    })
}

/// Core dumps off, and what the cgroup does not limit as far as a process can be limited.
fn rlimits(launch: &Launch) -> Vec<(libc::__rlimit_resource_t, u64)> {
    let mut rlimits = vec![(libc::RLIMIT_CORE, 0)];
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

fn copy<'a, T: Copy>(arena: &'a Arena, items: &[T]) -> Result<&'a [T], SpawnError> {
    match arena.copy(items) {
        Ok(copy) => Ok(copy),
        Err(error) => Err(SpawnError::io("memory", &error)),
    }
}

type Text<'a> = Result<&'a CStr, SpawnError>;

fn list<'a>(
    arena: &'a Arena,
    texts: impl Iterator<Item = Text<'a>>,
) -> Result<&'a [&'a CStr], SpawnError> {
    copy(arena, &texts.collect::<Result<Vec<_>, _>>()?)
}

/// As execve(2) takes them: with null at the end.
fn strings<'a>(
    arena: &'a Arena,
    texts: impl Iterator<Item = Text<'a>>,
) -> Result<&'a [*const c_char], SpawnError> {
    let pointers = texts.map(|text| text.map(CStr::as_ptr));
    let end = std::iter::once(Ok(std::ptr::null()));
    copy(arena, &pointers.chain(end).collect::<Result<Vec<_>, _>>()?)
}

fn c_string<'a>(arena: &'a Arena, text: &[u8], what: &str) -> Text<'a> {
    let text = arena
        .text(text)
        .map_err(|error| SpawnError::io("memory", &error))?;
    text.ok_or_else(|| SpawnError::new(what, "a NUL stands in it"))
}

fn c_path<'a>(arena: &'a Arena, path: &Path) -> Text<'a> {
    c_string(arena, path.as_os_str().as_bytes(), "paths")
}
