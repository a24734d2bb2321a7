//! Another program takes the supervisor's place: nothing that runs notices, nothing is lost, and a bad program is refused.
#![allow(clippy::expect_used)]

mod common;

use common::{World, lives};
use std::{fs, os::unix::net::UnixDatagram, time::Duration};
use swarm_manifests::{
    bundle::{Probe, Ready},
    manifest::Mode,
    status::{LastExit, State},
    units::ByteSize,
};
use swarm_supervisor::{
    client,
    protocol::{FromAgent, Request, Response},
};

/// Numbered lines until the file `enough` is there.
const COUNTER: &str = "i=0; while ! test -e $SWARM_STATE/enough; do echo $i; i=$((i+1)); [ $((i % 20)) != 0 ] || sleep 0.02; done; while :; do sleep 1; done";

fn upgrade(world: &mut World, binary: Option<&str>) -> Response {
    let mut client = client::connect(&world.control()).expect("connected");
    client
        .send(&Request::Upgrade {
            binary: binary.map(Into::into),
        })
        .expect("sent");
    client.receive().expect("an answer")
}

#[test]
fn ten_upgrades_in_a_row_keep_every_process_every_line_and_every_waiting_client() {
    let mut world = World::new();
    let mut counter = world.script("counter", Mode::Daemon, COUNTER);
    counter.limits.log = Some(ByteSize(1 << 30));
    world.put(&counter);
    let script = "until test -e $SWARM_STATE/go; do sleep 0.02; done; exit 7";
    world.put(&world.script("once", Mode::Once, script));
    let mut ready = world.script("ready", Mode::Daemon, "while :; do sleep 1; done");
    ready.ready = Some(Ready {
        probe: Probe::Notify,
        timeout: Duration::from_secs(600),
    });
    world.put(&ready);
    let mut stubborn = world.script(
        "stubborn",
        Mode::Daemon,
        "trap '' TERM; while :; do sleep 0.1; done",
    );
    stubborn.stop.grace = Duration::from_secs(6);
    world.put(&stubborn);
    for name in ["counter", "once", "stubborn"] {
        world.reaches(name, State::Running);
    }
    let supervisor = world.pid();
    let pids = |world: &World| -> Vec<_> {
        let rows = world.rows().into_iter();
        rows.map(|row| (row.workflow, row.pid, row.restarts))
            .collect()
    };
    let before = pids(&world);
    // Somebody waits for a kill meanwhile.
    let mut waiting = client::connect(&world.control()).expect("connected");
    waiting
        .send(&Request::Kill {
            workflow: "stubborn".into(),
            reason: None,
            hold: false,
        })
        .expect("sent");
    world.reaches("stubborn", State::Stopping);
    for _ in 0..10 {
        let answer = upgrade(&mut world, None);
        assert!(
            matches!(&answer, Response::Done { exit: 0, message: Some(text) } if text.contains("upgraded in place")),
            "{answer:?}"
        );
        world.meet();
        assert_eq!((world.pid(), pids(&world)), (supervisor, before.clone()));
    }
    let answer = waiting.receive().expect("an answer");
    assert!(
        matches!(answer, Response::Done { exit: 0, .. }),
        "{answer:?}"
    );
    assert_eq!(world.reaches("stubborn", State::Killed).pid, None);
    fs::write(world.state().join("workflows/once/0/go"), "").expect("a file");
    let row = world.reaches("once", State::Failed);
    assert_eq!(row.last_exit, Some(LastExit::Code { code: 7 }));
    assert!(world.control().with_file_name("notify-ready-0").exists());
    fs::write(world.state().join("workflows/counter/0/enough"), "").expect("a file");
    let mut seen = 0;
    let lines = world.until("it printed its last line", |world| {
        let lines = world.log("counter");
        let same = lines.len() == seen;
        seen = lines.len();
        same.then_some(lines)
    });
    // The newest hundred thousand.
    let first: usize = lines[0].parse().expect("a number");
    let wrong = lines
        .iter()
        .enumerate()
        .find(|(at, line)| **line != (first + at).to_string());
    assert!(
        lines.len() > 100 && wrong.is_none(),
        "{} lines, {wrong:?}",
        lines.len()
    );
    let verified = world.ask(&Request::History {
        workflow: None,
        verify: true,
    });
    assert!(
        matches!(verified.last(), Some(Response::Done { exit: 0, .. })),
        "{verified:?}"
    );
}

#[test]
fn a_program_that_does_not_run_or_fails_its_trial_is_refused_and_all_goes_on() {
    let mut world = World::new();
    world.put(&world.script("web", Mode::Daemon, "while :; do sleep 1; done"));
    let pid = world.reaches("web", State::Running).pid;
    let text = world.folder.path().join("text");
    fs::write(&text, "no program").expect("a file");
    let broken = world.folder.path().join("broken");
    fs::copy("/bin/false", &broken).expect("a program");
    for (path, why) in [
        ("/nonexistent/program", "No such file"),
        (text.to_str().expect("a path"), "denied"),
        (broken.to_str().expect("a path"), "exited with code 1"),
    ] {
        let answer = upgrade(&mut world, Some(path));
        assert!(
            matches!(&answer, Response::Failed { exit: 1, message, .. } if message.contains(why)),
            "{path}: {answer:?}"
        );
    }
    // So is one that cannot read what was saved.
    let unreadable = world.state().join("supervisor/workflows/other.state");
    fs::write(&unreadable, "of another format").expect("a file");
    let answer = upgrade(&mut world, None);
    assert!(
        matches!(&answer, Response::Failed { message, .. } if message.contains("other.state")),
        "{answer:?}"
    );
    fs::remove_file(&unreadable).expect("a file");
    assert_eq!(world.rows()[0].pid, pid);
    // The agent was not troubled: it still is the one that says what runs.
    let other = world.script("other", Mode::Daemon, "while :; do sleep 1; done");
    world.tell(&FromAgent::Put(Box::new(other)));
    world.reaches("other", State::Running);
    assert!(lives(world.pid()));
}

#[test]
fn what_a_program_notified_meanwhile_is_heard_afterwards() {
    let mut world = World::new();
    let mut spec = world.script(
        "app",
        Mode::Daemon,
        "import os, socket, time\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.connect(os.environ['NOTIFY_SOCKET'])\nn = 0\nwhile True:\n    s.send(b'STATUS=%d' % n); n += 1; time.sleep(0.01)\n    if os.path.exists('go'): s.send(b'READY=1'); time.sleep(600)\n",
    );
    spec.command = vec!["/usr/bin/python3".into(), "{bundle}/run.sh".into()];
    spec.ready = Some(Ready {
        probe: Probe::Notify,
        timeout: Duration::from_secs(600),
    });
    world.put(&spec);
    world.until("it says something", |world| {
        world.rows()[0]
            .reason
            .clone()
            .filter(|r| r.contains("it says"))
    });
    let socket = world.control().with_file_name("notify-app-0");
    let inode = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(path).expect("its socket").ino()
    };
    let before = inode(&socket);
    upgrade(&mut world, None);
    world.meet();
    // The program is connected to the very socket: another one in its place would be deaf to it.
    assert_eq!(inode(&socket), before);
    UnixDatagram::unbound()
        .expect("a socket")
        .send_to(b"READY=1", &socket)
        .expect("it listens");
    fs::write(world.state().join("workflows/app/0/go"), "").expect("a file");
    world.reaches("app", State::Ready);
}
