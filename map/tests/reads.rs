//! What is read: filters, portions, and the page.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use serde_json::{Value, json};
use world::{Map, event, row, status};

fn fleet(map: &Map) {
    for (seed, name) in (1..).zip(["lab-1", "lab-2", "web-1"]) {
        let mut one = map.join(name, seed);
        let mut said = status("a", "a");
        said["facts"]["labels"]["site"] = if name.starts_with("lab") {
            "berkeley".into()
        } else {
            "kiel".into()
        };
        let mut once = row(name, "job", "finished");
        once["mode"] = "once".into();
        let rows = json!([
            row(name, "ramp", if seed == 2 { "failed" } else { "running" }),
            once
        ]);
        one.report(map, &json!({ "status": said, "rows": rows, "events": [event(1, "start", "ramp"), event(2, "start", "job")] }));
    }
}

fn names(list: &Value, key: &str) -> Vec<String> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn filters_narrow_what_is_read() {
    let map = Map::start();
    fleet(&map);
    assert_eq!(
        names(&map.json("/v1/boxes?box=lab-*"), "box"),
        ["lab-1", "lab-2"]
    );
    assert_eq!(
        names(
            &map.json("/v1/boxes?where=site%20%3D%3D%20%22kiel%22"),
            "box"
        ),
        ["web-1"]
    );
    assert_eq!(names(&map.json("/v1/boxes?state=offline"), "box"), [""; 0]);
    assert_eq!(
        names(&map.json("/v1/workflows?mode=once"), "workflow"),
        ["job"]
    );
    let failed = map.json("/v1/workflows?state=failed");
    assert_eq!(
        (
            names(&failed, "workflow"),
            failed["items"][0]["boxes"][0]["box"].as_str()
        ),
        (vec!["ramp".into()], Some("lab-2"))
    );
    assert_eq!(
        map.json("/v1/workflows?box=web-1")["items"][1]["states"],
        json!({ "running": 1 })
    );
    assert_eq!(
        map.json("/v1/audit?box=web-1&workflow=ramp&by=alice")["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_filter_that_is_not_understood_is_refused_never_ignored() {
    let map = Map::start();
    for path in [
        "/v1/boxes?stat=online",
        "/v1/boxes?state=running",
        "/v1/boxes?mode=once",
        "/v1/boxes?box=A",
        "/v1/boxes?where=a%20%3D%3D",
        "/v1/workflows?state=online",
        "/v1/workflows?mode=sometimes",
        "/v1/audit?state=failed",
        "/v1/audit?cursor=x",
        "/v1/audit?cursor=-1",
        "/v1/boxes?limit=0",
        "/v1/boxes?limit=-1",
        "/v1/boxes?limit=1001",
        "/v1/boxes?limit=99999999999999999999",
        "/v1/boxes?limit=x",
        "/v1/boxes?box=%ff",
        "/v1/audit?limit=0",
        "/v1/boxes?limit=1&limit=2",
    ] {
        map.get(path).is_problem(400);
    }
}

#[test]
fn portions_have_everything_once() {
    let map = Map::start();
    fleet(&map);
    for (path, key, count) in [
        ("/v1/boxes", "box", 3),
        ("/v1/workflows", "workflow", 2),
        ("/v1/audit", "id", 12),
    ] {
        for limit in [1, 2, 5, 1000] {
            let (mut found, mut cursor) = (Vec::new(), String::new());
            loop {
                let list = map.json(&format!("{path}?limit={limit}{cursor}"));
                let items = list["items"].as_array().unwrap();
                assert!(items.len() <= limit);
                found.extend(items.iter().map(|item| item[key].to_string()));
                let Some(next) = list["next"].as_str() else {
                    break;
                };
                cursor = format!("&cursor={next}");
            }
            let all = found.len();
            found.sort();
            found.dedup();
            assert_eq!((found.len(), all), (count, count), "{path} by {limit}");
        }
    }
    // A cursor far behind the end is the end.
    assert_eq!(map.json("/v1/boxes?cursor=zzz")["items"], json!([]));
    assert_eq!(map.json("/v1/audit?cursor=0")["items"], json!([]));
    assert_eq!(
        map.json("/v1/audit?cursor=18446744073709551615")["items"]
            .as_array()
            .unwrap()
            .len(),
        12
    );
}

#[test]
fn text_of_workflows_is_data_on_the_page() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let nasty = "<script>alert(1)</script><img src=x onerror=alert(1)> \u{1b}[2J\u{1b}]0;owned\u{7} \u{202e}txt.exe\r\n&lt; \"' `";
    let mut bad = row("one", "ramp", "failed");
    for name in ["reason", "rule", "version", "by", "commit", "bundle"] {
        bad[name] = nasty.into();
    }
    let mut said = status(nasty, nasty);
    said["warnings"] = json!([nasty]);
    said["facts"]["labels"] = json!({ nasty: nasty });
    said["trouble"] = json!({ "rule": nasty, "reason": nasty, "hint": nasty, "commit": nasty });
    let mut happened = event(1, "start", "ramp");
    for name in ["action", "reason", "by", "version"] {
        happened[name] = nasty.into();
    }
    let answer = one.report(
        &map,
        &json!({ "status": said, "rows": [bad], "events": [happened] }),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    for path in [
        "/",
        "/?box=one",
        "/?workflow=ramp",
        "/?fragment=1",
        "/?workflow=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/?box=%3Cscript%3Ealert(1)",
    ] {
        let page = map.get(path);
        assert!(
            !page.body.contains("<script>alert") && !page.body.contains("<img"),
            "{path}: {}",
            page.body
        );
        assert!(
            !page.body.contains(['\u{1b}', '\u{7}', '\u{202e}']),
            "{path}"
        );
        // Only plain names become addresses.
        for link in page
            .body
            .split("href=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
        {
            let plain = link
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "/?=-".contains(c));
            assert!(
                plain || link.starts_with("data:image/svg+xml"),
                "{path}: {link}"
            );
        }
    }
    let page = map.get("/").body;
    assert!(page.contains("&lt;script&gt;") && page.contains("␛[2J") && page.contains("⟨U+202E⟩"));
}

#[test]
fn the_page_takes_nothing_from_elsewhere() {
    let map = Map::start();
    fleet(&map);
    let page = map.get("/");
    let policy = page
        .head
        .lines()
        .find(|line| line.to_lowercase().starts_with("content-security-policy"))
        .unwrap()
        .to_owned();
    assert!(
        policy.contains("default-src 'none'")
            && !policy.contains("unsafe")
            && !policy.contains("http"),
        "{policy}"
    );
    assert!(!page.body.contains("https://"), "an address of elsewhere");
    assert!(!page.body.contains(" style=") && !page.body.contains(" onclick="));
    assert_eq!(page.body.matches("<script").count(), 1);
    assert_eq!(map.get("/page.js").status, 200);
    let order = ["wrong", "boxes", "workflows", "audit"]
        .map(|id| page.body.find(&format!("<h2 id=\"{id}\"")).unwrap());
    assert!(order.is_sorted(), "what is wrong comes first");
}

#[test]
fn what_is_wrong_says_why_and_what_to_do() {
    let map = Map::start();
    let mut one = map.join("one", 1);
    let mut refused = row("one", "ramp", "running");
    refused["next"] = json!({ "version": "1.3.0", "commit": "beef", "state": "refused", "reason": "mallory may not deploy ramp", "rule": "S-FILE-02" });
    let mut said = status("a", "a");
    said["trouble"] = json!({ "rule": "S-TRUNK-03", "reason": "commit dead is not signed", "hint": "sign it", "commit": "dead" });
    one.report(&map, &json!({ "status": said, "rows": [refused] }));
    let page = map.get("/").body;
    for text in [
        "commit dead is not signed",
        "S-TRUNK-03",
        "sign it",
        "mallory may not deploy ramp",
        "S-FILE-02",
        "Correct the key, or remove it.",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn figures_are_openmetrics_and_name_nobody() {
    let map = Map::start();
    fleet(&map);
    let answer = map.get("/metrics");
    assert!(answer.head.contains("application/openmetrics-text"));
    assert!(
        answer
            .body
            .contains("swarm_map_boxes{state=\"online\"} 3\n")
            && map
                .get("/metrics")
                .body
                .contains("swarm_map_boxes{state=\"forked\"} 0\n")
            && answer.body.ends_with("# EOF\n"),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("lab-1") && !answer.body.contains("ramp"));
    assert_eq!(
        (map.get("/healthz").status, map.get("/readyz").status),
        (200, 200)
    );
}
