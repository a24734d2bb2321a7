//! A snapshot made from the one before says what reading everything says, whatever the commits between them did.

mod world;

use swarm_repository::{snapshot::snapshot, trunk::Advance, trusted::Trusted, verifier::Verifier};
use world::World;

/// A box that follows the trunk with one verifier.
struct Follower<'w> {
    world: &'w World,
    verifier: Verifier,
    trusted: Trusted,
}

impl<'w> Follower<'w> {
    fn new(world: &'w World) -> Self {
        Self {
            world,
            verifier: Verifier::new(),
            trusted: world.introduced(),
        }
    }

    /// Moves to the head, and holds the snapshot there against one that was read from nothing.
    fn follow(&mut self, what: &str) {
        let objects = self.world.objects();
        let head = self.world.head();
        match self.verifier.advance(&objects, &self.trusted, head) {
            Ok(Advance::Moved(trusted)) => self.trusted = trusted,
            other => panic!("{what}: {other:?}"),
        }
        let carried = self.verifier.snapshot(&objects, &self.trusted);
        let fresh = snapshot(&objects, &self.trusted).expect("a snapshot");
        let carried = carried.expect("a snapshot");
        assert_eq!(format!("{carried:#?}"), format!("{fresh:#?}"), "{what}");
    }
}

/// bob needs a second person; alice deploys for everybody.
fn world() -> World {
    let world = World::empty();
    let text = world.policy(1, "");
    let text = text.replace("boxes = [\"lab-*\"]", "boxes = [\"lab-*\"]\napprovals = 2");
    world.write("policy.toml", &text);
    world.commit("alice", "introduction");
    world
}

#[test]
fn whatever_a_commit_does_to_manifests_the_carried_snapshot_is_the_fresh_one() {
    let world = world();
    let mut follower = Follower::new(&world);
    let mut step = |what: &str, change: &dyn Fn()| {
        change();
        world.commit("alice", what);
        follower.follow(what);
    };
    let manifest = |path: &str, boxes: &str| world.manifest(path, Some(&format!("[\"{boxes}\"]")));
    step("three", &|| {
        manifest("manifests/b.toml", "x-1");
        manifest("manifests/a/ab.toml", "x-1");
        manifest("manifests/a.toml", "x-1");
    });
    step("changed", &|| manifest("manifests/b.toml", "x-2"));
    step("added between", &|| manifest("manifests/a/aa.toml", "x-2"));
    step("broken", &|| world.write("manifests/b.toml", "nonsense ["));
    step("removed", &|| world.remove("manifests/a.toml"));
    step("nothing of it", &|| world.write("docs/x", "x"));
    step("a twin", &|| manifest("manifests/z/aa.toml", "x-1"));
    step("beside the twins", &|| manifest("manifests/c.toml", "x-1"));
    step("no twin", &|| world.remove("manifests/a/aa.toml"));
    step("no name", &|| world.write("manifests/No-Name.toml", "x"));
    step("beside it", &|| manifest("manifests/c.toml", "x-3"));
    step("gone", &|| world.remove("manifests/No-Name.toml"));
    step("a link", &|| {
        let at = world.deploy().join("manifests/link.toml");
        std::os::unix::fs::symlink("c.toml", at).expect("a link");
    });
    step("moved", &|| {
        world.remove("manifests/c.toml");
        manifest("manifests/a/c.toml", "x-3");
    });
    step("another policy", &|| {
        let text = world.policy(2, "");
        world.write("policy.toml", &text.replace("[\"lab-*\"]", "[\"l-*\"]"));
    });
}

#[test]
fn who_brought_it_last_counts_where_the_file_is_what_it_was() {
    let world = world();
    let mut follower = Follower::new(&world);
    for path in ["manifests/a.toml", "manifests/b.toml"] {
        world.manifest(path, Some("[\"lab-1\"]"));
    }
    world.commit("alice", "two");
    follower.follow("two");
    world.manifest("manifests/a.toml", Some("[\"lab-2\"]"));
    world.commit("alice", "there");
    world.manifest("manifests/a.toml", Some("[\"lab-1\"]"));
    world.commit("bob", "and back");
    follower.follow("and back");
    assert_eq!(
        follower.trusted.manifests["manifests/a.toml"].by.as_str(),
        "bob"
    );
}

#[test]
fn an_approval_and_a_bundle_count_for_a_manifest_that_nobody_touched() {
    let world = world();
    let mut follower = Follower::new(&world);
    for path in ["manifests/ramp.toml", "manifests/b.toml"] {
        world.manifest(path, Some("[\"lab-1\"]"));
    }
    world.commit("bob", "deploy");
    follower.follow("deploy");
    world.bundle("ci", "ramp", "1.0.0", &[("run.sh", "echo\n")]);
    world.commit("ci", "publish");
    follower.follow("publish");
    let odd = world.signature("alice", "swarm-manifest@v1", "another statement");
    world.write("approvals/ramp/alice.sig", &odd);
    world.commit("alice", "an approval");
    follower.follow("an approval");
}
