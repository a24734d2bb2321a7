//! What many, slow and broken connections do to the map: nothing.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};
use world::Map;

#[test]
fn idle_connections_make_room_for_those_who_ask_something() {
    let map = Map::start_with(|settings| settings.connections = 64);
    let idle: Vec<_> = (0..500).map(|_| map.connect()).collect();
    for _ in 0..20 {
        assert_eq!(map.get("/healthz").status, 200);
    }
    drop(idle);
}

#[test]
fn a_body_that_drips_is_cut() {
    let map = Map::start_with(|settings| {
        settings.patience = Duration::from_millis(300);
        settings.webhook_secrets = vec!["secret".into()];
    });
    let mut stream = map.connect();
    stream
        .write_all(b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        .unwrap();
    world::read_answer(stream).is_problem(408);
}

#[test]
fn a_head_that_never_ends_is_cut() {
    let map = Map::start();
    let mut stream = map.connect();
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    for at in 0..100_000 {
        if stream
            .write_all(format!("X-{at}: {}\r\n", "x".repeat(100)).as_bytes())
            .is_err()
        {
            break;
        }
    }
    let answer = world::read_answer(stream);
    assert!([431, 400, 0].contains(&answer.status), "{answer:?}");
    assert_eq!(map.get("/healthz").status, 200);
}

#[test]
fn what_is_not_http_gets_no_page() {
    let map = Map::start();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = map.connect();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{garbage:?}");
    }
    assert_eq!(map.get("/healthz").status, 200);
}

#[test]
fn a_map_that_is_told_to_end_ends_with_streams_open() {
    let mut map = Map::start();
    let one = map.join("one", 1);
    let _events = map.stream("/v1/events", &[]);
    let _watch = map.stream(
        "/v1/boxes/one/watch",
        &[("Authorization", &format!("Bearer {}", one.session))],
    );
    let _idle = map.connect();
    map.stop();
}
