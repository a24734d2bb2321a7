//! What is pushed: events to people, nudges to boxes.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha2::Sha256;
use world::{Map, event, line, line_with, row, status};

#[test]
fn every_change_is_an_event() {
    let map = Map::start();
    let mut events = map.stream("/v1/events", &[]);
    line_with(&mut events, "event: hello");
    let mut one = map.join("one", 1);
    line_with(&mut events, "\"action\":\"enrol\"");
    one.report(&map, &json!({ "status": status("a", "a"), "rows": [row("one", "ramp", "running")], "events": [event(1, "start", "ramp")] }));
    // In either order: the audit is the store's to tell, the row the fleet's.
    let mut wanted = vec!["event: row", "\"action\":\"start\""];
    while !wanted.is_empty() {
        let line = line_with(&mut events, "");
        wanted.retain(|text| !line.contains(text));
    }
    one.report(&map, &json!({ "rows": [] }));
    line_with(&mut events, "event: gone");
}

#[test]
fn who_comes_back_gets_what_was_missed_and_only_that() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let mut events = map.stream("/v1/events", &[]);
    line_with(&mut events, "event: hello");
    one.report(&map, &json!({ "events": [event(1, "start", "ramp")] }));
    let id = line_with(&mut events, "id: ");
    drop(events);
    one.report(&map, &json!({ "events": [event(2, "exit", "ramp")] }));
    let mut again = map.stream(
        "/v1/events",
        &[("Last-Event-ID", id.trim_start_matches("id: "))],
    );
    let first = line_with(&mut again, "\"action\":");
    assert!(first.contains("\"exit\""), "{first}");
}

#[test]
fn who_was_away_over_a_restart_is_told_to_read_anew() {
    let map = Map::start();
    for id in [
        "1-1",
        "nonsense",
        "-",
        "99999999999999999999-1",
        "1-99999999999999999999",
    ] {
        let mut events = map.stream("/v1/events", &[("Last-Event-ID", id)]);
        line_with(&mut events, "event: reset");
    }
}

fn signed(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[test]
fn a_webhook_nudges_every_box_that_watches() {
    let map = Map::start_with(|settings| settings.webhook_secrets = vec!["secret".into()]);
    let boxes = [map.join("one", 1), map.join("two", 2)];
    let mut watches = boxes.each_ref().map(|one| {
        let mut watch = map.stream(
            &format!("/v1/boxes/{}/watch", one.name),
            &[("Authorization", &format!("Bearer {}", one.session))],
        );
        // The first line says that the watch has begun.
        line(&mut watch);
        watch
    });
    let body = b"{\"ref\":\"refs/heads/main\"}";
    let answer = map.request(
        "POST",
        "/hooks/github",
        &[("X-Hub-Signature-256", &signed(body))],
        body,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    for watch in &mut watches {
        assert_eq!(line_with(watch, "look"), "{\"look\":true}");
    }
    // Who was away just then is nudged on coming back.
    let bearer = format!("Bearer {}", boxes[0].session);
    line_with(
        &mut map.stream("/v1/boxes/one/watch", &[("Authorization", &bearer)]),
        "look",
    );
}

#[test]
fn a_compressed_or_too_large_webhook_is_refused_as_an_agent_refuses_it() {
    let map = Map::start_with(|settings| settings.webhook_secrets = vec!["secret".into()]);
    let body = b"{}";
    let headers = [
        ("X-Hub-Signature-256", &*signed(body)),
        ("Content-Encoding", "gzip"),
    ];
    map.request("POST", "/hooks/github", &headers, body)
        .is_problem(415);
    let large = vec![b' '; (1 << 20) + 1];
    let headers = [("X-Hub-Signature-256", &*signed(&large))];
    map.request("POST", "/hooks/github", &headers, &large)
        .is_problem(413);
}

#[test]
fn a_forged_webhook_nudges_nobody() {
    let map = Map::start_with(|settings| settings.webhook_secrets = vec!["secret".into()]);
    let body = b"{}";
    let good = signed(body);
    let wrong = signed(b"{ }");
    for provider in ["github", "gitlab", "gitea", "bitbucket", "generic"] {
        let path = format!("/hooks/{provider}");
        map.request("POST", &path, &[], body).is_problem(401);
        for signature in [
            wrong.as_str(),
            "",
            "sha256=",
            "sha1=00",
            &good.to_uppercase(),
            &good[..20],
            "\u{e9}",
        ] {
            let headers = [
                ("X-Hub-Signature-256", signature),
                ("X-Hub-Signature", signature),
                ("X-Gitea-Signature", signature),
                ("X-Gitlab-Token", signature),
            ];
            map.request("POST", &path, &headers, body).is_problem(401);
        }
    }
    assert!(
        map.get("/metrics")
            .body
            .contains("swarm_map_nudges_total 0\n")
    );
}

#[test]
fn without_a_secret_there_are_no_webhooks() {
    let map = Map::start();
    let answer = map.request(
        "POST",
        "/hooks/github",
        &[("X-Hub-Signature-256", &signed(b""))],
        b"",
    );
    answer.is_problem(404);
}

#[test]
fn a_box_holds_one_watch() {
    let map = Map::start();
    let one = map.join("one", 1);
    let bearer = format!("Bearer {}", one.session);
    let mut first = map.stream("/v1/boxes/one/watch", &[("Authorization", &bearer)]);
    line(&mut first);
    let mut second = map.stream("/v1/boxes/one/watch", &[("Authorization", &bearer)]);
    line(&mut second);
    while line(&mut first).is_some() {}
}
