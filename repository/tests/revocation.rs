//! What a revoked key brought counts as absent, and the version before returns (SPEC §4 rule 8), with real keys and real git.

mod world;

use swarm_manifests::{id::Oid, name::Name};
use swarm_repository::{
    bundle::{Looked, look},
    snapshot::{Found, Snapshot},
    trunk::Advance,
    verifier::Verifier,
};
use world::{World, stopped};

const MANIFEST: &str = "manifests/ramp.toml";

/// alice, bob and eve may all; eve's key is stolen later.
fn policy(world: &World, version: u64, revoked: &str) -> String {
    let key = |person: &str| world.public(person);
    format!(
        "format = 1\nrepository = \"b1f0c2d3e4f5a6b7\"\nversion = {version}\n[people.alice]\nkeys = [{:?}]\nadmin = true\n[people.eve]\nkeys = [{:?}]\nadmin = true\n[people.bob]\nkeys = [{:?}]\n[[grant]]\npeople = [\"alice\", \"eve\", \"bob\"]\nmay = [\"publish\", \"deploy\", \"operate\"]\nworkflows = [\"*\"]\n{revoked}",
        key("alice"),
        key("eve"),
        key("bob"),
    )
}

fn begun() -> World {
    let world = World::empty();
    world.write("policy.toml", &policy(&world, 1, ""));
    world.commit("alice", "introduction");
    world
}

/// Places a version of the manifest that can be told from others.
fn manifest(world: &World, mark: &str, bundle: &str) {
    world.write(
        MANIFEST,
        &format!("bundle = \"ramp\"\nversion = \"{bundle}\"\nargs = [{mark:?}]\n[on]\nall = true\n[run]\nmode = \"once\"\n"),
    );
}

/// Bundles 1.0.0 by alice; manifest "first" by alice (position 1), "stolen" by eve (2).
fn stolen() -> World {
    let world = begun();
    world.bundle("alice", "ramp", "1.0.0", &[("run.sh", "echo\n")]);
    manifest(&world, "first", "1.0.0");
    world.commit("alice", "deploy");
    manifest(&world, "stolen", "1.0.0");
    world.commit("eve", "deploy");
    world
}

/// alice revokes eve's key from here on.
fn revoke(world: &World, from: &str) -> Oid {
    let print = world.fingerprint("eve");
    let entry =
        format!("[[revoked]]\nkey = {print:?}\nfrom = {from}\nreason = \"laptop stolen\"\n");
    world.write("policy.toml", &policy(world, 2, &entry));
    world.commit("alice", "revoke")
}

fn snapshot(world: &World) -> Snapshot {
    Verifier::new()
        .snapshot(&world.objects(), &world.trusted())
        .expect("a snapshot")
}

fn found(world: &World) -> Found {
    let mut workflows = snapshot(world).workflows;
    assert_eq!(workflows.len(), 1, "{workflows:?}");
    Found::clone(&workflows.remove(0))
}

/// The mark of the version that counts; or the rule that refuses the workflow.
fn mark(found: &Found) -> String {
    match &found.manifest {
        Ok(manifest) => manifest.args.clone().expect("a mark").join(""),
        Err(problems) => problems[0].rule.id.into(),
    }
}

#[test]
fn what_a_revoked_key_brought_is_void_and_the_version_before_returns() {
    let world = stolen();
    let first = world.id("HEAD^");
    assert_eq!(mark(&found(&world)), "stolen");
    revoke(&world, "2");
    let found = found(&world);
    assert_eq!(mark(&found), "first");
    assert_eq!(
        (found.brought.by.as_str(), found.brought.position),
        ("alice", 1)
    );
    assert_eq!(found.brought.commit, first);
    let why = found.instead_of.expect("why the newer one is void");
    assert_eq!(why.rule.id, "S-REVOKE-02");
    assert!(
        why.reason.contains("laptop stolen") && why.reason.contains(&world.fingerprint("eve")),
        "{}",
        why.reason
    );
}

#[test]
fn what_it_brought_before_that_position_stays() {
    let world = stolen();
    revoke(&world, "3");
    assert_eq!(mark(&found(&world)), "stolen");
    assert!(found(&world).instead_of.is_none());
}

#[test]
fn a_commit_id_says_from_where_as_well_as_a_position() {
    let world = stolen();
    let from = world.head();
    revoke(&world, &format!("\"{from}\""));
    assert_eq!(mark(&found(&world)), "first");
    let world = stolen();
    world.write("README", "x");
    let later = world.commit("bob", "something else");
    revoke(&world, &format!("\"{later}\""));
    assert_eq!(mark(&found(&world)), "stolen");
}

#[test]
fn a_commit_id_that_is_not_on_the_trunk_counts_from_the_beginning() {
    let world = stolen();
    revoke(&world, &format!("\"{}\"", Oid([7; 20])));
    assert_eq!(mark(&found(&world)), "first");
}

#[test]
fn the_chain_is_not_judged_again_and_boxes_that_begin_anew_come_to_the_same() {
    let world = stolen();
    let before = world.trusted();
    revoke(&world, "0");
    let moved = Verifier::new()
        .advance(&world.objects(), &before, world.head())
        .expect("objects");
    assert_eq!(moved, Advance::Moved(world.trusted()));
}

#[test]
fn several_void_versions_in_a_row_give_way_to_the_last_good_one() {
    let world = stolen();
    manifest(&world, "stolen again", "1.0.0");
    world.commit("eve", "once more");
    revoke(&world, "2");
    assert_eq!(mark(&found(&world)), "first");
}

#[test]
fn a_later_version_by_somebody_else_counts() {
    let world = stolen();
    manifest(&world, "mended", "1.0.0");
    world.commit("bob", "mended");
    revoke(&world, "2");
    assert_eq!(mark(&found(&world)), "mended");
}

#[test]
fn where_no_version_was_before_nothing_runs_and_it_says_why() {
    let world = begun();
    manifest(&world, "stolen", "1.0.0");
    world.commit("eve", "deploy");
    revoke(&world, "1");
    let found = found(&world);
    assert_eq!(mark(&found), "S-REVOKE-02");
    assert!(found.instead_of.is_some());
}

#[test]
fn a_manifest_that_the_key_moved_to_another_folder_returns_where_it_was() {
    let world = stolen();
    world.remove(MANIFEST);
    world.write("manifests/evil/ramp.toml", "broken [");
    world.commit("eve", "moved");
    revoke(&world, "2");
    let found = found(&world);
    assert_eq!(mark(&found), "first");
    assert_eq!(found.brought.path, MANIFEST);
}

#[test]
fn a_twin_that_the_key_placed_beside_a_good_manifest_harms_nobody() {
    let world = begun();
    manifest(&world, "good", "1.0.0");
    world.commit("alice", "deploy");
    world.write("manifests/evil/ramp.toml", "broken [");
    world.commit("eve", "a twin");
    assert_eq!(mark(&snapshot(&world).workflows[0]), "S-FILE-11");
    revoke(&world, "2");
    assert_eq!(mark(&found(&world)), "good");
}

#[test]
fn a_removal_by_somebody_else_before_the_void_version_stays_a_removal() {
    let world = stolen();
    world.remove(MANIFEST);
    world.commit("bob", "gone");
    manifest(&world, "back", "1.0.0");
    world.commit("eve", "back again");
    revoke(&world, "2");
    assert_eq!(mark(&found(&world)), "S-REVOKE-02");
}

#[test]
fn a_bundle_that_the_key_signed_or_brought_is_void_and_so_is_what_runs_from_it() {
    // signed by eve and brought by alice; and the other way round
    for (maker, bringer) in [("eve", "alice"), ("alice", "eve")] {
        let world = stolen();
        manifest(&world, "before", "1.0.0");
        world.commit("alice", "deploy");
        world.bundle(maker, "ramp", "1.1.0", &[("run.sh", "evil\n")]);
        world.commit(bringer, "publish");
        manifest(&world, "after", "1.1.0");
        world.commit("alice", "deploy");
        revoke(&world, "3");
        let found = found(&world);
        assert_eq!(mark(&found), "before", "{maker} {bringer}");
        let why = found.instead_of.expect("why").reason;
        assert!(why.contains("bundle ramp 1.1.0"), "{why}");
        assert_eq!(look_at(&world, "1.1.0"), "S-REVOKE-02");
        assert_eq!(look_at(&world, "1.0.0"), "good");
    }
}

fn look_at(world: &World, version: &str) -> &'static str {
    let ramp = Name::new("ramp").expect("a name");
    match look(&world.objects(), &world.trusted(), &ramp, version).expect("objects") {
        Looked::Verified(..) => "good",
        Looked::Refused(refusal) => refusal.rule.id,
        Looked::Need(_) => "need",
    }
}

#[test]
fn another_person_s_signature_heals_a_bundle() {
    let world = stolen();
    world.bundle("eve", "ramp", "1.1.0", &[("run.sh", "looked at\n")]);
    world.commit("eve", "publish");
    revoke(&world, "3");
    assert_eq!(look_at(&world, "1.1.0"), "S-REVOKE-02");
    world.sign_lock("alice", "bundles/ramp/1.1.0", "swarm-bundle@v1");
    world.commit("alice", "looked at and signed");
    assert_eq!(look_at(&world, "1.1.0"), "good");
}

#[test]
fn a_revoked_key_signs_no_further_commit_though_it_is_still_listed() {
    let world = stolen();
    let good = revoke(&world, "2");
    world.write("README", "x");
    let bad = world.commit("eve", "still here");
    let (rule, commit, at, reason) = stopped(world.advance(bad));
    assert_eq!((rule, commit, at.head), ("S-REVOKE-01", bad, good));
    assert!(reason.contains("laptop stolen"), "{reason}");
}

#[test]
fn a_revocation_in_the_future_counts_from_then_on() {
    let world = stolen();
    revoke(&world, "5");
    world.write("README", "x");
    let fourth = world.commit("eve", "not yet");
    assert_eq!(world.trusted().head, fourth);
    world.write("README", "y");
    let fifth = world.commit("eve", "now");
    assert_eq!(stopped(world.advance(fifth)).0, "S-REVOKE-01");
}

#[test]
fn a_secret_that_the_key_brought_is_void_and_the_one_before_returns() {
    let world = begun();
    world.write("secrets/ramp/token.age", "first");
    world.write("secrets/ramp/other.age", "other");
    world.commit("alice", "secrets");
    let token = (
        Name::new("ramp").expect("name"),
        Name::new("token").expect("name"),
    );
    let read = |world: &World| {
        let snapshot = snapshot(world);
        let secret = snapshot.secrets.get(&token);
        secret.map(|secret| secret.read(&world.objects()).expect("bytes"))
    };
    assert_eq!(read(&world).as_deref(), Some(&b"first"[..]));
    world.write("secrets/ramp/token.age", "stolen");
    world.write("secrets/ramp/new.age", "stolen");
    world.commit("eve", "secrets");
    assert_eq!(read(&world).as_deref(), Some(&b"stolen"[..]));
    assert_eq!(snapshot(&world).secrets.len(), 3);
    revoke(&world, "2");
    assert_eq!(read(&world).as_deref(), Some(&b"first"[..]));
    let snapshot = snapshot(&world);
    assert_eq!(snapshot.secrets.len(), 2);
    assert!(
        snapshot
            .problems
            .iter()
            .any(|problem| problem.rule.id == "S-REVOKE-02" && problem.file.contains("new.age"))
    );
}

/// A trunk on which two people must stand behind each manifest, with the bundle 1.0.0 published.
fn guarded() -> World {
    let world = World::empty();
    world.write("policy.toml", &two(&policy(&world, 1, "")));
    world.commit("alice", "introduction");
    world.bundle("alice", "ramp", "1.0.0", &[("run.sh", "echo\n")]);
    world.commit("alice", "publish");
    world
}

fn two(policy: &str) -> String {
    policy.replace(
        "workflows = [\"*\"]\n",
        "workflows = [\"*\"]\napprovals = 2\n",
    )
}

/// Brings this person's approval of the manifest that was committed last.
fn approve(world: &World, person: &str, bringer: &str) {
    let read = |path: &str| {
        let bytes = std::fs::read(world.deploy().join(path)).expect("a file");
        swarm_manifests::id::Digest::of(&bytes)
    };
    let statement = swarm_manifests::approval::Subject {
        repository: "b1f0c2d3e4f5a6b7",
        workflow: &Name::new("ramp").expect("a name"),
        manifest: read(MANIFEST),
        bundle: read("bundles/ramp/1.0.0/bundle.lock"),
        commit: world.head(),
    }
    .statement();
    let armour = world.signature(person, "swarm-manifest@v1", &statement);
    world.write(&format!("approvals/ramp/{person}.sig"), &armour);
    world.commit(bringer, "an approval");
}

fn revoke_two(world: &World, from: &str) {
    let print = world.fingerprint("eve");
    let entry = format!("[[revoked]]\nkey = {print:?}\nfrom = {from}\n");
    world.write("policy.toml", &two(&policy(world, 2, &entry)));
    world.commit("alice", "revoke");
}

#[test]
fn an_approval_by_the_key_counts_for_nothing_from_that_position_on_and_before_it_does() {
    for (from, missing) in [("3", 1), ("4", 0)] {
        let world = guarded();
        manifest(&world, "first", "1.0.0");
        world.commit("alice", "deploy");
        approve(&world, "eve", "bob");
        assert_eq!(found(&world).backing.tally.missing(), 0);
        revoke_two(&world, from);
        let backing = found(&world).backing;
        assert_eq!(
            backing.tally.missing(),
            missing,
            "{from}: {:?}",
            backing.odd
        );
    }
}

#[test]
fn where_the_key_gave_or_brought_an_approval_the_version_before_returns_until_others_approve() {
    // given by eve and brought by bob; given by bob and brought by eve
    for (maker, bringer, from) in [("eve", "bob", "5"), ("bob", "eve", "5")] {
        let world = guarded();
        manifest(&world, "first", "1.0.0");
        world.commit("alice", "deploy");
        approve(&world, "bob", "alice");
        manifest(&world, "second", "1.0.0");
        world.commit("alice", "deploy");
        approve(&world, maker, bringer);
        let before = found(&world);
        assert_eq!(
            (mark(&before), before.backing.tally.missing()),
            ("second".into(), 0)
        );
        assert_eq!(before.backing.approvals.len(), 1);
        revoke_two(&world, from);
        let after = found(&world);
        assert_eq!(mark(&after), "first", "{maker} {bringer}");
        assert_eq!(after.backing.tally.missing(), 0);
        let why = after.instead_of.expect("why").reason;
        assert!(
            why.contains(&format!("approvals/ramp/{maker}.sig")),
            "{why}"
        );
    }
}

#[test]
fn a_version_that_nobody_stood_behind_does_not_return() {
    let world = guarded();
    manifest(&world, "first", "1.0.0");
    world.commit("alice", "deploy");
    approve(&world, "bob", "bob");
    manifest(&world, "never approved", "1.0.0");
    world.commit("alice", "deploy");
    manifest(&world, "third", "1.0.0");
    world.commit("alice", "deploy");
    approve(&world, "eve", "bob");
    revoke_two(&world, "6");
    assert_eq!(mark(&found(&world)), "first");
}

#[test]
fn where_too_few_were_behind_it_anyway_or_nothing_was_before_it_waits_as_it_did() {
    let world = guarded();
    manifest(&world, "first", "1.0.0");
    world.commit("alice", "deploy");
    approve(&world, "eve", "bob");
    revoke_two(&world, "3");
    let found = found(&world);
    assert_eq!(
        (mark(&found), found.backing.tally.missing()),
        ("first".into(), 1)
    );
    assert!(found.instead_of.is_none());
}

#[test]
fn the_version_that_returns_has_the_approvals_that_stood_behind_it_then() {
    let world = guarded();
    manifest(&world, "first", "1.0.0");
    world.commit("alice", "deploy");
    approve(&world, "bob", "bob");
    manifest(&world, "stolen", "1.0.0");
    world.commit("eve", "deploy");
    approve(&world, "bob", "bob");
    assert_eq!(mark(&found(&world)), "stolen");
    revoke_two(&world, "4");
    let found = found(&world);
    assert_eq!(mark(&found), "first");
    assert_eq!(found.backing.tally.missing(), 0, "{:?}", found.backing.odd);
}
