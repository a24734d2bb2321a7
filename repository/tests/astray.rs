//! Heads that do not follow the one trusted last (SPEC §4 rule 5): nothing changes, and the message mends it.

mod world;

use swarm_repository::{
    objects::ObjectError,
    trunk::{self, Advance},
};
use world::{World, astray};

/// Two good commits upon the introduction.
fn two() -> World {
    let world = World::new();
    for n in 0..2 {
        world.write("README", &n.to_string());
        world.commit("alice", "one more");
    }
    world
}

fn look(world: &World, head: swarm_manifests::id::Oid) -> Advance {
    trunk::advance(&world.objects(), &world.trusted(), head).expect("objects")
}

#[test]
fn a_branch_set_back_is_rewound() {
    let world = two();
    let trusted = world.trusted();
    for back in ["HEAD^", "HEAD^^"] {
        let Advance::Astray(refusal) = look(&world, world.id(back)) else {
            panic!("{back}")
        };
        assert_eq!(refusal.rule.id, "S-TRUNK-05");
        assert!(
            refusal
                .hint
                .expect("a hint")
                .contains(&trusted.head.to_string())
        );
    }
}

#[test]
fn a_pull_without_rebase_is_sidelined() {
    let world = two();
    let trusted = world.trusted();
    world.git(["checkout", "-q", "-b", "local", "HEAD^"]);
    world.write("local", "x");
    let local = world.commit("alice", "meanwhile");
    let tree = world.git(["rev-parse", "HEAD^{tree}"]);
    let merge = world.commit_tree("alice", &tree, &[local, trusted.head]);
    let advance = trunk::advance(&world.objects(), &trusted, merge).expect("objects");
    let Advance::Astray(refusal) = advance else {
        panic!("{advance:?}")
    };
    assert_eq!(refusal.rule.id, "S-TRUNK-06");
    assert!(refusal.hint.expect("a hint").contains("git reset --hard"));
    let later = world.commit_tree("alice", &tree, &[merge]);
    assert_eq!(
        astray(trunk::advance(&world.objects(), &trusted, later).expect("objects")),
        "S-TRUNK-06"
    );
}

#[test]
fn another_history_is_unrelated_however_well_it_is_signed() {
    let world = two();
    let trusted = world.trusted();
    let tree = world.git(["rev-parse", "HEAD^{tree}"]);
    let orphan = world.commit_tree("alice", &tree, &[]);
    let sibling = world.commit_tree("alice", &tree, &[world.id("HEAD^")]);
    let instead_of_the_introduction = world.commit_tree("alice", &tree, &[orphan]);
    for head in [orphan, sibling, instead_of_the_introduction] {
        assert_eq!(
            astray(trunk::advance(&world.objects(), &trusted, head).expect("objects")),
            "S-TRUNK-07"
        );
    }
}

#[test]
fn a_head_that_is_a_tag_a_tree_or_a_blob_is_no_branch() {
    let world = two();
    world.git(["tag", "-a", "-m", "tag", "v1"]);
    for name in ["v1", "HEAD^{tree}", "HEAD:policy.toml"] {
        assert_eq!(astray(look(&world, world.id(name))), "S-TRUNK-12", "{name}");
    }
}

#[test]
fn a_head_that_is_not_there_decides_nothing() {
    let world = two();
    let gone = swarm_manifests::id::Oid([3; 20]);
    let error = trunk::advance(&world.objects(), &world.trusted(), gone).expect_err("missing");
    assert!(matches!(error, ObjectError::Missing(id) if id == gone));
}

#[test]
fn a_history_with_a_gap_decides_nothing() {
    let world = two();
    let gone = swarm_manifests::id::Oid([3; 20]);
    let tree = world.git(["rev-parse", "HEAD^{tree}"]);
    let raw = String::from_utf8(world.raw(world.commit_tree("alice", &tree, &[world.head()])))
        .expect("text");
    let gap = world.raw_commit(
        raw.replace(&world.head().to_string(), &gone.to_string())
            .as_bytes(),
    );
    let error = trunk::advance(&world.objects(), &world.trusted(), gap).expect_err("missing");
    assert!(matches!(error, ObjectError::Missing(id) if id == gone));
}
