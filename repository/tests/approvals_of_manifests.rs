//! Manifests that several people must stand behind (SPEC §4 rule 7), with real keys and real git.

mod world;

use swarm_manifests::{approval::Subject, id::Digest, name::Name};
use swarm_repository::{snapshot::Found, verifier::Verifier};
use world::World;

const MANIFEST: &str = "manifests/ramp.toml";

/// A grant of two for everybody who deploys; bob may deploy to lab boxes, ci to none.
fn begun() -> World {
    let world = World::empty();
    let text = world
        .policy(1, "")
        .replace("boxes = [\"lab-*\"]", "boxes = [\"lab-*\"]\napprovals = 2");
    world.write("policy.toml", &text);
    world.commit("alice", "introduction");
    world.bundle("ci", "ramp", "1.0.0", &[("run.sh", "echo\n")]);
    world.commit("ci", "publish");
    world
}

/// begun, with a manifest for lab-1 that alice committed.
fn deployed() -> World {
    let world = begun();
    world.manifest(MANIFEST, Some("[\"lab-1\"]"));
    world.commit("alice", "deploy");
    world
}

fn found(world: &World) -> Found {
    let mut snapshot = Verifier::new()
        .snapshot(&world.objects(), &world.trusted())
        .expect("a snapshot");
    Found::clone(&snapshot.workflows.remove(0))
}

fn missing(world: &World) -> u32 {
    found(world).backing.tally.missing()
}

/// Why the one file that does not count does not.
fn odd(world: &World) -> String {
    let backing = found(world).backing;
    assert_eq!(backing.tally.missing(), 1);
    backing.odd.first().expect("one file").1.clone()
}

/// The statement about the manifest as it stands, with this repository and workflow.
fn statement(world: &World, repository: &str, workflow: &str) -> String {
    let read = |path: &str| Digest::of(&std::fs::read(world.deploy().join(path)).expect("a file"));
    Subject {
        repository,
        workflow: &Name::new(workflow).expect("a name"),
        manifest: read(MANIFEST),
        bundle: read("bundles/ramp/1.0.0/bundle.lock"),
        commit: world.trusted().manifests[MANIFEST].commit,
    }
    .statement()
}

const ID: &str = "b1f0c2d3e4f5a6b7";

/// This person's file, signed with this key, committed by alice.
fn approve(world: &World, person: &str, key: &str, statement: &str) {
    let armour = world.signature(key, "swarm-manifest@v1", statement);
    world.write(&format!("approvals/ramp/{person}.sig"), &armour);
    world.commit("alice", "an approval");
}

#[test]
fn a_second_person_s_approval_is_enough_and_until_then_it_says_who_could() {
    let world = deployed();
    let tally = found(&world).backing.tally;
    assert_eq!((tally.needed, tally.missing()), (2, 1));
    let others: Vec<&str> = tally.others().map(Name::as_str).collect();
    assert_eq!(others, ["bob"]);
    approve(&world, "bob", "bob", &statement(&world, ID, "ramp"));
    assert_eq!(missing(&world), 0);
}

#[test]
fn somebody_whose_only_key_is_revoked_is_not_named_as_one_who_could() {
    let world = deployed();
    let revoked = format!(
        "[[revoked]]\nkey = {:?}\nfrom = 3\n",
        world.fingerprint("bob")
    );
    let text = world
        .policy(2, &revoked)
        .replace("boxes = [\"lab-*\"]", "boxes = [\"lab-*\"]\napprovals = 2");
    world.write("policy.toml", &text);
    world.commit("alice", "bob's laptop was stolen");
    assert_eq!(found(&world).backing.tally.others().count(), 0);
}

#[test]
fn the_signer_s_own_approval_makes_nobody_a_second_person() {
    let world = deployed();
    approve(&world, "alice", "alice", &statement(&world, ID, "ramp"));
    assert_eq!(missing(&world), 1);
}

#[test]
fn an_approval_by_somebody_without_the_right_or_under_another_name_counts_for_nothing() {
    let world = deployed();
    approve(&world, "ci", "ci", &statement(&world, ID, "ramp"));
    assert!(odd(&world).contains("may not deploy"));
    let world = deployed();
    approve(&world, "ci", "bob", &statement(&world, ID, "ramp"));
    assert!(odd(&world).contains("signed by bob"));
    let world = deployed();
    approve(&world, "eve", "eve", &statement(&world, ID, "ramp"));
    assert!(odd(&world).contains("does not know"));
}

#[test]
fn an_approval_counts_for_the_boxes_that_its_person_may_deploy_to_only() {
    let world = begun();
    world.manifest(MANIFEST, Some("[\"lab-1\", \"roof-1\"]"));
    world.commit("alice", "deploy");
    approve(&world, "bob", "bob", &statement(&world, ID, "ramp"));
    assert!(odd(&world).contains("roof-1"));
}

#[test]
fn an_approval_for_another_repository_or_another_workflow_with_the_same_bytes_is_none() {
    let world = deployed();
    approve(
        &world,
        "bob",
        "bob",
        &statement(&world, "ffffffffffffffff", "ramp"),
    );
    assert!(odd(&world).contains("does not fit"));
    let world = deployed();
    approve(&world, "bob", "bob", &statement(&world, ID, "other"));
    assert!(odd(&world).contains("does not fit"));
}

#[test]
fn an_approval_of_the_same_manifest_before_it_was_changed_and_changed_back_is_none() {
    let world = deployed();
    approve(&world, "bob", "bob", &statement(&world, ID, "ramp"));
    assert_eq!(missing(&world), 0);
    world.manifest(MANIFEST, Some("[\"lab-2\"]"));
    world.commit("alice", "changed");
    assert!(odd(&world).contains("does not fit"));
    world.manifest(MANIFEST, Some("[\"lab-1\"]"));
    world.commit("alice", "changed back");
    assert!(odd(&world).contains("does not fit"));
    approve(&world, "bob", "bob", &statement(&world, ID, "ramp"));
    assert_eq!(missing(&world), 0);
}

#[test]
fn an_approval_of_another_bundle_is_none() {
    let world = deployed();
    let other = statement(&world, ID, "ramp");
    let digest = Digest::of(
        &std::fs::read(world.deploy().join("bundles/ramp/1.0.0/bundle.lock")).expect("a lock"),
    );
    approve(
        &world,
        "bob",
        "bob",
        &other.replace(&digest.hex(), &"0".repeat(64)),
    );
    assert!(odd(&world).contains("does not fit"));
}

#[test]
fn a_signature_made_for_git_or_a_file_is_no_approval() {
    for namespace in ["git", "file", "swarm-policy@v1"] {
        let world = deployed();
        let armour = world.signature("bob", namespace, &statement(&world, ID, "ramp"));
        world.write("approvals/ramp/bob.sig", &armour);
        world.commit("alice", "an approval");
        assert!(odd(&world).contains("namespace"), "{namespace}");
    }
}

#[test]
fn somebody_who_left_afterwards_has_still_approved() {
    let world = deployed();
    approve(&world, "bob", "bob", &statement(&world, ID, "ramp"));
    let key = world.public("bob");
    let policy = std::fs::read_to_string(world.deploy().join("policy.toml")).expect("policy");
    let policy = policy
        .replace("version = 1\n", "version = 2\n")
        .replace(&key, &world.public("eve"));
    world.write("policy.toml", &policy);
    world.commit("alice", "bob has a new key");
    assert_eq!(missing(&world), 0);
}
