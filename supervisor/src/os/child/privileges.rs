//! A child gives up what it may, between clone and execve: root goes in, a user with landlock and a filter comes out. Does not allocate.

use super::{Done, Prepared, Step, check};
use libc::{c_int, c_long};
use std::{ffi::CStr, os::fd::RawFd, ptr};

pub(super) fn privileges(prepared: &Prepared<'_>) -> Done {
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

pub(super) fn filters(prepared: &Prepared<'_>) -> Done {
    if let Some((ruleset, all, private)) = &prepared.landlock {
        for path in *private {
            allow_beneath(*ruleset, path, *all)?;
        }
        check(
            // SAFETY: landlock_restrict_self(2) takes integers.
            unsafe { libc::syscall(libc::SYS_landlock_restrict_self, *ruleset, 0) },
            Step::Landlock,
        )?;
    }
    if let Some(files) = prepared.open_files {
        let limit = libc::rlimit {
            rlim_cur: files,
            rlim_max: files,
        };
        // SAFETY: setrlimit(2) reads one rlimit.
        let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        check(done.into(), Step::Limit)?;
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
    let parent = check(
        // SAFETY: a C string of ours; the descriptor is closed by execve.
        unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) }.into(),
        Step::Landlock,
    )?;
    check(add_rule(ruleset, parent, access), Step::Landlock).map(drop)
}

/// Allows something beneath an open folder, or at an open file. Not 0: the kernel's errno says why not.
pub fn add_rule(ruleset: RawFd, parent: RawFd, access: u64) -> c_long {
    const PATH_BENEATH: c_int = 1; // LANDLOCK_RULE_PATH_BENEATH
    #[repr(C, packed)]
    struct PathBeneath {
        access: u64,
        parent: RawFd,
    }
    let rule = PathBeneath { access, parent };
    // SAFETY: landlock_add_rule(2) reads one such struct, packed as linux/landlock.h says.
    unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset,
            PATH_BENEATH,
            &raw const rule,
            0,
        )
    }
}
