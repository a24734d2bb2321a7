//! The indexer's sandbox, in a process of its own for each attempt.
#![allow(unsafe_code)] // fork: only a process with one thread can be confined.

use std::{
    fs,
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};
use swarm_manifests::status::LastExit;
use swarm_supervisor::os::{identity::Pidfd, indexer::sandbox_self_for_indexer};

/// Runs `attempt` inside the sandbox: a child of fork, so that it has one thread.
fn inside(attempt: fn(&Path) -> bool) -> LastExit {
    let dir = tempfile::tempdir().expect("tempdir");
    fs::write(dir.path().join("pack"), "bytes").expect("written");
    // SAFETY: the child only runs `attempt` and ends without unwinding into the test harness.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let done = std::panic::catch_unwind(|| {
            sandbox_self_for_indexer(dir.path()).is_ok() && attempt(dir.path())
        });
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!done.unwrap_or(false))) };
    }
    let held = Pidfd::open(pid).expect("a child");
    let mut poll = [nix::poll::PollFd::new(
        std::os::fd::AsFd::as_fd(&held),
        nix::poll::PollFlags::POLLIN,
    )];
    assert!(
        nix::poll::poll(&mut poll, 30_000_u16).expect("poll") > 0,
        "it ends"
    );
    held.exit().expect("it ended")
}

fn worked() -> LastExit {
    LastExit::Code { code: 0 }
}

fn killed() -> LastExit {
    LastExit::Signal {
        signal: "SIGSYS".into(),
    }
}

#[test]
fn it_writes_and_reads_its_quarantine() {
    let exit = inside(|dir| {
        let mut file = fs::File::create(dir.join("objects")).expect("created");
        file.write_all(&vec![7; 1 << 20]).expect("written");
        fs::rename(dir.join("objects"), dir.join("renamed")).expect("renamed");
        fs::set_permissions(dir.join("renamed"), fs::Permissions::from_mode(0o444)).expect("mode");
        fs::read(dir.join("pack")).expect("read") == b"bytes"
            && fs::remove_file(dir.join("renamed")).is_ok()
    });
    assert_eq!(exit, worked());
}

#[test]
fn it_makes_plain_files_only() {
    let exit = inside(|dir| {
        fs::create_dir(dir.join("folder")).is_err()
            && std::os::unix::fs::symlink("/etc/passwd", dir.join("link")).is_err()
            && nix::unistd::mkfifo(&dir.join("pipe"), nix::sys::stat::Mode::S_IRWXU).is_err()
    });
    assert_eq!(exit, worked());
}

#[test]
fn it_reads_and_writes_nothing_else() {
    let exit = inside(|_| {
        ["/etc/passwd", "/proc/self/status", "/", "/usr/bin/true"]
            .iter()
            .all(|path| fs::File::open(path).is_err())
            && fs::write("/tmp/swarm-indexer-was-here", "x").is_err()
    });
    assert_eq!(exit, worked());
}

#[test]
fn a_socket_ends_it() {
    assert_eq!(
        inside(|_| std::net::UdpSocket::bind("127.0.0.1:0").is_ok()),
        killed()
    );
    assert_eq!(
        inside(|_| std::os::unix::net::UnixStream::pair().is_ok()),
        killed()
    );
}

#[test]
fn another_process_ends_it() {
    let exit = inside(|_| {
        // SAFETY: the child of a fork that should not be does nothing but end.
        match unsafe { libc::fork() } {
            // SAFETY: it ends this process, and returns to nobody.
            0 => unsafe { libc::_exit(0) },
            pid => pid < 0,
        }
    });
    assert_eq!(exit, killed());
}

#[test]
fn a_new_program_ends_it() {
    assert_eq!(
        inside(|_| Command::new("/bin/true").exec().kind() == std::io::ErrorKind::NotFound),
        killed()
    );
}

#[test]
fn memory_beyond_its_limit_is_an_error_and_no_death() {
    let exit = inside(|_| {
        let mut small = Vec::<u8>::new();
        let mut large = Vec::<u8>::new();
        small.try_reserve(100 << 20).is_ok() && large.try_reserve(300 << 20).is_err()
    });
    assert_eq!(exit, worked());
}

#[test]
fn with_threads_it_does_not_pretend() {
    // The harness runs this beside its main thread.
    let error = sandbox_self_for_indexer(Path::new("/tmp")).expect_err("refused");
    assert_eq!(error.step, "threads");
}
