//! The introduction, and changes of the policy (SPEC §4 rules 2 and 10).

mod world;

use std::fs;
use swarm_manifests::id::{Digest, Oid};
use swarm_repository::{
    objects::Objects,
    trunk::{Advance, introduce},
};
use world::{World, stopped};

/// Commits this policy.toml by alice, and returns the rule that refuses it.
fn changed(world: &World, text: &str) -> &'static str {
    world.write("policy.toml", text);
    world.commit("alice", "policy");
    rule(world)
}

fn rule(world: &World) -> &'static str {
    match world.advance(world.head()) {
        Advance::Moved(_) => "none",
        other => stopped(other).0,
    }
}

#[test]
fn an_admin_changes_the_policy_by_one_version_and_the_next_commit_is_judged_by_it() {
    let world = World::new();
    let text = world.policy(2, "").replace(
        "[people.bob]",
        &format!(
            "[people.eve]\nkeys = [\"{}\"]\n[people.bob]",
            world.public("eve")
        ),
    );
    assert_eq!(changed(&world, &text), "none");
    world.write("README", "x");
    world.commit("eve", "I am known now");
    assert_eq!(rule(&world), "none");
}

#[test]
fn a_person_who_was_removed_is_unknown_afterwards_and_was_known_before() {
    let world = World::new();
    world.write("README", "x");
    world.commit("ci", "still here");
    let text = world.policy(2, "");
    let ci = format!("[people.ci]\nkeys = [\"{}\"]\n", world.public("ci"));
    let grant = "[[grant]]\npeople = [\"ci\"]\nmay = [\"publish\"]\nworkflows = [\"ramp\"]\n";
    assert_eq!(
        changed(&world, &text.replace(&ci, "").replace(grant, "")),
        "none"
    );
    world.write("README", "y");
    world.commit("ci", "gone");
    assert_eq!(rule(&world), "S-TRUNK-04");
}

#[test]
fn the_version_is_one_more_and_nothing_else() {
    for version in [0, 1, 3] {
        let world = World::new();
        let found = changed(&world, &(world.policy(version, "") + "# a comment\n"));
        assert!(
            found == "S-POLICY-02" || version == 0 && found == "S-POLICY-01",
            "{version}: {found}"
        );
    }
}

#[test]
fn nobody_but_an_admin_changes_the_policy() {
    let world = World::new();
    world.write("policy.toml", &world.policy(2, ""));
    world.commit("bob", "mine");
    assert_eq!(rule(&world), "S-TRUNK-03");
}

#[test]
fn a_policy_of_another_repository_is_refused() {
    let world = World::new();
    assert_eq!(
        changed(&world, &world.policy(2, "").replace("b1f0c2d3", "00000000")),
        "S-POLICY-03"
    );
}

#[test]
fn a_policy_that_locks_everybody_out_is_refused() {
    let world = World::new();
    let found = changed(&world, &world.policy(2, "").replace("admin = true\n", ""));
    assert!(found.starts_with("S-POLICY-0"), "{found}");
}

#[test]
fn a_policy_deleted_renamed_made_a_link_or_a_folder_is_refused() {
    let change: [fn(&World); 4] = [
        |world| world.remove("policy.toml"),
        |world| _ = world.git(["mv", "policy.toml", "policy.tml"]),
        |world| {
            fs::rename(
                world.deploy().join("policy.toml"),
                world.deploy().join("real"),
            )
            .expect("moved");
            std::os::unix::fs::symlink("real", world.deploy().join("policy.toml")).expect("link");
        },
        |world| {
            world.remove("policy.toml");
            world.write("policy.toml/policy.toml", &world.policy(2, ""));
        },
    ];
    for change in change {
        let world = World::new();
        change(&world);
        world.commit("alice", "gone");
        assert_eq!(rule(&world), "S-POLICY-01");
    }
}

#[test]
fn a_malformed_policy_in_the_middle_stops_the_trunk_there() {
    let world = World::new();
    world.write("policy.toml", "version = ");
    let bad = world.commit("alice", "bad");
    assert_eq!(changed(&world, &world.policy(2, "")), "S-POLICY-01");
    let (_, commit, _, reason) = stopped(world.advance(world.head()));
    assert_eq!(commit, bad);
    assert!(
        reason.contains("alice") && reason.contains("policy.toml"),
        "{reason}"
    );
}

#[test]
fn one_key_under_two_people_is_refused() {
    let world = World::new();
    let found = changed(
        &world,
        &world.policy(
            2,
            &format!("[people.twin]\nkeys = [\"{}\"]\n", world.public("bob")),
        ),
    );
    assert!(matches!(found, "S-POLICY-06" | "S-POLICY-01"), "{found}");
    let reason = stopped(world.advance(world.head())).3;
    assert!(
        reason.contains("twin") || reason.contains("bob"),
        "{reason}"
    );
}

#[test]
fn an_introduction_is_exactly_what_trust_says() {
    let world = World::new();
    world.write("policy.toml", &world.policy(2, ""));
    world.commit("alice", "later");
    let right = world.trust();
    let rule = |trust| match introduce(&world.objects(), &trust).expect("objects") {
        Ok(_) => "none",
        Err(refusal) => refusal.rule.id,
    };
    assert_eq!(rule(right.clone()), "none");
    let mut wrong = right.clone();
    wrong.policy = Digest::of(b"another");
    assert_eq!(rule(wrong), "S-TRUNK-11");
    for introduction in [
        world.head(),
        Oid([9; 20]),
        world.id("HEAD:policy.toml"),
        world.id("HEAD^{tree}"),
    ] {
        let mut wrong = right.clone();
        wrong.introduction = introduction;
        assert_eq!(rule(wrong), "S-TRUNK-11", "{introduction}");
    }
}

#[test]
fn an_introduction_without_a_policy_is_none() {
    let world = World::empty();
    world.write("README", "x");
    world.commit("alice", "nothing");
    let refusal = introduce(&world.objects(), &world.trust())
        .expect("objects")
        .expect_err("no policy");
    assert_eq!(refusal.rule.id, "S-TRUNK-11");
}

#[test]
fn positions_count_from_where_trust_says_and_what_the_introduction_holds_counts_as_brought_by_it() {
    let world = World::empty();
    world.write("policy.toml", &world.policy(1, ""));
    world.manifest("manifests/a.toml", None);
    world.bundle("ci", "ramp", "1.0.0", &[("run.sh", "x")]);
    let first = world.commit("alice", "introduction");
    let mut trust = world.trust();
    trust.position = 800;
    let trusted = introduce(&world.objects(), &trust)
        .expect("objects")
        .expect("good");
    assert_eq!(trusted.position, 800);
    let manifest = &trusted.manifests["manifests/a.toml"];
    assert_eq!((manifest.by.as_str(), manifest.position), ("alice", 800));
    assert_eq!(trusted.bundles["ramp/1.0.0"].judged_by, first);
}

#[test]
fn an_empty_repository_has_no_introduction() {
    let folder = tempfile::tempdir().expect("folder");
    let objects = Objects::open(&folder.path().join("mirror"), true).expect("made");
    let trust = World::new().trust();
    let refusal = introduce(&objects, &trust)
        .expect("objects")
        .expect_err("nothing there");
    assert_eq!(refusal.rule.id, "S-TRUNK-11");
}
