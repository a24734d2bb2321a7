//! `sd_notify(3)` by real programs: ready, status, watchdog, stopping, longer timeouts; and nobody else's word counts.
#![allow(clippy::expect_used)]

mod common;

use common::World;
use std::{fs, os::unix::net::UnixDatagram, path::PathBuf, time::Duration};
use swarm_manifests::{
    bundle::{Health, Probe, Ready},
    manifest::Mode,
    status::{Row, State},
};
use swarm_supervisor::protocol::{Request, RunSpec};

/// A Python program that says what stands in the file `say`, one message a line, whenever that file comes; `extra` runs first.
fn speaker(world: &World, mode: Mode, extra: &str) -> RunSpec {
    let script = format!(
        "import os, socket, time\n\
         s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
         s.connect(os.environ['NOTIFY_SOCKET'])\n\
         say = lambda text: s.send(text.encode())\n\
         {extra}\n\
         while True:\n\
         \x20   try:\n\
         \x20       words = open('say').read(); os.rename('say', 'said')\n\
         \x20   except FileNotFoundError:\n\
         \x20       time.sleep(0.02); continue\n\
         \x20   for word in words.splitlines():\n\
         \x20       exit(3) if word == 'exit' else say(word.replace('|', '\\n'))\n"
    );
    let mut spec = world.script("app", mode, &script);
    spec.command = vec!["/usr/bin/python3".into(), "{bundle}/run.sh".into()];
    spec.ready = Some(Ready {
        probe: Probe::Notify,
        timeout: Duration::from_secs(60),
    });
    spec
}

fn say(world: &World, text: &str) {
    let folder = world.state().join("workflows/app/0");
    fs::write(folder.join("say.new"), text).expect("a file");
    fs::rename(folder.join("say.new"), folder.join("say")).expect("a file");
}

fn socket(world: &World) -> PathBuf {
    world.control().with_file_name("notify-app-0")
}

fn row(world: &mut World, what: &str, is: impl Fn(&Row) -> bool) -> Row {
    world.until(what, |world| world.rows().into_iter().find(|row| is(row)))
}

fn says(row: &Row, text: &str) -> bool {
    row.reason
        .as_deref()
        .is_some_and(|reason| reason.contains(text))
}

#[test]
fn what_it_says_of_itself_is_shown_and_a_stranger_s_word_is_not_heeded() {
    let mut world = World::new();
    let spec = speaker(&world, Mode::Daemon, "");
    world.put(&spec);
    world.until("its socket is there", |world| {
        socket(world).exists().then_some(())
    });
    // We are root, so the socket takes our word; it is not its own.
    let stranger = UnixDatagram::unbound().expect("a socket");
    stranger
        .send_to(b"STATUS=forged\nREADY=1", socket(&world))
        .expect("sent");
    say(&world, "STATUS=warming up");
    let row = row(&mut world, "its status", |row| says(row, "warming up"));
    assert_eq!(row.state, State::Starting, "{row:?}");
    say(&world, "READY=1|STATUS=serving");
    world.reaches("app", State::Ready);
    self::row(&mut world, "its new status", |row| says(row, "serving"));
}

#[test]
fn a_watchdog_that_falls_silent_restarts_and_one_that_barks_does_not() {
    let mut world = World::new();
    let bark = "say('READY=1')\nassert os.environ['WATCHDOG_USEC'] == '300000'\nsilent = os.path.exists('silent')\nimport threading\ndef bark():\n    while not os.path.exists('silent') or os.path.exists('again'):\n        say('WATCHDOG=1'); time.sleep(0.05)\nthreading.Thread(target=bark, daemon=True).start()";
    let mut spec = speaker(&world, Mode::Daemon, bark);
    spec.health = Some(Health {
        probe: Probe::Notify,
        every: Duration::from_millis(300),
        failures: 3,
    });
    world.put(&spec);
    let first = world.reaches("app", State::Ready);
    row(&mut world, "some intervals", |row| {
        row.up_s.is_some_and(|up| up > 2.0)
    });
    // Over our own death it is not held against it that nobody heard it.
    world.crash();
    world.start();
    let second = row(&mut world, "found again", |row| row.pid.is_some());
    assert_eq!((second.pid, second.restarts), (first.pid, 0));
    let folder = world.state().join("workflows/app/0");
    fs::write(folder.join("silent"), "").expect("a file");
    let third = row(&mut world, "a restart", |row| row.restarts == 1);
    assert!(
        world
            .ask(&Request::History {
                workflow: None,
                verify: false
            })
            .iter()
            .any(|line| format!("{line:?}").contains("did not say WATCHDOG=1")),
        "{third:?}"
    );
    fs::write(folder.join("again"), "").expect("a file");
    world.reaches("app", State::Ready);
    say(&world, "WATCHDOG=trigger");
    row(&mut world, "a restart by its own finding", |row| {
        row.restarts >= 2
    });
}

#[test]
fn what_asks_for_longer_is_not_given_up_before_that() {
    let mut world = World::new();
    let mut spec = speaker(
        &world,
        Mode::Once,
        "say('EXTEND_TIMEOUT_USEC=500000000\\nSTATUS=long')",
    );
    spec.ready = Some(Ready {
        probe: Probe::Notify,
        timeout: Duration::from_secs(3),
    });
    world.put(&spec);
    row(&mut world, "later than its timeout", |row| {
        assert_eq!(row.state, State::Starting, "{row:?}");
        row.up_s.is_some_and(|up| up > 4.0)
    });
    say(&world, "READY=1");
    world.reaches("app", State::Ready);
}

#[test]
fn what_says_that_it_ends_is_stopping_and_its_exit_counts() {
    let mut world = World::new();
    let mut spec = speaker(&world, Mode::Once, "say('READY=1')");
    spec.stop.grace = Duration::from_secs(600);
    world.put(&spec);
    world.reaches("app", State::Ready);
    say(&world, "STOPPING=1");
    world.reaches("app", State::Stopping);
    say(&world, "exit");
    let row = world.reaches("app", State::Failed);
    assert!(says(&row, "exited with code 3"), "{row:?}");
}
