//! What a program prints is in its log once and in order, whenever the supervisor is killed.
#![allow(clippy::expect_used)]

mod common;

use common::World;
use std::fs;
use swarm_manifests::{manifest::Mode, status::State, units::ByteSize};

/// Numbered lines, fast, and below what is kept: whole ones on stdout; on stderr in pieces that end anywhere.
const PRINTER: &str = "import os, time\n\
    text, number = b'', 0\n\
    while not os.path.exists('enough'):\n\
    \x20   lines = b''.join(b'%d\\n' % n for n in range(number, number + 100)); number += 100\n\
    \x20   os.write(1, lines)\n\
    \x20   text += lines\n\
    \x20   while len(text) >= 377: os.write(2, text[:377]); text = text[377:]\n\
    \x20   time.sleep(0.002)\n\
    os.write(1, b'end\\n'); os.write(2, text + b'end\\n')\n\
    while True: time.sleep(1)\n";

/// The texts of one stream (`o` or `e`) in an instance's log.
fn texts(world: &World, stream: &str) -> Vec<String> {
    let folder = world.state().join("supervisor/logs/printer");
    let old = fs::read_to_string(folder.join("0.log.1")).unwrap_or_default();
    let new = fs::read_to_string(folder.join("0.log")).unwrap_or_default();
    let lines = old.lines().chain(new.lines());
    let parts = lines.filter_map(|line| {
        let mut parts = line.splitn(3, ' ');
        (parts.nth(1)? == stream).then(|| parts.next().unwrap_or_default().to_owned())
    });
    parts.collect()
}

fn size(world: &World) -> u64 {
    let log = world.state().join("supervisor/logs/printer/0.log");
    fs::metadata(log).map_or(0, |meta| meta.len())
}

#[test]
fn thirty_kills_lose_no_line_and_double_none() {
    let mut world = World::new();
    let mut spec = world.script("printer", Mode::Daemon, PRINTER);
    spec.command = vec!["/usr/bin/python3".into(), "{bundle}/run.sh".into()];
    spec.limits.log = Some(ByteSize(512 << 20));
    world.put(&spec);
    let pid = world.reaches("printer", State::Running).pid;
    let mut seen = 0;
    for round in 0..30 {
        world.until("it prints on", |world| {
            let size = size(world);
            (size > seen + 20_000).then(|| seen = size)
        });
        world.crash();
        world.start();
        let row = world.reaches("printer", State::Running);
        assert_eq!(row.pid, pid, "round {round}");
    }
    fs::write(world.state().join("workflows/printer/0/enough"), "").expect("a file");
    let last = |world: &mut World, stream| {
        world.until("its last line", |world| {
            Some(texts(world, stream)).filter(|t| t.last().is_some_and(|text| text == "end"))
        })
    };
    let whole = last(&mut world, "o");
    let mut numbers = whole.iter().take(whole.len() - 1).enumerate();
    let wrong = numbers.find(|(at, text)| **text != at.to_string());
    assert_eq!(wrong, None, "stdout");
    // A line whose end is long in coming is cut: what is printed is there all the same.
    let pieces = last(&mut world, "e").concat();
    assert!(pieces == whole.concat(), "stderr");
}
