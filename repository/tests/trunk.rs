//! Which commits may stand on the trunk (SPEC §4 rules 1, 3, 6), with real git and real keys.

mod world;

use std::fs;
use swarm_repository::{trunk::Advance, verifier::Verifier};
use world::{World, stopped};

#[test]
fn good_commits_move_the_trunk_and_who_brought_what_is_known() {
    let world = World::new();
    world.manifest("manifests/lab/ramp.toml", Some("[\"lab-1\"]"));
    let first = world.commit("bob", "deploy");
    world.bundle("ci", "ramp", "1.0.0", &[("run.sh", "echo hello\n")]);
    let second = world.commit("ci", "publish");
    let trusted = world.trusted();
    assert_eq!((trusted.head, trusted.position), (second, 2));
    let manifest = &trusted.manifests["manifests/lab/ramp.toml"];
    assert_eq!(
        (manifest.by.as_str(), manifest.commit, manifest.position),
        ("bob", first, 1)
    );
    assert!(manifest.key.starts_with("SHA256:"));
    let bundle = &trusted.bundles["ramp/1.0.0"];
    assert_eq!(
        (bundle.brought.by.as_str(), bundle.judged_by),
        ("ci", first)
    );
    assert!(bundle.digest.is_some());
}

#[test]
fn a_step_by_step_walk_ends_where_one_walk_ends() {
    let world = World::new();
    let mut verifier = Verifier::new();
    let mut trusted = world.introduced();
    for n in 0..4 {
        world.manifest(&format!("manifests/w{n}.toml"), None);
        let head = world.commit("alice", "deploy");
        match verifier
            .advance(&world.objects(), &trusted, head)
            .expect("objects")
        {
            Advance::Moved(moved) => trusted = moved,
            other => panic!("{other:?}"),
        }
        assert_eq!(
            verifier
                .advance(&world.objects(), &trusted, head)
                .expect("objects"),
            Advance::Same
        );
    }
    assert_eq!(trusted, world.trusted());
    let snapshot = verifier
        .snapshot(&world.objects(), &trusted)
        .expect("snapshot");
    assert_eq!(snapshot.workflows.len(), 4);
    assert!(
        snapshot
            .workflows
            .iter()
            .all(|found| found.manifest.is_ok())
    );
}

#[test]
fn an_unsigned_commit_stops_the_trunk_at_its_parent() {
    let world = World::new();
    world.commit_unsigned("nobody");
    world.refused("S-TRUNK-01");
}

#[test]
fn a_key_that_the_policy_does_not_know_is_refused_by_its_fingerprint() {
    let world = World::new();
    world.commit("eve", "hello");
    assert!(world.refused("S-TRUNK-04").contains("SHA256:"));
}

#[test]
fn somebody_who_adds_themself_and_deploys_in_one_commit_is_still_unknown() {
    let world = World::new();
    let policy = world.policy(2, "").replace(
        "[people.bob]",
        &format!(
            "[people.eve]\nkeys = [\"{}\"]\nadmin = true\n[people.bob]",
            world.public("eve")
        ),
    );
    world.write("policy.toml", &policy);
    world.manifest("manifests/evil.toml", None);
    world.commit("eve", "mine now");
    world.refused("S-TRUNK-04");
}

#[test]
fn each_path_needs_its_own_right() {
    for (person, path, rule) in [
        ("ci", "manifests/ramp.toml", "S-TRUNK-03"),
        ("ci", "bundles/other/1.0.0/f", "S-TRUNK-03"),
        ("ci", "bundles/ramp/1.0.0/.hidden", "S-TRUNK-03"),
        ("ci", ".github/workflows/x.yml", "S-TRUNK-03"),
        ("ci", ".gitlab-ci.yml", "S-TRUNK-03"),
        ("bob", "bundles/ramp/1.0.0/f", "S-TRUNK-03"),
        ("bob", "policy.sigs/bob.sig", "S-TRUNK-03"),
        ("bob", "boxes/lab-1.toml", "S-TRUNK-03"),
        ("bob", "sources/.x/y", "S-TRUNK-03"),
        ("bob", "secrets/ramp/key.age", "S-TRUNK-09"),
        ("bob", "manifests/ramp.toml", "S-TRUNK-09"),
        ("ci", "approvals/ramp/ci.sig", "S-TRUNK-03"),
    ] {
        let world = World::new();
        world.write(path, "text");
        world.commit(person, "mine");
        let reason = world.refused(rule);
        assert!(reason.contains(person) && reason.contains(path), "{reason}");
    }
}

#[test]
fn anybody_known_may_change_what_boxes_ignore_and_their_own() {
    for (person, path) in [
        ("ci", "sources/x/y"),
        ("bob", "README.md"),
        ("ci", "bundles/ramp/note"),
        ("bob", "manifests/README"),
        ("alice", ".github/x"),
    ] {
        let world = World::new();
        world.write(path, "text");
        let head = world.commit(person, "mine");
        assert!(
            matches!(world.advance(head), Advance::Moved(_)),
            "{person} {path}"
        );
    }
}

#[test]
fn one_forbidden_path_among_many_stops_the_whole_commit() {
    let world = World::new();
    world.bundle("ci", "ramp", "1.0.0", &[("run.sh", "x")]);
    world.write("zzz/.forbidden", "x");
    world.commit("ci", "sneaky");
    assert!(world.refused("S-TRUNK-03").contains("zzz/.forbidden"));
}

#[test]
fn boxes_of_the_old_and_of_the_new_manifest_must_be_covered() {
    for (old, new, rule) in [
        (
            Some("[\"lab-1\"]"),
            Some("[\"roof-1\"]"),
            Some("S-TRUNK-09"),
        ),
        (
            Some("[\"roof-1\"]"),
            Some("[\"lab-1\"]"),
            Some("S-TRUNK-09"),
        ),
        (Some("[\"lab-1\"]"), None, Some("S-TRUNK-09")),
        (
            Some("[\"lab-1\"]"),
            Some("[\"lab-1\", \"roof-1\"]"),
            Some("S-TRUNK-09"),
        ),
        (Some("[\"lab-1\"]"), Some("[\"*\"]"), Some("S-TRUNK-09")),
        (Some("[\"lab-1\"]"), Some("[\"lab-2\", \"lab-b-*\"]"), None),
    ] {
        let world = World::new();
        world.manifest("manifests/ramp.toml", old);
        world.commit("alice", "old");
        world.manifest("manifests/ramp.toml", new);
        world.commit("bob", "new");
        match rule {
            Some(rule) => assert!(world.refused(rule).contains("manifests/ramp.toml")),
            None => assert_eq!(world.trusted().head, world.head()),
        }
    }
}

#[test]
fn a_manifest_that_does_not_parse_needs_a_grant_for_every_box() {
    for text in [
        "not toml [",
        "bundle = \"ramp\"\nversion = \"1.0.0\"\n[on]\nboxes = [\"lab-?\"]\n[run]\nmode = \"once\"\n",
    ] {
        let world = World::new();
        world.write("manifests/ramp.toml", text);
        world.commit("bob", "broken");
        world.refused("S-TRUNK-09");
    }
}

/// What is done, and how.
type Case = (&'static str, fn(&World));

#[test]
fn a_manifest_of_somebody_else_may_not_be_removed_moved_or_made_a_link() {
    let change: [Case; 4] = [
        ("removed", |world| world.remove("manifests/roof.toml")),
        ("moved", |world| {
            _ = world.git(["mv", "manifests/roof.toml", "manifests/lab.toml"]);
        }),
        ("made a link", |world| {
            world.remove("manifests/roof.toml");
            fs::create_dir_all(world.deploy().join("manifests")).expect("folder");
            std::os::unix::fs::symlink("../x", world.deploy().join("manifests/roof.toml"))
                .expect("link");
        }),
        ("made executable", |world| {
            _ = world.git(["update-index", "--chmod=+x", "manifests/roof.toml"]);
        }),
    ];
    for (what, change) in change {
        let world = World::new();
        world.manifest("manifests/roof.toml", Some("[\"roof-1\"]"));
        world.commit("alice", "old");
        change(&world);
        if what == "made executable" {
            world.commit_staged("bob", what)
        } else {
            world.commit("bob", what)
        };
        world.refused("S-TRUNK-09");
    }
}

#[test]
fn secrets_follow_the_boxes_of_the_manifest() {
    let world = World::new();
    world.manifest("manifests/lab/ramp.toml", Some("[\"lab-1\"]"));
    world.write("secrets/ramp/key.age", "x");
    let head = world.commit("bob", "with its manifest");
    assert!(matches!(world.advance(head), Advance::Moved(_)));
    world.manifest("manifests/lab/ramp.toml", Some("[\"roof-1\"]"));
    world.commit("alice", "to the roof");
    world.write("secrets/ramp/key.age", "y");
    world.commit("bob", "a secret for the roof");
    world.refused("S-TRUNK-09");
}

#[test]
fn good_commits_before_a_bad_one_count_and_those_after_it_do_not() {
    let world = World::new();
    world.manifest("manifests/a.toml", None);
    let good = world.commit("alice", "good");
    let bad = world.commit_unsigned("bad");
    world.manifest("manifests/b.toml", None);
    world.commit("alice", "good, upon bad");
    let (rule, commit, at, _) = stopped(world.advance(world.head()));
    assert_eq!(
        (rule, commit, at.head, at.position),
        ("S-TRUNK-01", bad, good, 1)
    );
    assert_eq!(at.manifests.len(), 1);
}

#[test]
fn a_backdated_commit_is_judged_by_its_place_alone() {
    let world = World::new();
    world.manifest("manifests/a.toml", None);
    world.git(["add", "-A"]);
    let mut git = world.signing_git("alice");
    git.env("GIT_COMMITTER_DATE", "1000000000 +0000")
        .args(["commit", "-q", "-S", "-m", "old"]);
    assert!(git.status().expect("git").success());
    assert_eq!(
        world.trusted().manifests["manifests/a.toml"].time,
        "2001-09-09T01:46:40Z"
    );
}

#[test]
fn a_replaced_object_is_not_looked_at() {
    let world = World::new();
    let bad = world.commit_unsigned("bad");
    world.git(["checkout", "-q", "--detach", "HEAD^"]);
    world.write("f", "x");
    let good = world.commit("alice", "good");
    world.git(["replace", &bad.to_string(), &good.to_string()]);
    assert_eq!(stopped(world.advance(bad)).0, "S-TRUNK-01");
}
