//! The program `swarm-map` itself: commands, exit codes, what stands on stdout.

#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use rusqlite::Connection;
use serde_json::json;
use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};
use world::{Map, event};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_swarm-map"))
        .args(args)
        .output()
        .unwrap()
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_token_stands_alone_on_stdout_and_works() {
    let map = Map::start();
    let store = format!("sqlite:{}", map.store().display());
    let output = run(&["token", "--store", &store, "--box", "one"]);
    assert!(output.status.success(), "{}", says(&output));
    let token = String::from_utf8(output.stdout).unwrap();
    assert!(
        token.ends_with('\n') && token.trim().chars().all(|c| c.is_ascii_alphanumeric()),
        "{token:?}"
    );
    assert_eq!(map.enrol("one", &world::key(1), token.trim()).status, 201);
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("map.db").display());
    for (args, code, text) in [
        (
            &["serve", "--store", "postgres://db/map"][..],
            2,
            "not built yet",
        ),
        (&["serve", "--store", "map.db"], 2, "sqlite:FILE"),
        (
            &["serve", "--store", &store, "--listen", "0.0.0.0:7700"],
            2,
            "--url",
        ),
        (
            &["serve", "--store", &store, "--url", "ftp://x"],
            2,
            "https://",
        ),
        (
            &["serve", "--store", &store, "--heartbeat", "0s"],
            2,
            "heartbeat",
        ),
        (
            &["serve", "--store", &store, "--repository", "/x"],
            2,
            "go together",
        ),
        (
            &["serve", "--store", &store, "--tls-cert", "x"],
            2,
            "go together",
        ),
        (&["serve"], 2, "--store"),
        (
            &["token", "--store", &store, "--box", "Not A Name"],
            2,
            "--box",
        ),
        (
            &["token", "--store", &store, "--box", "one", "--valid", "0s"],
            2,
            "--valid",
        ),
        (
            &["audit", "verify", "--store", "sqlite:/nowhere/map.db"],
            1,
            "not there",
        ),
        (
            &["serve", "--config", "/nowhere/map.toml"],
            2,
            "/nowhere/map.toml",
        ),
        (&["serve", "--nonsense"], 2, "--nonsense"),
        (&["nonsense"], 2, "nonsense"),
    ] {
        let output = run(args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            says(&output)
        );
        assert!(says(&output).contains(text), "{args:?}: {}", says(&output));
    }
}

/// A store with a few rows of audit.
fn audited(folder: &Path) -> String {
    let map = Map::start_with(|settings| settings.store = folder.join("map.db"));
    let mut one = map.join("one", 1);
    let events: Vec<_> = (1..=5)
        .map(|sequence| event(sequence, "start", "ramp"))
        .collect();
    assert_eq!(one.report(&map, &json!({ "events": events })).status, 200);
    format!("sqlite:{}", folder.join("map.db").display())
}

#[test]
fn a_map_does_not_seal_an_audit_whose_end_was_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let store = audited(folder.path());
    let db = Connection::open(folder.path().join("map.db")).unwrap();
    db.execute_batch(CUT).unwrap();
    drop(db);
    // It starts, does its work and ends, as if nothing had happened.
    drop(audited(folder.path()));
    let output = run(&["audit", "verify", "--store", &store]);
    assert_eq!(output.status.code(), Some(1), "{}", says(&output));
    assert!(says(&output).contains("was sealed"), "{}", says(&output));
}

/// Takes the newest rows off, and the note of where they end.
const CUT: &str = "DELETE FROM audit WHERE id > 5; UPDATE audit_head SET id = 5, hash = (SELECT hash FROM audit WHERE id = 5)";

#[test]
fn a_seal_that_was_removed_from_the_database_is_not_made_again_unnoticed() {
    for (what, sql) in [
        ("the seal", "DELETE FROM audit_seal".to_string()),
        ("the last rows and the seal", format!("{CUT}; DELETE FROM audit_seal")),
        (
            "everything",
            "DELETE FROM audit; UPDATE audit_head SET id = 0, hash = zeroblob(32); DELETE FROM audit_seal".into(),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = audited(folder.path());
        let db = Connection::open(folder.path().join("map.db")).unwrap();
        db.execute_batch(&sql).unwrap();
        drop(db);
        // It starts, does its work and ends, as if nothing had happened.
        drop(audited(folder.path()));
        let output = run(&["audit", "verify", "--store", &store]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", says(&output));
        assert!(says(&output).contains("was sealed"), "{what}: {}", says(&output));
    }
}

#[test]
fn an_older_database_in_the_place_of_the_store_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = audited(folder.path());
    let file = folder.path().join("map.db");
    let older = std::fs::read(&file).unwrap();
    drop(audited(folder.path()));
    assert!(
        run(&["audit", "verify", "--store", &store])
            .status
            .success()
    );
    std::fs::write(&file, older).unwrap();
    let output = run(&["audit", "verify", "--store", &store]);
    assert_eq!(output.status.code(), Some(1), "{}", says(&output));
    assert!(says(&output).contains("was sealed"), "{}", says(&output));
}

#[test]
fn a_copy_whose_seal_is_broken_is_not_put_back() {
    for (what, sql) in [
        ("cut off", CUT.to_string()),
        (
            "cut off with its seal",
            format!("{CUT}; DELETE FROM audit_seal"),
        ),
        (
            "not by this key",
            "UPDATE audit_seal SET signature = 'none'".into(),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = audited(folder.path());
        let copy = folder.path().join("copy.db");
        let text = copy.to_str().unwrap();
        assert!(run(&["backup", "--store", &store, text]).status.success());
        Connection::open(&copy)
            .unwrap()
            .execute_batch(&sql)
            .unwrap();
        let other = folder.path().join("other.db");
        let output = run(&[
            "restore",
            "--store",
            &format!("sqlite:{}", other.display()),
            text,
        ]);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", says(&output));
        assert!(
            says(&output).contains("is broken"),
            "{what}: {}",
            says(&output)
        );
        assert!(
            !other.exists() && !folder.path().join("other.db.key").exists(),
            "{what}"
        );
    }
}

#[test]
fn a_restore_that_was_cut_short_leaves_no_store_without_its_key_and_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = audited(folder.path());
    let path = |name: &str| folder.path().join(name);
    let copy = path("copy.db").display().to_string();
    // What an earlier attempt left of a copy is no copy.
    std::fs::write(path("copy.db.begun"), "half").unwrap();
    assert!(run(&["backup", "--store", &store, &copy]).status.success());
    let other = format!("sqlite:{}", path("other.db").display());
    // The key cannot be written: it ends there.
    std::fs::create_dir(path("other.db.key.new")).unwrap();
    let output = run(&["restore", "--store", &other, &copy]);
    assert_eq!(output.status.code(), Some(1), "{}", says(&output));
    assert!(
        !path("other.db").exists(),
        "a map would start there with a key of its own"
    );
    std::fs::remove_dir(path("other.db.key.new")).unwrap();
    // It ended when the key was there already, and half of the store.
    std::fs::copy(path("map.db.key"), path("other.db.key")).unwrap();
    std::fs::write(path("other.db.begun"), "half").unwrap();
    let output = run(&["restore", "--store", &other, &copy]);
    assert!(output.status.success(), "{}", says(&output));
    let verified = run(&["audit", "verify", "--store", &other]);
    assert!(verified.status.success(), "{}", says(&verified));
}

#[test]
fn a_copy_is_not_put_back_beside_the_key_of_another_map() {
    let folder = tempfile::tempdir().unwrap();
    let store = audited(folder.path());
    let copy = folder.path().join("copy.db").display().to_string();
    assert!(run(&["backup", "--store", &store, &copy]).status.success());
    let other = folder.path().join("other.db");
    let place = format!("sqlite:{}", other.display());
    let made = run(&["token", "--store", &place, "--box", "one"]);
    assert!(made.status.success(), "{}", says(&made));
    let key = run(&["key", "--store", &place]);
    assert!(key.status.success(), "{}", says(&key));
    std::fs::remove_file(&other).unwrap();
    let output = run(&["restore", "--store", &place, &copy]);
    assert_eq!(output.status.code(), Some(1), "{}", says(&output));
    assert!(
        says(&output).contains("other.db.key is there already"),
        "{}",
        says(&output)
    );
}

#[test]
fn audit_verify_finds_rows_that_were_changed_removed_or_reordered() {
    let folder = tempfile::tempdir().unwrap();
    let store = audited(folder.path());
    let output = run(&["audit", "verify", "--store", &store]);
    assert!(output.status.success(), "{}", says(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("7 entries"));
    let head = String::from_utf8_lossy(&output.stdout).into_owned();
    let head = head.trim().rsplit(' ').next().unwrap();
    let expect = |head: &str| run(&["audit", "verify", "--store", &store, "--expect", head]);
    assert!(expect(head).status.success());
    let other = expect(&format!("sha256:{}", "f".repeat(64)));
    assert!(says(&other).contains("was expected"), "{}", says(&other));
    let whole = std::fs::read(folder.path().join("map.db")).unwrap();
    let key = folder.path().join("changed.db.key");
    std::fs::copy(folder.path().join("map.db.key"), &key).unwrap();
    for (what, sql) in [
        (
            "a changed body",
            "UPDATE audit SET body = replace(body, 'alice', 'mallory') WHERE id = 4",
        ),
        (
            "a changed hash",
            "UPDATE audit SET hash = zeroblob(32) WHERE id = 4",
        ),
        ("a removed row", "DELETE FROM audit WHERE id = 4"),
        ("a removed first row", "DELETE FROM audit WHERE id = 1"),
        ("removed last rows", "DELETE FROM audit WHERE id > 5"),
        ("everything removed", "DELETE FROM audit"),
        (
            "reordered rows",
            "UPDATE audit SET id = 100 WHERE id = 4; UPDATE audit SET id = 4 WHERE id = 5; UPDATE audit SET id = 5 WHERE id = 100",
        ),
        (
            "exchanged bodies",
            "UPDATE audit SET body = (SELECT body FROM audit WHERE id = 5) WHERE id = 4",
        ),
        (
            "an added row",
            "INSERT INTO audit (id, prev, hash, body) SELECT 8, hash, zeroblob(32), body FROM audit WHERE id = 7",
        ),
        (
            "removed last rows, and the head says so",
            "DELETE FROM audit WHERE id > 5; UPDATE audit_head SET id = 5, hash = (SELECT hash FROM audit WHERE id = 5)",
        ),
        (
            "removed last rows with their seal",
            "DELETE FROM audit WHERE id > 5; UPDATE audit_head SET id = 5, hash = (SELECT hash FROM audit WHERE id = 5); DELETE FROM audit_seal",
        ),
        (
            "removed last rows with a seal that says so",
            "DELETE FROM audit WHERE id > 5; UPDATE audit_head SET id = 5, hash = (SELECT hash FROM audit WHERE id = 5); UPDATE audit_seal SET id = 5, hash = (SELECT hash FROM audit WHERE id = 5)",
        ),
        (
            "closed gap",
            "DELETE FROM audit WHERE id = 4; UPDATE audit SET id = id - 1 WHERE id > 4",
        ),
    ] {
        let path = folder.path().join("changed.db");
        std::fs::write(&path, &whole).unwrap();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let output = run(&[
            "audit",
            "verify",
            "--store",
            &format!("sqlite:{}", path.display()),
        ]);
        assert_eq!(output.status.code(), Some(1), "{what} was not found");
        assert!(
            says(&output).contains("audit is broken"),
            "{what}: {}",
            says(&output)
        );
    }
}

#[test]
fn a_backup_restores_to_the_same_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let store = audited(folder.path());
    let copy = folder.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    assert!(run(&["backup", "--store", &store, copy]).status.success());
    assert_eq!(
        run(&["backup", "--store", &store, copy]).status.code(),
        Some(1),
        "a backup is never overwritten"
    );
    assert_eq!(
        run(&["restore", "--store", &store, copy]).status.code(),
        Some(1),
        "nor is a store"
    );
    let other = format!("sqlite:{}", folder.path().join("other.db").display());
    let left = folder.path().join("other.db-wal");
    std::fs::write(&left, "changes of another store").unwrap();
    let output = run(&["restore", "--store", &other, copy]);
    assert_eq!(output.status.code(), Some(1), "sqlite would replay it");
    assert!(says(&output).contains("other.db-wal"), "{}", says(&output));
    std::fs::remove_file(left).unwrap();
    let output = run(&["restore", "--store", &other, copy]);
    assert!(output.status.success(), "{}", says(&output));
    assert_eq!(
        run(&["audit", "verify", "--store", &other]).stdout,
        run(&["audit", "verify", "--store", &store]).stdout
    );
    assert_eq!(
        run(&["key", "--store", &other]).stdout,
        run(&["key", "--store", &store]).stdout,
        "boxes would not know the map again"
    );
    let secret = std::fs::read_to_string(folder.path().join("other.db.key")).unwrap();
    let secret = secret.lines().nth(3).unwrap();
    for (name, has_key) in [
        ("map.db", false),
        ("copy.db", true),
        ("other.db", false),
        ("other.db.key", true),
    ] {
        let path = folder.path().join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.contains(secret), has_key, "the key in {name}");
    }
    assert_eq!(
        run(&["inventory", "--store", &other]).stdout,
        run(&["inventory", "--store", &store]).stdout
    );
}

#[test]
fn the_inventory_is_what_ansible_reads() {
    let folder = tempfile::tempdir().unwrap();
    let store = audited(folder.path());
    let output = run(&["inventory", "--store", &store, "--list"]);
    let inventory: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(inventory["swarm"]["hosts"], json!(["one"]));
    assert_eq!(inventory["_meta"]["hostvars"]["one"]["swarm_box"], "one");
    let output = run(&["inventory", "--store", &store, "--host", "nobody"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "{}");
}

#[test]
fn every_toml_block_of_the_reference_is_understood() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/reference/map-api.md"
    ))
    .unwrap();
    let blocks: Vec<_> = text
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        swarm_map::settings::check(block).unwrap_or_else(|error| panic!("{error:#}\n{block}"));
    }
    let error = swarm_map::settings::check("public-raed = true").unwrap_err();
    assert!(format!("{error:#}").contains("public-read"), "{error:#}");
}
