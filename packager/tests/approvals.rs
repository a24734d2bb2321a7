//! Approvals of policies and manifests by several people, with real git, real keys and ssh-keygen.

mod world;

use world::World;

/// Alice's repository `deploy`, its server `hub.git`; bob is an admin too, and `rest` was typed of the policy. Bob's clone is
/// `theirs`, and signs with his key.
fn two(rest: &[&[&str]]) -> World {
    let world = World::with_repository();
    world.git(".", &["init", "-q", "--bare", "-b", "main", "hub.git"]);
    world.git("deploy", &["remote", "add", "origin", "../hub.git"]);
    world.keygen("bob", "ed25519");
    let policy = |words: &[&str]| {
        let mut typed = vec!["policy"];
        typed.extend(words);
        world.pack("deploy", &typed).ok();
    };
    policy(&[
        "add-person",
        "bob",
        "--key",
        "../bob.pub",
        "--admin",
        "--commit",
    ]);
    for words in rest {
        policy(words);
    }
    world.git("deploy", &["push", "-qu", "origin", "main"]);
    world.git(".", &["clone", "-q", "hub.git", "theirs"]);
    world.pack("theirs", &["setup", "--key", "../bob"]).ok();
    world
}

const BOTH: &[&str] = &["threshold", "2"];

/// The threshold becomes 2, which takes both already.
fn threshold_of_two() -> World {
    let world = two(&[]);
    world
        .pack("deploy", &[&["policy"], BOTH].concat())
        .ok()
        .says("1 missing, bob could");
    world
        .pack("deploy", &["policy", "threshold", "2", "--commit"])
        .code(1)
        .says("S-POLICY-04");
    world.git("deploy", &["switch", "-qc", "policy-3"]);
    world
        .pack("deploy", &["approve", "policy.toml"])
        .ok()
        .says("bob could");
    world.git("deploy", &["commit", "-qm", "two of two"]);
    world.git("deploy", &["push", "-q", "origin", "policy-3"]);
    world
}

#[test]
fn a_policy_change_of_two_admins_is_approved_on_a_branch_and_merged() {
    let world = threshold_of_two();
    world.git("theirs", &["fetch", "-q"]);
    world.git("theirs", &["switch", "-q", "policy-3"]);
    let said = world
        .pack("theirs", &["approve", "policy.toml", "--json"])
        .ok();
    let json = said.json();
    assert_eq!(
        (&json["by"], &json["approvals"]["missing"], &json["version"]),
        (&"bob".into(), &0.into(), &3.into()),
        "{json}"
    );
    assert_eq!(
        json["changes"][0],
        "2 admins must approve the next policy, instead of 1"
    );
    world.git("theirs", &["commit", "-qm", "approved"]);
    world.git("theirs", &["switch", "-q", "main"]);
    world.git(
        "theirs",
        &["merge", "-q", "--no-ff", "-m", "policy 3", "policy-3"],
    );
    world.pack("theirs", &["check"]).ok();
    world.git("theirs", &["push", "-q", "origin", "main"]);
}

#[test]
fn the_same_branch_without_the_second_approval_is_refused_before_the_push() {
    let world = threshold_of_two();
    world.git("deploy", &["switch", "-q", "main"]);
    world.git(
        "deploy",
        &["merge", "-q", "--no-ff", "-m", "policy 3", "policy-3"],
    );
    world
        .pack("deploy", &["check"])
        .code(1)
        .says("S-POLICY-04")
        .says("bob");
    let pushed = world.run("git", "deploy", &["push", "origin", "main"], b"");
    assert_ne!(pushed.code, 0);
    pushed.says("S-POLICY-04");
}

#[test]
fn an_approval_is_of_these_very_bytes() {
    let world = two(&[]);
    world.pack("deploy", &[&["policy"], BOTH].concat()).ok();
    world.pack("deploy", &["approve", "policy.toml"]).ok();
    world
        .pack("deploy", &["approve", "policy.toml", "--key", "../bob"])
        .ok()
        .says("--commit");
    world
        .pack("deploy", &["policy", "team", "lab", "bob"])
        .ok()
        .says("policy.sigs/alice.sig does not count")
        .says("missing");
}

#[test]
fn what_ssh_keygen_signs_elsewhere_is_taken() {
    let world = two(&[]);
    world.pack("deploy", &[&["policy"], BOTH].concat()).ok();
    world.pack("deploy", &["approve", "policy.toml"]).ok();
    let what = world
        .pack("deploy", &["approve", "policy.toml", "--print"])
        .ok()
        .out;
    assert_eq!(what, world.read("deploy/policy.toml"));
    world.write("what", &what);
    let sign = |namespace| ["-q", "-Y", "sign", "-n", namespace, "-f", "bob", "what"];
    world.run("ssh-keygen", ".", &sign("file"), b"").ok();
    world
        .pack(
            "deploy",
            &["approve", "policy.toml", "--signature", "../what.sig"],
        )
        .code(1)
        .says("namespace");
    std::fs::remove_file(world.path("what.sig")).expect("it is there");
    world
        .run("ssh-keygen", ".", &sign("swarm-policy@v1"), b"")
        .ok();
    let said = world
        .pack(
            "deploy",
            &[
                "approve",
                "policy.toml",
                "--signature",
                "../what.sig",
                "--commit",
            ],
        )
        .ok();
    said.says("bob approves it: policy.sigs/bob.sig")
        .says("committed as");
    world.pack("deploy", &["check"]).ok();
}

#[test]
fn who_is_no_admin_approves_no_policy() {
    let world = two(&[]);
    world.keygen("eve", "ed25519");
    world
        .pack(
            "deploy",
            &["policy", "add-person", "eve", "--key", "../eve.pub"],
        )
        .ok();
    world
        .pack("deploy", &["approve", "policy.toml", "--key", "../eve"])
        .code(4)
        .says("no admin");
    assert!(!world.path("deploy/policy.sigs").exists());
    world.git("deploy", &["checkout", "-q", "policy.toml"]);
    world
        .pack("deploy", &["approve", "policy.toml"])
        .ok()
        .says("nothing to approve");
    world.pack("deploy", &["approve", "nowhere.toml"]).code(2);
    world.pack("deploy", &["approve", "nowhere"]).code(3);
}

/// A manifest that needs two people, deployed by alice.
fn waiting() -> World {
    let world = two(&[&[
        "grant",
        "alice,bob",
        "--may",
        "deploy",
        "--workflows",
        "ramp",
        "--approvals",
        "2",
        "--commit",
    ]]);
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0", "--on", "all"])
        .ok();
    world.git("deploy", &["push", "-q", "origin", "main"]);
    world.git("theirs", &["pull", "-q"]);
    world
}

#[test]
fn a_manifest_waits_for_the_second_person_and_no_longer() {
    let world = waiting();
    world
        .pack("theirs", &["check"])
        .ok()
        .says("S-APPROVE-01")
        .says("bob could");
    world
        .pack("deploy", &["approve", "ramp"])
        .ok()
        .says("behind it already");
    let said = world
        .pack("theirs", &["approve", "manifests/ramp.toml", "--json"])
        .ok();
    assert_eq!(said.json()["approvals"]["missing"], 0, "{}", said.out);
    said.says("ramp is new: ramp 1.2.0 as daemon on all")
        .says("that is enough");
    world.git("theirs", &["commit", "-qm", "approve ramp"]);
    let said = world.pack("theirs", &["check"]).ok();
    assert!(!said.err.contains("S-APPROVE-01"), "{}", said.err);
    world.git("theirs", &["push", "-q", "origin", "main"]);
    // The same manifest at another commit needs it anew.
    world
        .pack("theirs", &["deploy", "ramp", "1.2.0", "--mode", "once"])
        .ok();
    world
        .pack("theirs", &["check"])
        .ok()
        .says("S-APPROVE-01")
        .says("approvals/ramp/bob.sig");
}

#[test]
fn what_ssh_keygen_signs_of_a_manifest_elsewhere_is_taken_when_placed() {
    let world = waiting();
    let what = world
        .pack("theirs", &["approve", "ramp", "--print"])
        .ok()
        .out;
    assert!(
        what.starts_with("swarm-manifest-v1\nrepository ") && what.lines().count() == 6,
        "{what}"
    );
    world.write("what", &what);
    world
        .run(
            "ssh-keygen",
            ".",
            &[
                "-q",
                "-Y",
                "sign",
                "-n",
                "swarm-manifest@v1",
                "-f",
                "bob",
                "what",
            ],
            b"",
        )
        .ok();
    world.write("theirs/approvals/ramp/bob.sig", world.read("what.sig"));
    world.git("theirs", &["add", "approvals"]);
    world.git("theirs", &["commit", "-qm", "approve ramp"]);
    let said = world.pack("theirs", &["check"]).ok();
    assert!(!said.err.contains("S-APPROVE-01"), "{}", said.err);
}

#[test]
fn who_may_not_deploy_it_does_not_stand_behind_it() {
    let world = waiting();
    world.keygen("eve", "ed25519");
    world
        .pack("theirs", &["approve", "ramp", "--key", "../eve"])
        .code(4)
        .says("does not know the key");
    assert!(!world.path("theirs/approvals").exists());
}

#[test]
fn a_policy_that_was_committed_as_it_is_can_still_be_approved() {
    let world = two(&[]);
    let policy = world.read("deploy/policy.toml");
    world.write(
        "deploy/policy.toml",
        format!("{policy}\n[teams]\nlab = [\"bob\"]\n"),
    );
    world
        .pack("deploy", &["check", "policy.toml"])
        .code(1)
        .says("S-POLICY-02");
    world.git("deploy", &["commit", "-qam", "a team"]);
    world
        .pack("deploy", &["check", "policy.toml"])
        .code(1)
        .says("S-POLICY-02");
    world
        .pack("deploy", &["approve", "policy.toml"])
        .ok()
        .says("git reset --soft");
    assert!(world.read("deploy/policy.toml").contains("version = 3"));
    world
        .pack("deploy", &["approve", "policy.toml", "--commit"])
        .code(1)
        .says("it would come after what boxes do not take");
    world.git("deploy", &["reset", "-q", "--soft", "HEAD~1"]);
    world
        .pack("deploy", &["approve", "policy.toml", "--commit"])
        .ok();
    world.pack("deploy", &["check"]).ok();
}
