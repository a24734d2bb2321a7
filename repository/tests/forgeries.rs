//! Commits that no `git commit` makes: signatures in wrong places, armour of odd form, keys of odd kinds, odd trees.

mod world;

use swarm_manifests::id::Oid;
use swarm_repository::{
    objects::{ObjectError, Objects},
    trunk::Advance,
};
use world::{World, stopped};

/// A commit by alice upon the introduction, as text, and the world it is in.
fn signed() -> (World, String) {
    let world = World::new();
    world.manifest("manifests/a.toml", None);
    let id = world.commit("alice", "the message");
    let raw = String::from_utf8(world.raw(id)).expect("text");
    (world, raw)
}

/// The lines of the gpgsig header.
fn header(raw: &str) -> &str {
    let start = raw.find("gpgsig ").expect("signed");
    &raw[start..=raw.find("\n\n").expect("end")]
}

fn rule(world: &World, raw: &str) -> &'static str {
    let id = world.raw_commit(raw.as_bytes());
    match world.advance(id) {
        Advance::Moved(_) => "none",
        other => stopped(other).0,
    }
}

#[test]
fn the_untouched_commit_is_good() {
    let (world, raw) = signed();
    assert_eq!(rule(&world, &raw), "none");
}

#[test]
fn a_signature_moved_into_the_message_does_not_count() {
    let (world, raw) = signed();
    let moved = raw.replacen(header(&raw), "", 1) + "\n" + header(&raw);
    assert_eq!(rule(&world, &moved), "S-TRUNK-01");
}

#[test]
fn two_signatures_are_refused_even_where_both_are_good() {
    let (world, raw) = signed();
    let twice = header(&raw).repeat(2);
    assert_eq!(
        rule(&world, &raw.replacen(header(&raw), &twice, 1)),
        "S-TRUNK-08"
    );
}

#[test]
fn a_changed_message_tree_or_parent_breaks_the_signature() {
    let (world, raw) = signed();
    assert_eq!(
        rule(&world, &raw.replace("the message", "thE message")),
        "S-TRUNK-02"
    );
    let tree = world.git(["rev-parse", "HEAD^^{tree}"]);
    let other = world.git(["rev-parse", "HEAD^{tree}"]);
    assert_eq!(rule(&world, &raw.replace(&other, &tree)), "S-TRUNK-02");
}

#[test]
fn odd_armour_is_refused() {
    let (world, raw) = signed();
    let header = header(&raw);
    let cases = [
        header.replace('\n', "\r\n"),
        header.replace("gpgsig -----BEGIN", "gpgsig junk\n -----BEGIN"),
        header.replace("SIGNATURE-----\n", "SIGNATURE-----\n junk\n"),
        format!("{header} \n {}", &header["gpgsig ".len()..]),
        header.replacen("U1NIU0lHAAAAAQ", "U1NIU0lHAAAAAg", 1),
        format!(
            "{} -----END SSH SIGNATURE-----\n",
            header.split_inclusive('\n').take(3).collect::<String>()
        ),
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQEz\n -----END PGP SIGNATURE-----\n".into(),
        "gpgsig \n".into(),
    ];
    for case in cases {
        assert_ne!(case, header);
        assert_eq!(
            rule(&world, &raw.replacen(header, &case, 1)),
            "S-TRUNK-02",
            "{case}"
        );
    }
}

#[test]
fn a_signature_made_for_something_else_is_refused() {
    let (world, raw) = signed();
    let payload = raw.replacen(header(&raw), "", 1);
    for (namespace, rule_id) in [
        ("git", "none"),
        ("file", "S-TRUNK-02"),
        ("swarm-policy@v1", "S-TRUNK-02"),
        ("swarm-bundle@v1", "S-TRUNK-02"),
    ] {
        world.write("payload/bundle.lock", &payload);
        world.sign_lock("alice", "payload", namespace);
        let armour = std::fs::read_to_string(world.deploy().join("payload/bundle.lock.sig"))
            .expect("signature");
        let header_of = format!("gpgsig {}\n", armour.trim_end().replace('\n', "\n "));
        let (start, rest) = payload.split_at(payload.find("\n\n").expect("end") + 1);
        assert_eq!(
            rule(&world, &format!("{start}{header_of}{rest}")),
            rule_id,
            "{namespace}"
        );
    }
}

#[test]
fn rsa_and_ecdsa_keys_are_taken_and_short_rsa_keys_are_not() {
    let world = World::empty();
    for (name, args, good) in [
        ("rsa2", &["-t", "rsa", "-b", "2048"][..], true),
        ("ecdsa", &["-t", "ecdsa", "-b", "256"], true),
        ("short", &["-t", "rsa", "-b", "1024"], false),
    ] {
        world.keygen(name, args);
        world.write(
            "policy.toml",
            &world.policy(1, "").replace(
                "[people.bob]",
                &format!(
                    "[people.x]\nkeys = [\"{}\"]\n[people.bob]",
                    world.public(name)
                ),
            ),
        );
        world.git(["checkout", "-q", "--orphan", name]);
        world.commit("alice", "introduction");
        world.write("f", name);
        world.commit(name, "by an odd key");
        let introduced =
            swarm_repository::trunk::introduce(&world.objects(), &world.trust()).expect("objects");
        match introduced {
            Ok(_) => assert_eq!(
                matches!(world.advance(world.head()), Advance::Moved(_)),
                good,
                "{name}"
            ),
            Err(refusal) => assert!(!good, "{name}: {refusal}"),
        }
    }
}

/// A tree with these raw entries beside what the introduction has.
fn tree(world: &World, entries: &[(&str, &[u8], Oid)]) -> String {
    let mut all: Vec<(String, Vec<u8>, Oid)> = vec![(
        "100644".into(),
        b"policy.toml".to_vec(),
        world.id("HEAD:policy.toml"),
    )];
    all.extend(
        entries
            .iter()
            .map(|(mode, name, id)| ((*mode).into(), name.to_vec(), *id)),
    );
    all.sort_by(|a, b| a.1.cmp(&b.1));
    let raw: Vec<u8> = all
        .iter()
        .flat_map(|(mode, name, id)| [mode.as_bytes(), b" ", name, b"\0", &id.0].concat())
        .collect();
    world.git_with(
        ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
        &raw,
    )
}

#[test]
fn a_tree_that_could_hide_a_change_stops_the_trunk() {
    let world = World::new();
    let head = world.head();
    let blob: Oid = world
        .git_with(["hash-object", "-w", "--stdin"], b"x")
        .parse()
        .expect("id");
    let cases: [&[(&str, &[u8], Oid)]; 4] = [
        &[("100644", b"a/b", blob)],
        &[("100644", b"", blob)],
        &[("100644", b"a", blob), ("100644", b"a", blob)],
        &[("0100644", b"a", blob)],
    ];
    for entries in cases {
        let commit = world.commit_tree("alice", &tree(&world, entries), &[head]);
        assert_eq!(
            stopped(world.advance(commit)).0,
            "S-TRUNK-10",
            "{entries:?}"
        );
    }
    let folder: Oid = tree(&world, &[]).parse().expect("id");
    let twice = world.commit_tree(
        "alice",
        &tree(&world, &[("40000", b"z", folder), ("100644", b"z", blob)]),
        &[head],
    );
    assert_eq!(stopped(world.advance(twice)).0, "S-TRUNK-10");
}

#[test]
fn a_folder_that_is_a_blob_stops_the_trunk() {
    let world = World::new();
    let blob: Oid = world
        .git_with(["hash-object", "-w", "--stdin"], b"x")
        .parse()
        .expect("id");
    let commit = world.commit_tree(
        "alice",
        &tree(&world, &[("40000", b"sources", blob)]),
        &[world.head()],
    );
    assert_eq!(stopped(world.advance(commit)).0, "S-TRUNK-10");
}

#[test]
fn what_no_clone_could_check_out_stops_the_trunk_and_other_odd_names_do_not() {
    let world = World::new();
    let blob: Oid = world
        .git_with(["hash-object", "-w", "--stdin"], b"x")
        .parse()
        .expect("id");
    let long = vec![b'n'; 256];
    let sources = |entry: (&str, &[u8], Oid)| -> Oid {
        let raw = [entry.0.as_bytes(), b" ", entry.1, b"\0", &entry.2.0].concat();
        let words = ["hash-object", "-t", "tree", "-w", "--stdin", "--literally"];
        world.git_with(words, &raw).parse().expect("id")
    };
    for (mode, name) in [
        ("106755", &b"setuid"[..]),
        ("100666", b"old"),
        ("0", b"zero"),
        ("100644", b"new\nline"),
        ("100644", b".."),
        ("100644", b"GIT~1"),
        ("100644", &long),
    ] {
        let folder = sources((mode, name, blob));
        let entries = [("40000", &b"sources"[..], folder)];
        let commit = world.commit_tree("ci", &tree(&world, &entries), &[world.head()]);
        let (rule, ..) = stopped(world.advance(commit));
        assert_eq!(rule, "S-TRUNK-10", "{mode} {name:?}");
    }
    for (mode, name) in [("160000", &b"submodule"[..]), ("100644", b"\xff\xfe")] {
        let folder = sources((mode, name, blob));
        let entries = [("40000", &b"sources"[..], folder)];
        let commit = world.commit_tree("ci", &tree(&world, &entries), &[world.head()]);
        let moved = world.advance(commit);
        assert!(matches!(moved, Advance::Moved(_)), "{mode} {name:?}");
    }
}

#[test]
fn a_very_deep_tree_ends_without_a_crash() {
    let world = World::new();
    let blob: Oid = world
        .git_with(["hash-object", "-w", "--stdin"], b"x")
        .parse()
        .expect("id");
    let writer = swarm_repository::write::Writer::open(&world.deploy()).expect("writer");
    let mut at = writer
        .tree(&[(swarm_repository::tree::Mode::File, "f", blob)])
        .expect("tree");
    for _ in 0..10_000 {
        at = writer
            .tree(&[(swarm_repository::tree::Mode::Folder, "d", at)])
            .expect("tree");
    }
    let commit = world.commit_tree(
        "alice",
        &tree(&world, &[("40000", b"sources", at)]),
        &[world.head()],
    );
    assert!(matches!(world.advance(commit), Advance::Moved(_)));
}

#[test]
fn a_missing_tree_decides_nothing() {
    let world = World::new();
    let gone = Oid([7; 20]);
    let commit = world.commit_tree_of_missing("alice", gone);
    let error = swarm_repository::trunk::advance(&world.objects(), &world.introduced(), commit)
        .expect_err("missing");
    assert!(
        matches!(error, ObjectError::Missing(id) if id == gone),
        "{error}"
    );
}

#[test]
fn a_sha_256_repository_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("folder");
    let made = std::process::Command::new("git")
        .args(["init", "-q", "--object-format=sha256"])
        .arg(folder.path())
        .status();
    assert!(made.expect("git").success());
    let Err(error) = Objects::open(folder.path(), false) else {
        panic!("it was opened")
    };
    assert_eq!(error.rule().map(|rule| rule.id), Some("S-GIT-09"));
    assert!(error.to_string().contains("not built yet"));
}
