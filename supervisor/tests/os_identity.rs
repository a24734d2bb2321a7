//! Processes that are not our children: held, and their end told as far as the kernel knows it.

mod os_world;

use os_world::until;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};
use swarm_manifests::status::LastExit;
use swarm_supervisor::os::{
    clock,
    identity::{self, Identity, Pidfd, adopt},
};

/// A shell whose grandchild waits for a line, and the grandchild's identity.
fn grandchild(script: &str) -> (Child, Identity) {
    let mut command = Command::new("sh");
    let mut shell = command
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut line = String::new();
    BufReader::new(shell.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("a line");
    let pid = line.trim().parse().expect("a pid");
    let start_time = identity::start_time(pid).expect("it runs");
    (
        shell,
        Identity {
            pid,
            start_time,
            boot_id: clock::boot_id().into(),
        },
    )
}

fn end(held: &Pidfd) -> LastExit {
    let mut exit = None;
    until("it ends", || {
        exit = held.exit();
        exit.is_some()
    });
    exit.expect("it ended")
}

#[test]
fn a_zombie_that_its_parent_never_reaps_tells_its_exit_code() {
    // exec: what was the shell goes on as sleep, which asks for no child.
    let (mut shell, known) =
        grandchild("exec 3<&0; (read line <&3; exit 9) & echo $!; exec sleep 60");
    let held = adopt(&known).expect("adopted");
    assert_eq!(held.exit(), None);
    shell
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"go\n")
        .expect("written");
    assert_eq!(end(&held), LastExit::Code { code: 9 });
    shell.kill().expect("killed");
    shell.wait().expect("reaped");
}

#[test]
fn one_that_its_parent_has_reaped_tells_it_where_the_kernel_keeps_it() {
    let (mut shell, known) = grandchild(
        "exec 3<&0; (read line <&3; kill -USR1 $(exec sh -c 'echo $PPID')) & echo $!; wait; read line",
    );
    let held = adopt(&known).expect("adopted");
    shell
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"go\n")
        .expect("written");
    // Reaped by the shell, or still a zombie: both are told alike from Linux 6.15 on.
    until("it is reaped", || {
        held.has_ended() && identity::start_time(known.pid).is_none()
    });
    let exit = end(&held);
    let kept = LastExit::Signal {
        signal: "SIGUSR1".into(),
    };
    assert!(
        exit == kept || exit == LastExit::Unseen { seen: false },
        "{exit:?}"
    );
    if keeps_exits() {
        assert_eq!(exit, kept);
    }
    // Its input is closed, so it ends by itself; the test of orphans beside us may have reaped it.
    let _ = shell.kill();
    let _ = shell.wait();
}

fn keeps_exits() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn orphans_are_reaped_and_our_own_children_are_left_to_whoever_waits_for_them() {
    identity::become_subreaper().expect("subreaper");
    let mut own = Command::new("true").spawn().expect("true");
    let own_pid = own.id().cast_signed();
    // Its parent ends, and it comes to us.
    let (mut shell, orphan) = grandchild("exec 3<&0; (read line <&3; exit 0) & echo $!; read line");
    let held = adopt(&orphan).expect("adopted");
    let mut stdin = shell.stdin.take().expect("a pipe");
    shell.kill().expect("killed");
    shell.wait().expect("reaped");
    stdin.write_all(b"go\n").expect("written");
    until("the orphan ends", || held.has_ended());
    until("it is reaped", || {
        identity::reap_orphans(&|pid| pid == own_pid).contains(&orphan.pid)
    });
    assert!(own.wait().expect("still there to be waited for").success());
}

#[test]
fn an_ordinary_user_gets_all_of_this_as_far_as_it_goes() {
    os_world::again_as_ordinary_user("an_ordinary_user_gets");
}
