//! How boxes get in, and how nobody else does.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;
use swarm_manifests::name::Name;
use swarm_map::store::{schema, tokens};
use world::{Map, enrolment, key};

#[test]
fn a_token_lets_one_key_in_once() {
    let map = Map::start();
    let token = map.token("one", false);
    assert_eq!(map.enrol("one", &key(1), &token).status, 201);
    map.enrol("one", &key(2), &token).is_problem(403);
    let answer = map.answer(&key(2), &map.nonce(&key(2)), &map.url());
    answer.is_problem(401);
}

#[test]
fn a_box_whose_answer_was_lost_may_ask_again_with_the_same_key() {
    let map = Map::start();
    let token = map.token("one", false);
    assert_eq!(map.enrol("one", &key(1), &token).status, 201);
    assert_eq!(map.enrol("one", &key(1), &token).status, 200);
}

#[test]
fn nobody_enrols_a_key_that_is_not_theirs() {
    let map = Map::start();
    let token = map.token("one", false);
    let at = |url: &str, name: &str, signer, token: &str| enrolment(url, name, &key(signer), token);
    let fingerprint = key(1).fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let session = swarm_manifests::report::session_statement(&map.url(), &token, &fingerprint);
    let sign = |namespace| {
        swarm_manifests::signature::sign(&key(1), namespace, session.as_bytes()).unwrap()
    };
    for (what, proof) in [
        ("none", String::new()),
        ("by another key", at(&map.url(), "one", 2, &token)),
        (
            "for another map",
            at("http://map.example", "one", 1, &token),
        ),
        ("for another box", at(&map.url(), "two", 1, &token)),
        ("with another token", at(&map.url(), "one", 1, "another")),
        ("of a session", sign("swarm-session@v1")),
        ("of a session's words", sign("swarm-enrol@v1")),
    ] {
        let answer = map.enrol_as("one", &key(1), &token, &proof);
        assert_eq!(answer.status, 401, "a proof {what}: {answer:?}");
    }
    // None of these used the token up.
    assert_eq!(map.enrol("one", &key(1), &token).status, 201);
}

#[test]
fn a_token_is_for_its_box_and_its_time() {
    let map = Map::start();
    map.enrol("two", &key(1), &map.token("one", false))
        .is_problem(403);
    map.enrol("one", &key(1), "").is_problem(403);
    map.enrol("one", &key(1), &"0".repeat(64)).is_problem(403);
    let mut db = schema::open(&map.store()).unwrap();
    let past = Timestamp::now() - Duration::from_secs(120);
    let old = tokens::make(
        &mut db,
        &Name::new("one").unwrap(),
        false,
        Duration::from_secs(60),
        past,
    )
    .unwrap();
    map.enrol("one", &key(1), &old).is_problem(403);
}

#[test]
fn a_token_never_replaces_a_key_unless_it_was_made_to() {
    let map = Map::start();
    let one = map.join("one", 1);
    map.enrol("one", &key(2), &map.token("one", false))
        .is_problem(409);
    assert_eq!(map.json("/v1/boxes/one")["box"], "one");
    // The old key still opens sessions.
    assert_eq!(
        map.answer(&key(1), &map.nonce(&key(1)), &map.url()).status,
        200
    );
    // Made to replace, it does, and the sessions of the old key are over.
    assert_eq!(
        map.enrol("one", &key(2), &map.token("one", true)).status,
        201
    );
    map.answer(&key(1), &map.nonce(&key(1)), &map.url())
        .is_problem(401);
    one.report_as(&map, 1, &json!({})).is_problem(401);
    assert_eq!(
        map.answer(&key(2), &map.nonce(&key(2)), &map.url()).status,
        200
    );
}

#[test]
fn one_key_is_one_box() {
    let map = Map::start();
    map.join("one", 1);
    map.enrol("two", &key(1), &map.token("two", false))
        .is_problem(409);
}

#[test]
fn what_is_not_a_name_or_a_key_is_not_enrolled() {
    let map = Map::start();
    let token = map.token("one", false);
    for name in ["", "One", "../one", "one\n", &"a".repeat(64), "-one", "ône"] {
        map.enrol(name, &key(1), &token).is_problem(400);
    }
    for key in [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA",
        "nonsense",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ] {
        map.post(
            "/v1/enrol",
            None,
            &json!({ "box": "one", "key": key, "token": token }),
        )
        .is_problem(400);
    }
}

#[test]
fn a_challenge_is_answered_once() {
    let map = Map::start();
    map.join("one", 1);
    let nonce = map.nonce(&key(1));
    assert_eq!(map.answer(&key(1), &nonce, &map.url()).status, 200);
    map.answer(&key(1), &nonce, &map.url()).is_problem(401);
}

#[test]
fn a_challenge_relayed_from_one_map_to_another_opens_nothing() {
    let (ours, evil) = (Map::start(), Map::start());
    ours.join("one", 1);
    let nonce = ours.nonce(&key(1));
    // The box signs for the map that it was told to talk to: that is the other one.
    ours.answer(&key(1), &nonce, &evil.url()).is_problem(401);
    // Also where the request claims to have come by the other one's address.
    let fingerprint = key(1).fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let statement = swarm_manifests::report::session_statement(&evil.url(), &nonce, &fingerprint);
    let signed = swarm_manifests::signature::sign(
        &key(1),
        swarm_manifests::report::SESSION_NAMESPACE,
        statement.as_bytes(),
    )
    .unwrap();
    let body = json!({ "key": key(1).public_key().to_openssh().unwrap(), "nonce": nonce, "signature": signed }).to_string();
    for host in [
        evil.address.to_string(),
        "map.example".into(),
        String::new(),
    ] {
        ours.request("POST", "/v1/session", &[("Host", &host)], body.as_bytes())
            .is_problem(401);
    }
}

#[test]
fn a_map_with_a_configured_url_takes_no_other() {
    let map = Map::start_with(|settings| settings.urls = vec!["https://map.example:7700".into()]);
    let token = map.token("one", false);
    let url = "https://map.example:7700";
    map.enrol("one", &key(1), &token).is_problem(401);
    let proof = enrolment(url, "one", &key(1), &token);
    let answer = map.enrol_as("one", &key(1), &token, &proof);
    assert_eq!(answer.status, 201);
    map.answer(&key(1), &map.nonce(&key(1)), &map.url())
        .is_problem(401);
    assert_eq!(
        map.answer(&key(1), &map.nonce(&key(1)), "https://map.example:7700/")
            .status,
        200
    );
}

#[test]
fn a_signature_for_something_else_is_no_session() {
    let map = Map::start();
    map.join("one", 1);
    let nonce = map.nonce(&key(1));
    let fingerprint = key(1).fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let statement = swarm_manifests::report::session_statement(&map.url(), &nonce, &fingerprint);
    for namespace in ["git", "file", "swarm-bundle@v1"] {
        let signed =
            swarm_manifests::signature::sign(&key(1), namespace, statement.as_bytes()).unwrap();
        let body = json!({ "key": key(1).public_key().to_openssh().unwrap(), "nonce": nonce, "signature": signed });
        map.post("/v1/session", None, &body).is_problem(401);
    }
    // Another's key beside one's own signature.
    let signed =
        swarm_manifests::signature::sign(&key(2), "swarm-session@v1", statement.as_bytes())
            .unwrap();
    let body = json!({ "key": key(1).public_key().to_openssh().unwrap(), "nonce": nonce, "signature": signed });
    map.post("/v1/session", None, &body).is_problem(401);
}

#[test]
fn a_box_that_is_expected_is_pending() {
    let map = Map::start();
    map.token("expected", false);
    let state = world::wait_until("the box is shown as pending", || {
        let boxes = map.json("/v1/boxes");
        boxes["items"][0]["state"].as_str().map(str::to_owned)
    });
    assert_eq!(state, "pending");
}

#[test]
fn neither_tokens_nor_sessions_can_be_read_from_the_store() {
    let map = Map::start();
    let one = map.join("one", 1);
    let token = map.token("two", false);
    for suffix in ["", "-wal"] {
        let bytes = std::fs::read(format!("{}{suffix}", map.store().display())).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            !text.contains(&token) && !text.contains(&one.session),
            "found in map.db{suffix}"
        );
    }
}
