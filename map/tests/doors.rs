//! Who gets in: each route of the router, without and with the wrong authentication.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use serde_json::json;
use swarm_map::http::{auth::Access, routes::routes};
use world::Map;

#[test]
fn no_route_tells_or_does_anything_without_authentication() {
    let map = Map::start_with(|settings| {
        settings.public_read = false;
        settings.webhook_secrets = vec!["secret".into()];
    });
    for route in routes() {
        let path = route
            .path
            .replace("{box}", "b")
            .replace("{workflow}", "w")
            .replace("{id}", "1")
            .replace("{*tile}", "0/1");
        for bearer in [
            None,
            Some("Bearer 00"),
            Some("Basic eDp5"),
            Some("Bearer "),
            Some("\t"),
        ] {
            let headers: Vec<_> = bearer
                .iter()
                .map(|bearer| ("Authorization", *bearer))
                .collect();
            let answer = map.request(route.method.as_str(), &path, &headers, b"{}");
            let expected: &[u16] = match route.access {
                Access::Public => &[200, 501],
                // An empty object proves nothing.
                Access::Proof => &[400, 401, 403],
                Access::Reader | Access::OwnBox | Access::Person => &[401],
            };
            assert!(
                expected.contains(&answer.status),
                "{} {path} with {bearer:?}: {answer:?}",
                route.method
            );
            if answer.status != 200 && path != "/" {
                answer.is_problem(answer.status);
            }
        }
    }
}

#[test]
fn public_read_opens_reads_and_nothing_else() {
    let map = Map::start();
    for route in routes()
        .into_iter()
        .filter(|route| route.access == Access::OwnBox)
    {
        let path = route.path.replace("{box}", "b");
        map.request(route.method.as_str(), &path, &[], b"{}")
            .is_problem(401);
    }
    assert_eq!(map.get("/v1/boxes").status, 200);
    map.post("/v1/requests", None, &json!({})).is_problem(401);
}

#[test]
fn a_box_speaks_only_for_itself() {
    let map = Map::start();
    let (mut one, two) = (map.join("one", 1), map.join("two", 2));
    let answer = map.post(
        "/v1/boxes/two/report",
        Some(&one.session),
        &json!({ "boot": "x", "sequence": 1, "agent_version": "0" }),
    );
    answer.is_problem(403);
    map.request(
        "GET",
        "/v1/boxes/two/watch",
        &[("Authorization", &format!("Bearer {}", one.session))],
        b"",
    )
    .is_problem(403);
    // Nor does it get rows of another in by its own report.
    one.report(
        &map,
        &json!({ "rows": [world::row("two", "w", "running")] }),
    )
    .is_problem(403);
    assert_eq!(map.json("/v1/workflows")["items"], json!([]));
    drop(two);
}

#[test]
fn path_tricks_in_box_names_reach_nothing() {
    let map = Map::start();
    let one = map.join("one", 1);
    for trick in [
        "..%2fone",
        "one%2f..%2ftwo",
        "%2e%2e",
        "one%00",
        "ONE",
        "one%0d%0a",
        "%ff",
        "*",
        "one?x=",
        "a%20b",
    ] {
        let path = format!("/v1/boxes/{trick}/report");
        let answer = map.post(&path, Some(&one.session), &json!({}));
        assert!(
            [400, 403, 404, 405].contains(&answer.status),
            "{path}: {answer:?}"
        );
        answer.is_problem(answer.status);
    }
    for path in [
        "/page.css",
        "/../map.db",
        "/page.js/..",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/v1/boxes/../../etc/passwd",
    ] {
        let answer = map.get(path);
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
    }
}

#[test]
fn unknown_paths_and_methods_are_problems_too() {
    let map = Map::start();
    map.get("/nothing").is_problem(404);
    map.request("DELETE", "/v1/boxes", &[], b"").is_problem(405);
    map.get("/v1/boxes/nobody").is_problem(404);
    map.get("/v1/workflows/nothing").is_problem(404);
}

#[test]
fn a_private_map_tells_a_browser_why_it_shows_nothing() {
    let map = Map::start_with(|settings| settings.public_read = false);
    let answer = map.get("/");
    assert_eq!(answer.status, 401);
    assert!(
        answer.body.contains("<html") && answer.body.contains("swarm-agent login"),
        "{}",
        answer.body
    );
}

#[test]
fn the_description_has_every_route() {
    let map = Map::start();
    let paths = map.json("/openapi.json")["paths"]
        .as_object()
        .unwrap()
        .len();
    let mut expected: Vec<_> = routes().iter().map(|route| route.path).collect();
    expected.dedup();
    assert_eq!(paths, expected.len());
}
