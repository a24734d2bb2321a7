//! Lines of logs go on to journald or syslog, and nobody waits for either.
#![allow(clippy::expect_used)]

mod common;

use common::World;
use std::{fs, os::unix::net::UnixDatagram, path::Path};
use swarm_manifests::{manifest::Mode, status::State};

/// Somebody who listens at `path`, and reads when asked to.
fn listener(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("a socket");
    socket.set_nonblocking(true).expect("it does not wait");
    socket
}

/// Everything that came there.
fn read(socket: &UnixDatagram, into: &mut Vec<String>) {
    let mut datagram = vec![0; 1 << 20];
    while let Ok(count) = socket.recv(&mut datagram) {
        into.push(String::from_utf8_lossy(&datagram[..count]).into_owned());
    }
}

/// The message of each datagram of journald's that came from a stream.
fn messages(datagrams: &[String], stream: &str) -> Vec<String> {
    let field = |datagram: &str, name: &str| {
        let mut lines = datagram.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    let of_it = datagrams
        .iter()
        .filter(|datagram| field(datagram, "SWARM_STREAM=").as_deref() == Some(stream));
    of_it
        .filter_map(|datagram| field(datagram, "MESSAGE="))
        .collect()
}

#[test]
fn journald_gets_every_line_in_order_with_whose_it_is() {
    let mut world = World::new_forwarding("journald");
    let socket = listener(&world.log_socket());
    let script = "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; echo '<3>bad' >&2; printf half";
    world.put(&world.script("ramp", Mode::Once, script));
    let mut got = Vec::new();
    world.until("every line came", |_| {
        read(&socket, &mut got);
        let texts = messages(&got, "stdout");
        (texts.last().is_some_and(|text| text == "half") && messages(&got, "stderr") == ["bad"])
            .then_some(())
    });
    let wanted: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
    assert_eq!(messages(&got, "stdout")[..500], wanted);
    let bad = got.iter().find(|text| text.contains("MESSAGE=bad\n"));
    let bad = bad.expect("what went to stderr");
    for field in [
        "PRIORITY=3\n",
        "SYSLOG_IDENTIFIER=ramp\n",
        "SYSLOG_PID=",
        "SWARM_WORKFLOW=ramp\n",
        "SWARM_INSTANCE=0\n",
    ] {
        assert!(bad.contains(field), "{field} in {bad}");
    }
    world.reaches("ramp", State::Finished);
    assert!(
        world.list(true)[0].dropped.is_none(),
        "{:?}",
        world.list(true)
    );
}

#[test]
fn syslog_gets_lines_as_the_c_library_writes_them() {
    let mut world = World::new_forwarding("syslog");
    let socket = listener(&world.log_socket());
    world.put(&world.script("ramp", Mode::Once, "echo hello"));
    let mut got = Vec::new();
    let line = world.until("the line came", |_| {
        read(&socket, &mut got);
        got.iter().find(|line| line.ends_with(": hello")).cloned()
    });
    assert!(line.starts_with("<30>"), "{line}");
    assert!(line.contains(" ramp["), "{line}");
}

#[test]
fn one_that_does_not_read_holds_nobody_up_and_what_it_missed_is_counted() {
    let mut world = World::new_forwarding("journald");
    let socket = listener(&world.log_socket());
    let script = "i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done";
    world.put(&world.script("ramp", Mode::Once, script));
    world.reaches("ramp", State::Finished);
    assert_eq!(world.log("ramp").len(), 5000, "the log itself has them all");
    let missed = world.until("what it missed is counted", |world| {
        let dropped = world.list(true).into_iter().next()?.dropped?;
        (dropped.unforwarded > 0).then_some(dropped)
    });
    assert_eq!((missed.lines, missed.bytes), (0, 0), "{missed:?}");
    // When it reads again it gets what waited, and what comes.
    world.put(&world.script("other", Mode::Once, "echo fresh"));
    let mut got = Vec::new();
    world.until("it goes on", |_| {
        read(&socket, &mut got);
        messages(&got, "stdout")
            .contains(&"fresh".to_owned())
            .then_some(())
    });
    let of_ramp = |got: &[String]| {
        let lines = got.iter();
        lines
            .filter(|line| line.contains("SWARM_WORKFLOW=ramp\n"))
            .count() as u64
    };
    // What it printed, and the two remarks: that it was started, and how it ended.
    world.until("what waited came", |_| {
        read(&socket, &mut got);
        (of_ramp(&got) + missed.unforwarded == 5002).then_some(())
    });
}

#[test]
fn lines_wait_for_one_who_is_not_there_yet_and_find_one_who_came_back() {
    let mut world = World::new_forwarding("journald");
    world.put(&world.script("ramp", Mode::Once, "echo early"));
    world.reaches("ramp", State::Finished);
    let mut got = Vec::new();
    let socket = listener(&world.log_socket());
    world.until("what was early came", |_| {
        read(&socket, &mut got);
        messages(&got, "stdout")
            .contains(&"early".to_owned())
            .then_some(())
    });
    drop(socket);
    fs::remove_file(world.log_socket()).expect("it was there");
    world.put(&world.script("other", Mode::Once, "echo late"));
    world.reaches("other", State::Finished);
    let socket = listener(&world.log_socket());
    world.until("what was late came", |_| {
        read(&socket, &mut got);
        messages(&got, "stdout")
            .contains(&"late".to_owned())
            .then_some(())
    });
}
