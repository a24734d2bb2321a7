//! What the trunk says at its head.

mod world;

use swarm_manifests::name::Name;
use swarm_repository::{snapshot::snapshot, verifier::Verifier};
use world::World;

#[test]
fn each_manifest_stands_for_itself_and_a_broken_one_refuses_itself_alone() {
    let world = World::new();
    world.manifest("manifests/good.toml", None);
    world.write("manifests/bad.toml", "nonsense [");
    world.write("manifests/README.md", "x");
    world.write("manifests/Not-A-Name.toml", "x");
    world.write(
        "boxes/lab-1.toml",
        &format!("key = \"{}\"\n", world.public("eve")),
    );
    world.write("boxes/lab-2.toml", "nonsense [");
    world.commit("alice", "some");
    let snapshot = snapshot(&world.objects(), &world.trusted()).expect("snapshot");
    let found: Vec<(&str, bool)> = snapshot
        .workflows
        .iter()
        .map(|found| (found.workflow.as_str(), found.manifest.is_ok()))
        .collect();
    assert_eq!(found, [("bad", false), ("good", true)]);
    let files: Vec<&str> = snapshot
        .problems
        .iter()
        .map(|problem| problem.file.as_str())
        .collect();
    assert_eq!(files, ["manifests/Not-A-Name.toml", "boxes/lab-2.toml"]);
    assert_eq!(
        snapshot.roster.keys().map(Name::as_str).collect::<Vec<_>>(),
        ["lab-1"]
    );
    assert_eq!(snapshot.policy.version, 1);
}

#[test]
fn two_manifests_of_one_name_are_both_refused() {
    let world = World::new();
    world.manifest("manifests/a/ramp.toml", None);
    world.manifest("manifests/b/ramp.toml", None);
    world.manifest("manifests/b/other.toml", None);
    world.commit("alice", "twins");
    let snapshot = snapshot(&world.objects(), &world.trusted()).expect("snapshot");
    for found in &snapshot.workflows {
        match &found.manifest {
            Ok(_) => assert_eq!(found.workflow.as_str(), "other"),
            Err(problems) => assert_eq!(
                (problems[0].rule.id, found.workflow.as_str()),
                ("S-FILE-11", "ramp")
            ),
        }
    }
    assert_eq!(snapshot.workflows.len(), 3);
}

#[test]
fn of_two_manifests_of_one_name_the_later_one_is_blamed() {
    let world = World::new();
    world.manifest("manifests/z/ramp.toml", None);
    world.commit("alice", "the first");
    world.manifest("manifests/a/ramp.toml", None);
    let later = world.commit("alice", "its twin");
    let snapshot = snapshot(&world.objects(), &world.trusted()).expect("snapshot");
    for found in &snapshot.workflows {
        let problems = found.manifest.as_ref().expect_err("refused");
        assert_eq!(problems[0].file, "manifests/a/ramp.toml");
        assert!(
            problems[0].message.contains("manifests/z/ramp.toml"),
            "{problems:?}"
        );
        assert_eq!(found.brought.commit.to_string(), later.to_string());
    }
}

#[test]
fn a_manifest_that_is_a_link_or_too_large_is_refused_and_says_so() {
    let world = World::new();
    world.write("manifests/large.toml", &"#".repeat((1 << 20) + 1));
    std::os::unix::fs::symlink("large.toml", world.deploy().join("manifests/link.toml"))
        .expect("link");
    world.commit("alice", "odd");
    let snapshot = snapshot(&world.objects(), &world.trusted()).expect("snapshot");
    let rules: Vec<&str> = snapshot
        .workflows
        .iter()
        .map(|found| found.manifest.as_ref().expect_err("refused")[0].rule.id)
        .collect();
    assert_eq!(rules, ["S-FILE-07", "S-TRUNK-10"]);
}

#[test]
fn a_verifier_that_knows_it_all_already_says_the_same() {
    let world = World::new();
    let mut verifier = Verifier::new();
    for n in 0..3 {
        world.manifest("manifests/a.toml", Some(&format!("[\"lab-{n}\"]")));
        world.write(
            &format!("boxes/lab-{n}.toml"),
            &format!("key = \"{}\"\n", world.public("eve")),
        );
        world.commit("alice", "change");
        let known = verifier
            .snapshot(&world.objects(), &world.trusted())
            .expect("snapshot");
        let fresh = snapshot(&world.objects(), &world.trusted()).expect("snapshot");
        assert_eq!(format!("{known:?}"), format!("{fresh:?}"));
    }
}
