//! What boxes report: taken once, bounded, kept, shown.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use serde_json::{Value, json};
use std::{io::Write as _, time::Duration};
use world::{Map, event, row, status};

#[test]
fn what_a_box_reports_is_shown() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let answer = one.report(&map, &json!({ "status": status("a", "a"), "rows": [row("one", "ramp", "running"), row("one", "web", "failed")] }));
    assert_eq!(answer.json(), json!({ "next_in_s": 15, "resend": false }));
    let view = map.json("/v1/boxes");
    let view = &view["items"][0];
    for (name, value) in [
        ("box", json!("one")),
        ("state", json!("online")),
        ("labels", json!({ "site": "berkeley" })),
        ("commit", json!("a")),
        ("position", json!(7)),
        ("remote_head", json!("a")),
        ("workflows", json!(2)),
        ("running", json!(1)),
        ("wrong", json!(1)),
        ("agent_version", json!("0.1.0")),
        ("location", json!([37.8, -122.2])),
    ] {
        assert_eq!(view[name], value, "{name} of {view}");
    }
    let workflow = map.json("/v1/workflows/ramp");
    assert_eq!(workflow["states"], json!({ "running": 1 }));
    assert_eq!(workflow["boxes"][0], row("one", "ramp", "running"));
    assert_eq!(
        (&workflow["by"], &workflow["versions"]),
        (&json!("alice"), &json!(["1.2.0"]))
    );
}

#[test]
fn measures_go_to_the_row_of_their_process_and_stay_while_it_lives() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let bare = |workflow: &str, pid: i32| {
        let mut bare = row("one", workflow, "running");
        bare["pid"] = json!(pid);
        bare["memory_bytes"] = Value::Null;
        bare["cpu_s"] = Value::Null;
        bare
    };
    let uses = |map: &Map| -> Vec<Value> {
        let rows = map.json("/v1/boxes/one")["rows"].clone();
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter()
            .map(|row| json!([row["workflow"], row["memory_bytes"], row["cpu_s"]]))
            .collect()
    };
    one.report(
        &map,
        &json!({ "status": status("a", "a"), "rows": [bare("ramp", 7), bare("web", 8)] }),
    );
    assert_eq!(
        uses(&map),
        [json!(["ramp", null, null]), json!(["web", null, null])]
    );
    // A heartbeat brings it; what it says of a process that no row has is for nobody.
    one.report(&map, &json!({ "measures": [
        { "pid": 8, "memory_bytes": 5000, "cpu_s": 1.5 }, { "pid": 9, "memory_bytes": 1, "cpu_s": 0.0 },
    ] }));
    assert_eq!(
        uses(&map),
        [json!(["ramp", null, null]), json!(["web", 5000, 1.5])]
    );
    // The same process in another state keeps it, another one of that workflow does not.
    one.report(&map, &json!({ "rows": [bare("ramp", 7), bare("web", 8)], "measures": [{ "pid": 7, "memory_bytes": 6000, "cpu_s": 2.0 }] }));
    assert_eq!(
        uses(&map),
        [json!(["ramp", 6000, 2.0]), json!(["web", 5000, 1.5])]
    );
    one.report(&map, &json!({ "rows": [bare("ramp", 7), bare("web", 10)] }));
    assert_eq!(
        uses(&map),
        [json!(["ramp", 6000, 2.0]), json!(["web", null, null])]
    );
    // A row of an older agent, or of a newer one, that says it by itself is believed.
    one.report(&map, &json!({ "rows": [row("one", "ramp", "running")] }));
    assert_eq!(uses(&map), [json!(["ramp", 1000, 0.1])]);
    let many = vec![json!({ "pid": 1, "memory_bytes": 1, "cpu_s": 0.0 }); 10_001];
    assert_eq!(one.report(&map, &json!({ "measures": many })).status, 400);
}

#[test]
fn a_report_that_comes_twice_counts_once() {
    let map = Map::start();
    let one = map.join("one", 1);
    let first = json!({ "status": status("a", "a"), "rows": [], "events": [event(1, "start", "ramp"), event(2, "exit", "ramp")] });
    for _ in 0..3 {
        assert_eq!(one.report_as(&map, 1, &first).status, 200);
    }
    // An older one that comes late changes nothing either.
    one.report_as(&map, 2, &json!({ "rows": [row("one", "ramp", "running")] }));
    one.report_as(&map, 1, &json!({ "rows": [] }));
    assert_eq!(map.json("/v1/boxes/one")["rows"][0]["state"], "running");
    assert_eq!(actions(&map, "workflow=ramp"), ["exit", "start"]);
}

#[test]
fn events_that_come_again_in_another_report_count_once() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    one.report(
        &map,
        &json!({ "events": [event(1, "start", "ramp"), event(2, "exit", "ramp")] }),
    );
    one.report(
        &map,
        &json!({ "events": [event(2, "exit", "ramp"), event(3, "start", "ramp")] }),
    );
    assert_eq!(actions(&map, "workflow=ramp"), ["start", "exit", "start"]);
    // A box that lost its journal counts from 1 again: what happens now is not what happened then.
    one.report(&map, &json!({ "events": [event(1, "kill", "ramp")] }));
    assert_eq!(actions(&map, "workflow=ramp")[0], "kill");
}

fn actions(map: &Map, query: &str) -> Vec<String> {
    let items = map.json(&format!("/v1/audit?{query}"))["items"].clone();
    items
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_audit_row_has_all_that_is_known() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    one.report(&map, &json!({ "events": [event(5, "exit", "ramp")] }));
    let entry = map.json("/v1/audit?action=exit")["items"][0].clone();
    for (name, value) in [
        ("box", json!("one")),
        ("source", json!("box")),
        ("workflow", json!("ramp")),
        ("by", json!("alice")),
        ("key", json!("SHA256:abc")),
        ("commit", json!("c0ffee")),
        ("digest", json!("sha256:00")),
        ("exit", json!({ "code": 3 })),
        ("time", json!("2026-11-23T10:00:00Z")),
    ] {
        assert_eq!(entry[name], value, "{name} of {entry}");
    }
    assert!(entry["hash"].as_str().unwrap().starts_with("sha256:"));
    // Enrolment stands there too, by the map itself, with the key.
    let enrolled = map.json("/v1/audit?action=enrol")["items"][0].clone();
    assert_eq!(enrolled["source"], "map");
    assert!(enrolled["key"].as_str().unwrap().starts_with("SHA256:"));
}

#[test]
fn the_map_asks_for_the_whole_state_where_it_misses_some() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let resend = |answer: &world::Answer| answer.json()["resend"].as_bool().unwrap();
    assert!(
        resend(&one.report(&map, &json!({}))),
        "the first report without a state"
    );
    assert!(!resend(&one.report(
        &map,
        &json!({ "status": status("a", "a"), "rows": [] })
    )));
    assert!(!resend(&one.report(&map, &json!({}))), "a heartbeat");
    one.sequence += 1;
    assert!(
        resend(&one.report(&map, &json!({}))),
        "after a report that never came"
    );
    assert!(!resend(&one.report(
        &map,
        &json!({ "status": status("a", "a"), "rows": [] })
    )));
    assert!(
        resend(&one.report(&map, &json!({ "boot": "second" }))),
        "after the agent's restart"
    );
}

#[test]
fn boxes_rows_audit_and_sessions_outlive_the_map() {
    let mut map = Map::start();
    let mut one = map.join("one", 1);
    one.report(&map, &json!({ "status": status("a", "a"), "rows": [row("one", "ramp", "running")], "events": [event(1, "start", "ramp")] }));
    let (boxes, audit) = (
        map.json("/v1/boxes/one")["rows"].clone(),
        map.json("/v1/audit"),
    );
    map.restart();
    assert_eq!(map.json("/v1/boxes/one")["rows"], boxes);
    assert_eq!(map.json("/v1/audit"), audit);
    let answer = one.report(&map, &json!({}));
    assert_eq!(
        (answer.status, answer.json()["resend"].as_bool()),
        (200, Some(false)),
        "{answer:?}"
    );
}

#[test]
fn a_box_that_is_silent_gets_late_and_then_offline() {
    let map = Map::start_with(|settings| settings.heartbeat = Duration::from_millis(200));
    let mut one = map.join("one", 1);
    one.report(&map, &json!({ "status": status("a", "a"), "rows": [] }));
    let mut events = map.stream("/v1/events", &[]);
    world::line_with(&mut events, "\"state\":\"late\"");
    world::line_with(&mut events, "\"state\":\"offline\"");
    assert_eq!(
        map.json("/v1/boxes?state=offline")["items"][0]["box"],
        "one"
    );
    one.report(&map, &json!({}));
    world::line_with(&mut events, "\"state\":\"online\"");
}

#[test]
fn a_box_behind_its_remote_gets_stale() {
    let map = Map::start_with(|settings| settings.heartbeat = Duration::from_millis(500));
    let mut one = map.join("one", 1);
    world::wait_until("stale", || {
        one.report(&map, &json!({ "status": status("a", "b"), "rows": [] }));
        (map.json("/v1/boxes/one")["state"] == "stale").then_some(())
    });
    one.report(&map, &json!({ "status": status("b", "b"), "rows": [] }));
    world::wait_until("online", || {
        (map.json("/v1/boxes/one")["state"] == "online").then_some(())
    });
}

#[test]
fn ten_megabytes_are_too_much() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let answer = one.report(&map, &json!({ "boot": "x".repeat(10 << 20) }));
    answer.is_problem(413);
    // Chunks without end are no way around it.
    let mut stream = map.connect();
    let head = format!(
        "POST /v1/boxes/one/report HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        map.address, one.session
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(65536));
    for _ in 0..200 {
        if stream.write_all(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let answer = world::read_answer(stream);
    assert!([413, 0].contains(&answer.status), "{answer:?}");
    assert_eq!(map.get("/healthz").status, 200);
}

#[test]
fn seven_megabytes_of_text_are_cut_to_what_can_be_read() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let mut long = row("one", "ramp", "failed");
    long["reason"] = "é".repeat(3 << 20).into();
    assert_eq!(
        one.report(&map, &json!({ "status": status("a", "a"), "rows": [long] }))
            .status,
        200
    );
    let kept = map.json("/v1/boxes/one")["rows"][0]["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        kept.len() < 17 << 10 && kept.contains("bytes cut"),
        "{} bytes",
        kept.len()
    );
}

#[test]
fn a_report_that_is_nonsense_is_refused_and_changes_nothing() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let good = json!({ "status": status("a", "a"), "rows": [row("one", "ramp", "running")] });
    one.report(&map, &good);
    for bad in [
        json!({ "rows": 7 }),
        json!({ "sequence": -1 }),
        json!({ "sequence": "1" }),
        json!({ "status": { "facts": [] } }),
        json!({ "rows": [row("one", "<script>", "running")] }),
        json!({ "rows": [row("one", "ramp", "no-such-state")] }),
        json!({ "events": [event(1, "start", "../w")] }),
        json!({ "events": vec![event(1, "start", "w"); 10_001] }),
    ] {
        one.report(&map, &bad).is_problem(400);
    }
    for body in [
        &b""[..],
        b"{",
        b"null",
        b"\xff\xfe",
        b"[]",
        "[".repeat(200_000).as_bytes(),
    ] {
        map.request(
            "POST",
            "/v1/boxes/one/report",
            &[("Authorization", &format!("Bearer {}", one.session))],
            body,
        )
        .is_problem(400);
    }
    assert_eq!(map.json("/v1/boxes/one")["rows"][0]["workflow"], "ramp");
}

#[test]
fn the_name_inside_a_report_is_not_believed() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let mut liar: Value = status("a", "a");
    liar["facts"]["name"] = "two".into();
    one.report(&map, &json!({ "status": liar, "rows": [] }));
    let names: Vec<_> = map.json("/v1/boxes")["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|view| view["box"].clone())
        .collect();
    assert_eq!(names, ["one"]);
}
