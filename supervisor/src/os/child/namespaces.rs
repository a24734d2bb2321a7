//! Namespaces of a child's own, between clone and execve: a plan of mounts comes in, it sees that and nothing else. Does not allocate.

use super::{Done, Failure, Step, check, errno};
use libc::{c_char, c_int};
use std::{ffi::CStr, os::fd::RawFd};

/// A mount, as the kernel takes it.
#[derive(Debug, Clone, Copy)]
pub enum Op<'a> {
    Cover {
        at: &'a CStr,
        options: &'static CStr,
    },
    Folder {
        at: &'a CStr,
    },
    File {
        at: &'a CStr,
    },
    Bind {
        at: &'a CStr,
        tree: usize,
        writable: bool,
    },
}

/// The mount namespace: what to open before anything is covered, and then what to do.
#[derive(Debug)]
pub struct Mounts<'a> {
    pub read_only_root: bool,
    /// Opened first, as detached copies, into `trees`.
    pub sources: &'a [&'a CStr],
    pub trees: &'a mut [RawFd],
    pub ops: &'a [Op<'a>],
}

pub(super) fn private_mounts(mounts: &mut Mounts<'_>) -> Done {
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
        mount(op, mounts.trees).map_err(|failure| Failure { which, ..failure })?;
    }
    Ok(())
}

fn mount(op: &Op<'_>, trees: &[RawFd]) -> Done {
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

/// A network of its own with nothing in it but a loopback; that one works where we may administer networks (not in every
/// container), and is no less private where it stays down.
pub(super) fn private_network() -> Done {
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
    let up = check(
        // SAFETY: SIOCSIFFLAGS reads one ifreq.
        unsafe { libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request) }.into(),
        Step::Loopback,
    );
    match up {
        Err(failure) if failure.errno != libc::EPERM => Err(failure),
        _ => Ok(()),
    }
}
