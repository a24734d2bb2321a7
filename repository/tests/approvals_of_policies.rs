//! Changes of the policy that several admins must stand behind (SPEC §4 rule 2), with real keys and real git.

mod world;

use swarm_repository::trunk::Advance;
use world::{World, stopped};

/// A policy of these admins, each with the keys named, under this threshold.
fn policy(world: &World, version: u64, threshold: u32, admins: &[(&str, &[&str])]) -> String {
    let mut text = format!(
        "format = 1\nrepository = \"b1f0c2d3e4f5a6b7\"\nversion = {version}\nthreshold = {threshold}\n"
    );
    for (person, keys) in admins {
        let keys: Vec<String> = keys
            .iter()
            .map(|key| format!("{:?}", world.public(key)))
            .collect();
        text += &format!(
            "[people.{person}]\nkeys = [{}]\nadmin = true\n",
            keys.join(", ")
        );
    }
    text
}

const THREE: [(&str, &[&str]); 3] = [("alice", &["alice"]), ("bob", &["bob"]), ("ci", &["ci"])];

/// A trunk that begins with this policy.
fn begun(threshold: u32, admins: &[(&str, &[&str])]) -> World {
    let world = World::empty();
    world.write("policy.toml", &policy(&world, 1, threshold, admins));
    world.commit("alice", "introduction");
    world
}

/// Alice commits this policy with approvals (person, key); the rule that refuses it, and the reason.
fn change(world: &World, text: &str, approvals: &[(&str, &str)]) -> (&'static str, String) {
    world.write("policy.toml", text);
    for (person, key) in approvals {
        world.approve_policy(person, key, "swarm-policy@v1");
    }
    world.commit("alice", "policy");
    verdict(world)
}

fn verdict(world: &World) -> (&'static str, String) {
    match world.advance(world.head()) {
        Advance::Moved(_) => ("none", String::new()),
        other => {
            let (rule, _, _, reason) = stopped(other);
            (rule, reason)
        }
    }
}

#[test]
fn two_of_three_admins_change_the_policy_and_the_signer_of_the_commit_counts() {
    let world = begun(2, &THREE);
    let text = policy(&world, 2, 2, &THREE);
    assert_eq!(change(&world, &text, &[("bob", "bob")]).0, "none");
}

#[test]
fn one_approval_too_few_is_refused_and_says_who_could_and_how() {
    let world = begun(2, &THREE);
    let (rule, reason) = change(&world, &policy(&world, 2, 2, &THREE), &[]);
    assert_eq!(rule, "S-POLICY-04");
    assert!(
        reason.contains("1 missing") && reason.contains("bob, ci could"),
        "{reason}"
    );
}

#[test]
fn an_approval_by_somebody_who_is_no_admin_is_named_in_the_refusal() {
    let world = begun(2, &THREE[..2]);
    let text = policy(&world, 2, 2, &THREE[..2]).replace(
        "[people.alice]",
        &format!(
            "[people.ci]\nkeys = [\"{}\"]\n[people.alice]",
            world.public("ci")
        ),
    );
    let (rule, reason) = change(&world, &text, &[("ci", "ci")]);
    assert_eq!(rule, "S-POLICY-04");
    let named = "policy.sigs/ci.sig does not count";
    assert!(
        reason.contains(named) && reason.contains("no key of an admin"),
        "{reason}"
    );
}

#[test]
fn the_signer_s_own_approval_beside_the_commit_counts_once() {
    let world = begun(2, &THREE);
    let text = policy(&world, 2, 2, &THREE);
    let found = change(&world, &text, &[("alice", "alice")]);
    assert_eq!(found.0, "S-POLICY-04");
}

#[test]
fn two_keys_of_one_person_count_once() {
    let admins: [(&str, &[&str]); 3] = [
        ("alice", &["alice", "eve"]),
        ("bob", &["bob"]),
        ("ci", &["ci"]),
    ];
    let world = begun(3, &admins);
    let text = policy(&world, 2, 3, &admins);
    let found = change(&world, &text, &[("alice", "eve"), ("bob", "bob")]);
    assert_eq!(found.0, "S-POLICY-04", "{}", found.1);
    let world = begun(3, &admins);
    let found = change(
        &world,
        &text_of(&world, &admins),
        &[("ci", "ci"), ("bob", "bob")],
    );
    assert_eq!(found.0, "none", "{}", found.1);
}

fn text_of(world: &World, admins: &[(&str, &[&str])]) -> String {
    policy(world, 2, 3, admins)
}

#[test]
fn the_same_signature_under_two_names_counts_once_and_for_its_owner_alone() {
    let world = begun(3, &THREE);
    let text = policy(&world, 2, 3, &THREE);
    let found = change(&world, &text, &[("bob", "bob"), ("ci", "bob")]);
    assert_eq!(found.0, "S-POLICY-04");
    assert!(
        found
            .1
            .contains("policy.sigs/ci.sig does not count: it is signed by bob"),
        "{}",
        found.1
    );
}

#[test]
fn an_approval_for_another_purpose_is_none() {
    for namespace in ["git", "file", "swarm-manifest@v1", "swarm-bundle@v1"] {
        let world = begun(2, &THREE);
        world.write("policy.toml", &policy(&world, 2, 2, &THREE));
        world.approve_policy("bob", "bob", namespace);
        world.commit("alice", "policy");
        let (rule, reason) = verdict(&world);
        assert_eq!(rule, "S-POLICY-04", "{namespace}");
        assert!(reason.contains("namespace"), "{reason}");
    }
}

#[test]
fn an_approval_by_somebody_who_is_no_admin_or_unknown_is_none() {
    let world = begun(2, &[("alice", &["alice"]), ("bob", &["bob"])]);
    let text = policy(&world, 2, 2, &[("alice", &["alice"]), ("bob", &["bob"])]);
    let found = change(&world, &text, &[("eve", "eve")]);
    assert_eq!(found.0, "S-POLICY-04");
    let plain = |version| {
        policy(&world, version, 1, &[("alice", &["alice"])])
            + &format!("[people.bob]\nkeys = [{:?}]\n", world.public("bob"))
            + "[people.ci]\nkeys = []\nadmin = true\n"
    };
    let other = World::empty();
    let plain = |version| {
        plain(version)
            .replace(&world.public("alice"), &other.public("alice"))
            .replace(&world.public("bob"), &other.public("bob"))
            .replace("threshold = 1", "threshold = 2")
            .replace("keys = []", &format!("keys = [{:?}]", other.public("ci")))
    };
    other.write("policy.toml", &plain(1));
    other.commit("alice", "introduction");
    let found = change(&other, &plain(2), &[("bob", "bob")]);
    assert_eq!(found.0, "S-POLICY-04", "{}", found.1);
}

#[test]
fn an_approval_of_an_earlier_policy_is_no_approval_of_the_next() {
    let world = begun(2, &THREE);
    let found = change(&world, &policy(&world, 2, 2, &THREE), &[("bob", "bob")]);
    assert_eq!(found.0, "none");
    // bob's file is still there, over the bytes of version 2.
    let found = change(&world, &policy(&world, 3, 2, &THREE), &[]);
    assert_eq!(found.0, "S-POLICY-04");
    assert!(found.1.contains("bob.sig does not count"), "{}", found.1);
}

#[test]
fn an_approval_made_for_another_repository_is_none_here() {
    let world = begun(2, &THREE);
    let here = policy(&world, 2, 2, &THREE);
    world.write(
        "policy.toml",
        &here.replace("b1f0c2d3e4f5a6b7", "ffffffffffffffff"),
    );
    world.approve_policy("bob", "bob", "swarm-policy@v1");
    assert_eq!(change(&world, &here, &[]).0, "S-POLICY-04");
    let world = begun(2, &THREE);
    let there = policy(&world, 2, 2, &THREE).replace("b1f0c2d3e4f5a6b7", "ffffffffffffffff");
    assert_eq!(change(&world, &there, &[("bob", "bob")]).0, "S-POLICY-03");
}

#[test]
fn a_version_that_is_not_one_more_is_refused_however_many_approve() {
    for version in [1, 3, 7] {
        let world = begun(2, &THREE);
        let text = policy(&world, version, 2, &THREE) + "# another\n";
        let approvals = [("bob", "bob"), ("ci", "ci")];
        assert_eq!(
            change(&world, &text, &approvals).0,
            "S-POLICY-02",
            "{version}"
        );
    }
}

#[test]
fn somebody_removed_in_that_very_change_counts_for_the_old_policy_and_not_for_the_new() {
    let world = begun(2, &THREE);
    let two: [(&str, &[&str]); 2] = [("alice", &["alice"]), ("ci", &["ci"])];
    let found = change(&world, &policy(&world, 2, 2, &two), &[("bob", "bob")]);
    assert_eq!(found.0, "S-POLICY-04");
    assert!(found.1.contains("after the change"), "{}", found.1);
    let world = begun(2, &THREE);
    let found = change(&world, &policy(&world, 2, 2, &two), &[("ci", "ci")]);
    assert_eq!(found.0, "none", "{}", found.1);
}

#[test]
fn a_threshold_that_rises_must_be_met_by_the_very_change_that_raises_it() {
    let world = begun(1, &THREE);
    let text = policy(&world, 2, 3, &THREE);
    assert_eq!(change(&world, &text, &[("bob", "bob")]).0, "S-POLICY-04");
    let world = begun(1, &THREE);
    let text = policy(&world, 2, 3, &THREE);
    let all = [("bob", "bob"), ("ci", "ci")];
    assert_eq!(change(&world, &text, &all).0, "none");
}

#[test]
fn a_new_admin_counts_for_the_new_policy_and_not_for_the_old() {
    let two: [(&str, &[&str]); 2] = [("alice", &["alice"]), ("bob", &["bob"])];
    let world = begun(2, &two);
    let with_eve: [(&str, &[&str]); 3] =
        [("alice", &["alice"]), ("bob", &["bob"]), ("eve", &["eve"])];
    let text = policy(&world, 2, 3, &with_eve);
    assert_eq!(change(&world, &text, &[("eve", "eve")]).0, "S-POLICY-04");
    let world = begun(2, &two);
    let text = policy(&world, 2, 3, &with_eve);
    let both = [("eve", "eve"), ("bob", "bob")];
    assert_eq!(change(&world, &text, &both).0, "none");
}

#[test]
fn an_admin_whose_key_is_revoked_in_that_very_change_does_not_count_for_the_new_policy() {
    let world = begun(2, &THREE);
    let revoked = format!(
        "[[revoked]]\nkey = {:?}\nfrom = 0\n",
        world.fingerprint("bob")
    );
    let text = policy(&world, 2, 2, &THREE) + &revoked;
    assert_eq!(change(&world, &text, &[("bob", "bob")]).0, "S-POLICY-04");
    let world = begun(2, &THREE);
    let revoked = format!(
        "[[revoked]]\nkey = {:?}\nfrom = 0\n",
        world.fingerprint("bob")
    );
    let text = policy(&world, 2, 2, &THREE) + &revoked;
    assert_eq!(change(&world, &text, &[("ci", "ci")]).0, "none");
}

#[test]
fn a_change_that_leaves_too_few_admins_with_a_key_that_counts_is_refused() {
    let two: [(&str, &[&str]); 2] = [("alice", &["alice"]), ("bob", &["bob"])];
    let world = begun(2, &two);
    let revoked = format!(
        "[[revoked]]\nkey = {:?}\nfrom = 0\n",
        world.fingerprint("bob")
    );
    let text = policy(&world, 2, 2, &two) + &revoked;
    assert_eq!(change(&world, &text, &[("bob", "bob")]).0, "S-POLICY-05");
}

#[test]
fn an_approval_that_is_a_link_or_garbage_is_of_nobody() {
    for (what, text) in [("garbage", "hello"), ("empty", "")] {
        let world = begun(2, &THREE);
        world.write("policy.sigs/bob.sig", text);
        let found = change(&world, &policy(&world, 2, 2, &THREE), &[]);
        assert_eq!(found.0, "S-POLICY-04", "{what}");
    }
    let world = begun(2, &THREE);
    world.write("policy.toml", &policy(&world, 2, 2, &THREE));
    world.approve_policy("bob", "bob", "swarm-policy@v1");
    let file = world.deploy().join("policy.sigs/bob.sig");
    std::fs::rename(&file, world.deploy().join("elsewhere")).expect("moved");
    std::os::unix::fs::symlink("../elsewhere", &file).expect("link");
    world.commit("alice", "policy");
    assert_eq!(verdict(&world).0, "S-POLICY-04");
}
