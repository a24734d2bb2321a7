//! Which bundles may run (SPEC §3.2, §4 rule 4), with real git, and signatures by ssh-keygen.

mod world;

use std::fs;
use swarm_manifests::{
    id::{Digest, Oid},
    name::Name,
};
use swarm_repository::{
    bundle::{Looked, VerifiedBundle, look},
    tree::Mode,
    write::{Changes, Writer},
};
use world::World;

/// What is done to the bundle, the rule, and how.
type Case<'a> = (&'a str, &'a str, &'a dyn Fn(&World));

const FOLDER: &str = "bundles/ramp/1.0.0";

/// A world with the bundle ramp 1.0.0, not committed yet.
fn ramp() -> World {
    let world = World::new();
    world.bundle(
        "ci",
        "ramp",
        "1.0.0",
        &[("run.sh", "echo hello\n"), ("lib/a", "a"), ("lib/b", "b")],
    );
    world
}

fn inspect(world: &World) -> Looked {
    let name = Name::new("ramp").expect("a name");
    look(&world.objects(), &world.trusted(), &name, "1.0.0").expect("objects")
}

fn rule(world: &World) -> &'static str {
    match inspect(world) {
        Looked::Refused(refusal) => {
            assert!(refusal.reason.contains("ramp 1.0.0"), "{refusal}");
            refusal.rule.id
        }
        Looked::Verified(..) => "none",
        Looked::Need(blobs) => panic!("needs {blobs:?}"),
    }
}

fn verified(world: &World) -> VerifiedBundle {
    match inspect(world) {
        Looked::Verified(bundle, missing) if missing.is_empty() => *bundle,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_bundle_is_verified_with_its_files_and_its_publisher() {
    let world = ramp();
    world.commit("ci", "publish");
    let bundle = verified(&world);
    assert_eq!(
        (bundle.by().as_str(), bundle.bundle().entry.as_str()),
        ("ci", "run.sh")
    );
    assert_eq!(bundle.lock().entries().len(), 4);
    let run = bundle
        .lock()
        .entries()
        .iter()
        .position(|entry| entry.path == "run.sh")
        .expect("listed");
    assert_eq!(
        bundle.files()[run],
        world.id(&format!("HEAD:{FOLDER}/run.sh"))
    );
    assert_eq!(Digest::of(bundle.lock_text()), bundle.lock().digest());
}

#[test]
fn a_version_that_is_not_there_is_missing() {
    assert_eq!(rule(&World::new()), "S-BUNDLE-01");
}

#[test]
fn every_tampering_has_its_own_refusal() {
    let lock = |world: &World| {
        fs::read_to_string(world.deploy().join(FOLDER).join("bundle.lock")).expect("lock")
    };
    let put =
        |world: &World, path: &str, text: &str| world.write(&format!("{FOLDER}/{path}"), text);
    let cases: [Case<'_>; 12] = [
        ("other bytes of another size", "S-BUNDLE-05", &|world| {
            put(world, "run.sh", "echo evil, and longer\n");
        }),
        ("missing file", "S-BUNDLE-05", &|world| {
            fs::remove_file(world.deploy().join(FOLDER).join("lib/b")).expect("removed");
        }),
        ("extra file", "S-BUNDLE-06", &|world| {
            put(world, "lib/c", "c");
        }),
        ("extra file in front", "S-BUNDLE-06", &|world| {
            put(world, "a", "a");
        }),
        ("no lock", "S-BUNDLE-02", &|world| {
            fs::remove_file(world.deploy().join(FOLDER).join("bundle.lock")).expect("removed");
        }),
        ("no signature", "S-BUNDLE-03", &|world| {
            fs::remove_file(world.deploy().join(FOLDER).join("bundle.lock.sig")).expect("removed");
        }),
        ("garbage for a signature", "S-BUNDLE-03", &|world| {
            put(world, "bundle.lock.sig", "garbage");
        }),
        (
            "a signature of another namespace",
            "S-BUNDLE-03",
            &|world| world.sign_lock("ci", FOLDER, "git"),
        ),
        (
            "a lock changed after it was signed",
            "S-BUNDLE-03",
            &|world| {
                put(
                    world,
                    "bundle.lock",
                    &lock(world).replace("run.sh", "ran.sh"),
                );
            },
        ),
        ("a lock with CRLF, signed", "S-BUNDLE-02", &|world| {
            put(world, "bundle.lock", &lock(world).replace('\n', "\r\n"));
            world.sign_lock("ci", FOLDER, "swarm-bundle@v1");
        }),
        (
            "the lock of another version, signed",
            "S-BUNDLE-07",
            &|world| {
                put(
                    world,
                    "bundle.lock",
                    &lock(world).replace("version 1.0.0", "version 1.0.1"),
                );
                world.sign_lock("ci", FOLDER, "swarm-bundle@v1");
            },
        ),
        (
            "signed by somebody who may not publish",
            "S-BUNDLE-04",
            &|world| world.sign_lock("bob", FOLDER, "swarm-bundle@v1"),
        ),
    ];
    for (what, wanted, tamper) in cases {
        let world = ramp();
        tamper(&world);
        world.commit("alice", what);
        assert_eq!(rule(&world), wanted, "{what}");
    }
}

#[test]
fn a_signature_by_a_stranger_is_refused_though_the_commit_is_good() {
    let world = ramp();
    world.sign_lock("eve", FOLDER, "swarm-bundle@v1");
    world.commit("ci", "publish");
    assert_eq!(rule(&world), "S-BUNDLE-04");
}

#[test]
fn a_signature_moved_over_from_another_bundle_does_not_fit() {
    let world = ramp();
    world.bundle("ci", "ramp", "2.0.0", &[("run.sh", "echo two\n")]);
    let sig = |version: &str| {
        world
            .deploy()
            .join("bundles/ramp")
            .join(version)
            .join("bundle.lock.sig")
    };
    fs::copy(sig("2.0.0"), sig("1.0.0")).expect("copied");
    world.commit("ci", "publish");
    assert_eq!(rule(&world), "S-BUNDLE-03");
}

#[test]
fn the_publisher_is_judged_by_the_policy_before_the_bundle_came() {
    let world = ramp();
    world.sign_lock("eve", FOLDER, "swarm-bundle@v1");
    world.write(
        "policy.toml",
        &world.policy(2, &format!("[people.eve]\nkeys = [\"{}\"]\n[[grant]]\npeople = [\"eve\"]\nmay = [\"publish\"]\nworkflows = [\"*\"]\n", world.public("eve"))),
    );
    world.commit("alice", "eve and her bundle at once");
    assert_eq!(rule(&world), "S-BUNDLE-04");
}

#[test]
fn a_publisher_who_left_keeps_what_they_brought() {
    let world = ramp();
    world.commit("ci", "publish");
    world.write(
        "policy.toml",
        &world
            .policy(2, "")
            .replace("may = [\"publish\"]", "may = [\"operate\"]"),
    );
    world.commit("alice", "ci may publish no more");
    assert_eq!(rule(&world), "none");
}

#[test]
fn other_bytes_under_a_version_are_refused_for_good_and_for_that_version_alone() {
    let world = ramp();
    world.bundle("ci", "ramp", "2.0.0", &[("run.sh", "two")]);
    let first = world.commit("ci", "publish");
    world.bundle("ci", "ramp", "1.0.0", &[("run.sh", "echo other\n")]);
    world.commit("ci", "again, with other bytes");
    assert_eq!(rule(&world), "S-BUNDLE-08");
    let name = Name::new("ramp").expect("a name");
    assert!(matches!(
        look(&world.objects(), &world.trusted(), &name, "2.0.0").expect("objects"),
        Looked::Verified(..)
    ));
    world.remove(FOLDER);
    world.commit("ci", "away");
    assert_eq!(rule(&world), "S-BUNDLE-01");
    world.bundle("ci", "ramp", "1.0.0", &[("run.sh", "echo third\n")]);
    world.commit("ci", "and back with other bytes");
    assert_eq!(rule(&world), "S-BUNDLE-08");
    world.remove(FOLDER);
    world.git(["checkout", &first.to_string(), "--", FOLDER]);
    world.commit("ci", "the first bytes again");
    assert_eq!(rule(&world), "none");
}

#[test]
fn the_signature_alone_may_be_replaced_by_whoever_may_publish_then() {
    let world = ramp();
    world.commit("ci", "publish");
    world.sign_lock("alice", FOLDER, "swarm-bundle@v1");
    world.commit("alice", "signed anew");
    assert_eq!(verified(&world).by().as_str(), "alice");
    assert_eq!(
        world.trusted().bundles["ramp/1.0.0"].brought.by.as_str(),
        "ci"
    );
}

/// The bundle with one more entry in its tree, made by hand.
fn with_entry(bits: u32, name: &str, id: Option<Oid>) -> World {
    let world = ramp();
    let head = world.commit("ci", "publish");
    let writer = Writer::open(&world.deploy()).expect("writer");
    let blob = id.unwrap_or_else(|| writer.blob(b"x").expect("blob"));
    let changes: Changes = [(format!("{FOLDER}/{name}"), Some((Mode::of(bits), blob)))].into();
    let tree = writer
        .update_tree(Some(world.id("HEAD^{tree}")), &changes)
        .expect("tree");
    let commit = world.commit_tree("alice", &tree.to_string(), &[head]);
    world.git(["update-ref", "refs/heads/main", &commit.to_string()]);
    world
}

#[test]
fn entries_that_no_bundle_may_have_refuse_that_bundle_alone() {
    for (bits, name, wanted) in [
        (0o160_000, "submodule", "S-BUNDLE-12"),
        (0o106_755, "setuid", "S-BUNDLE-12"),
        (0o100_666, "writable", "S-BUNDLE-12"),
        (0, "nothing", "S-BUNDLE-12"),
        (0o106_755, "run.sh", "S-BUNDLE-12"),
        (0o100_755, "run.sh", "S-BUNDLE-05"),
        (0o120_000, "run.sh", "S-BUNDLE-05"),
        (0o100_644, "..", "S-BUNDLE-09"),
        (0o100_644, ".", "S-BUNDLE-09"),
        (0o100_644, ".GIT", "S-BUNDLE-09"),
        (0o100_644, "git~1", "S-BUNDLE-09"),
        (0o100_644, "new\nline", "S-BUNDLE-09"),
        (0o100_644, "back\\slash", "S-BUNDLE-09"),
        (0o100_644, "\u{202e}txt", "S-BUNDLE-09"),
        (0o100_644, "LIB/a", "S-BUNDLE-06"),
        (0o100_644, &"n".repeat(300), "S-BUNDLE-09"),
        (0o100_644, &"d/".repeat(40), "S-BUNDLE-09"),
    ] {
        let name = if name.ends_with('/') {
            format!("{name}f")
        } else {
            name.to_owned()
        };
        let world = with_entry(bits, &name, None);
        let found = rule(&world);
        assert!(
            found == wanted || name.starts_with("d/") && found == "S-BUNDLE-11",
            "{bits:o} {name:?}: {found}"
        );
    }
}

#[test]
fn a_file_whose_blob_is_not_here_is_to_be_fetched() {
    let world = ramp();
    world.commit("ci", "publish");
    let gone = world.id(&format!("HEAD:{FOLDER}/run.sh"));
    lose(&world, gone);
    let Looked::Verified(_, missing) = inspect(&world) else {
        panic!("not verified")
    };
    assert_eq!(missing, [gone]);
}

#[test]
fn lock_signature_and_bundle_toml_are_needed_first() {
    let world = ramp();
    world.commit("ci", "publish");
    let gone: Vec<Oid> = ["bundle.lock", "bundle.lock.sig", "bundle.toml"]
        .map(|file| world.id(&format!("HEAD:{FOLDER}/{file}")))
        .into();
    for id in &gone {
        lose(&world, *id);
    }
    let Looked::Need(needed) = inspect(&world) else {
        panic!("needs nothing")
    };
    assert_eq!(needed, gone);
}

fn lose(world: &World, id: Oid) {
    let id = id.to_string();
    fs::remove_file(
        world
            .deploy()
            .join(".git/objects")
            .join(&id[..2])
            .join(&id[2..]),
    )
    .expect("loose object");
}

#[test]
fn a_listed_size_that_the_blob_does_not_have_is_refused_before_a_byte_is_read() {
    let world = ramp();
    let path = world.deploy().join(FOLDER).join("run.sh");
    fs::write(path, vec![0; 64 << 20]).expect("huge");
    world.commit("ci", "publish");
    assert_eq!(rule(&world), "S-BUNDLE-05");
}
