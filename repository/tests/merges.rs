//! Merges on the trunk (SPEC §4 rules 1 and 3): who signs one vouches for all it brings, and a stopped trunk is mended by one. With
//! real git and real keys.

mod world;

use swarm_repository::trunk::Advance;
use world::{World, stopped};

#[test]
fn who_signs_a_merge_vouches_for_an_unsigned_side_branch() {
    let world = World::new();
    world.git(["checkout", "-q", "-b", "side"]);
    world.manifest("manifests/ramp.toml", Some("[\"lab-1\"]"));
    world.commit_unsigned("unsigned");
    merge(&world, "bob");
    let trusted = world.trusted();
    assert_eq!((trusted.head, trusted.position), (world.head(), 1));
    assert_eq!(trusted.manifests["manifests/ramp.toml"].by.as_str(), "bob");
}

fn merge(world: &World, person: &str) {
    world.git(["checkout", "-q", "main"]);
    let mut git = world.signing_git(person);
    git.args(["merge", "-q", "-S", "--no-ff", "-m", "merge", "side"]);
    assert!(git.status().expect("git").success());
}

#[test]
fn a_merge_is_judged_by_all_it_changes_against_its_first_parent() {
    let world = World::new();
    world.git(["checkout", "-q", "-b", "side"]);
    world.manifest("manifests/ramp.toml", None);
    world.commit("alice", "alice signed this on a side branch");
    merge(&world, "bob");
    world.refused("S-TRUNK-09");
}

#[test]
fn an_octopus_by_somebody_without_the_right_is_refused() {
    let world = World::new();
    let base = world.head();
    let mut parents = vec![base];
    for n in 0..3 {
        world.git([
            "checkout",
            "-q",
            "-b",
            &format!("side{n}"),
            &base.to_string(),
        ]);
        world.write(&format!("sources/{n}"), "x");
        if n == 2 {
            world.write("boxes/new.toml", "key = \"x\"");
        }
        parents.push(world.commit_unsigned("side"));
    }
    let tree = world.git(["rev-parse", &format!("{}^{{tree}}", parents[3])]);
    let octopus = world.commit_tree("ci", &tree, &parents);
    let (rule, commit, at, _) = stopped(world.advance(octopus));
    assert_eq!((rule, commit, at.head), ("S-TRUNK-03", octopus, base));
    let by_admin = world.commit_tree("alice", &tree, &parents);
    assert!(matches!(world.advance(by_admin), Advance::Moved(_)));
}

#[test]
fn a_stopped_trunk_is_mended_by_a_signed_merge_upon_the_last_good_commit() {
    let world = World::new();
    let good = world.head();
    world.manifest("manifests/ramp.toml", None);
    let bad = world.commit("eve", "unknown");
    world.refused("S-TRUNK-04");
    let tree = world.git(["rev-parse", &format!("{bad}^{{tree}}")]);
    let without_right = world.commit_tree("bob", &tree, &[good, bad]);
    assert_eq!(stopped(world.advance(without_right)).0, "S-TRUNK-09");
    let vouched = world.commit_tree("alice", &tree, &[good, bad]);
    assert!(
        matches!(world.advance(vouched), Advance::Moved(trusted) if trusted.head == vouched && trusted.position == 1)
    );
    let dropped = world.commit_tree(
        "ci",
        &world.git(["rev-parse", &format!("{good}^{{tree}}")]),
        &[good, bad],
    );
    assert!(
        matches!(world.advance(dropped), Advance::Moved(trusted) if trusted.manifests.is_empty())
    );
    let upside_down = world.commit_tree("alice", &tree, &[bad, good]);
    assert_eq!(stopped(world.advance(upside_down)).1, bad);
}

#[test]
fn a_merge_that_a_forge_signed_says_what_to_do() {
    let world = World::new();
    world.manifest("manifests/ramp.toml", None);
    world.git(["add", "-A"]);
    let mut git = world.signing_git("eve");
    git.env("GIT_COMMITTER_NAME", "GitHub")
        .env("GIT_COMMITTER_EMAIL", "noreply@github.com")
        .args(["commit", "-q", "-S", "-m", "Squash (#7)"]);
    assert!(git.status().expect("git").success());
    let Advance::Stopped { refusal, at, .. } = world.advance(world.head()) else {
        panic!("not stopped")
    };
    assert_eq!(refusal.rule.id, "S-TRUNK-04");
    let hint = refusal.hint.expect("what to do");
    assert!(
        hint.contains("forge") && hint.contains("swarm-pack vouch"),
        "{hint}"
    );
    assert!(
        hint.contains(&format!(
            "git push --force-with-lease origin {}:main",
            at.head
        )),
        "{hint}"
    );
}
