//! What a program prints is in its log once and in order, whenever the supervisor is killed.
#![allow(clippy::expect_used)]

mod common;

use common::World;
use std::fs;
use swarm_manifests::{manifest::Mode, status::State, units::ByteSize};

/// Numbered lines, written in pieces that end anywhere, on both streams; fast, and below what is kept.
const PRINTER: &str = "import os, time\n\
    text, number = [b'', b''], [0, 0]\n\
    while not os.path.exists('enough'):\n\
    \x20   for fd in (1, 2):\n\
    \x20       at = fd - 1\n\
    \x20       while len(text[at]) < 777:\n\
    \x20           text[at] += b'%d\\n' % number[at]; number[at] += 1\n\
    \x20       os.write(fd, text[at][:777]); text[at] = text[at][777:]\n\
    \x20   time.sleep(0.002)\n\
    for fd in (1, 2):\n\
    \x20   os.write(fd, text[fd - 1] + b'end\\n')\n\
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
    for stream in ["o", "e"] {
        let texts = world.until("its last line", |world| {
            Some(texts(world, stream)).filter(|t| t.last().is_some_and(|text| text == "end"))
        });
        let mut numbers = texts.iter().take(texts.len() - 1);
        let wrong = numbers
            .by_ref()
            .enumerate()
            .find(|(at, text)| **text != at.to_string());
        assert_eq!(wrong, None, "stream {stream}");
    }
}
