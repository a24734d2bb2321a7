//! Who may do what: the policy's commands, the questions about people, the roster. With real git and real keys.

mod world;

use world::World;

#[test]
fn the_allowed_signers_let_git_and_ssh_keygen_name_the_person() {
    let world = World::with_repository();
    let signers = world.pack("deploy", &["signers"]).ok().out;
    world.write("signers", signers);
    assert!(
        world
            .run("git", "deploy", &["log", "-1", "--show-signature"], b"")
            .out
            .contains("for alice")
    );
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    let lock = world.read("deploy/bundles/ramp/1.2.0/bundle.lock");
    let args = [
        "-Y",
        "verify",
        "-f",
        "signers",
        "-I",
        "alice",
        "-n",
        "swarm-bundle@v1",
        "-s",
        "deploy/bundles/ramp/1.2.0/bundle.lock.sig",
    ];
    world.run("ssh-keygen", ".", &args, lock.as_bytes()).ok();
}

#[test]
fn a_stranger_is_told_what_to_send_to_an_admin() {
    let world = World::with_repository();
    world.git(".", &["clone", "-q", "deploy", "theirs"]);
    world.keygen("other", "ed25519");
    world
        .pack("theirs", &["setup", "--key", "../other"])
        .ok()
        .says("[people.YOUR-NAME]");
    let said = world
        .pack(
            "theirs",
            &["setup", "--json", "--key", "../home/.ssh/id_ed25519"],
        )
        .ok()
        .json();
    assert_eq!(
        (&said["person"], &said["admin"]),
        (&"alice".into(), &true.into())
    );
}

#[test]
fn a_box_comes_into_the_roster() {
    let world = World::with_repository();
    world.keygen("box", "ed25519");
    world
        .pack(
            "deploy",
            &[
                "box",
                "add",
                "lab-1",
                "--key",
                "../box.pub",
                "--label",
                "site=berkeley",
                "--label",
                "rack=2",
            ],
        )
        .ok();
    assert!(
        world
            .read("deploy/boxes/lab-1.toml")
            .contains("labels = { site = \"berkeley\", rack = 2 }")
    );
    world.pack("deploy", &["check"]).ok();
}

/// A repository whose policy knows bob, who may publish ramp; bob's key is `bob`.
fn with_bob() -> World {
    let world = World::with_repository();
    world.keygen("bob", "ed25519");
    world
        .pack(
            "deploy",
            &["policy", "add-person", "bob", "--key", "../bob.pub"],
        )
        .ok()
        .says("bob joins, with the key SHA256:");
    world
        .pack(
            "deploy",
            &[
                "policy",
                "grant",
                "bob",
                "--may",
                "publish",
                "--workflows",
                "ramp",
                "--commit",
            ],
        )
        .ok()
        .says("bob may publish ramp")
        .says("committed as");
    world
}

#[test]
fn several_edits_make_one_policy_change_that_boxes_take() {
    let world = with_bob();
    assert!(world.read("deploy/policy.toml").contains("version = 2"));
    assert_eq!(world.git("deploy", &["status", "--porcelain"]), "");
    world.pack("deploy", &["check"]).ok();
    let who = world
        .pack("deploy", &["who", "can", "publish", "ramp", "--json"])
        .ok()
        .json();
    let people: Vec<_> = who
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["person"])
        .collect();
    assert_eq!(people, ["alice", "bob"]);
}

#[test]
fn a_second_threshold_says_who_must_approve_and_commits_nothing() {
    let world = with_bob();
    world
        .pack("deploy", &["policy", "admin", "bob", "--commit"])
        .ok();
    let said = world
        .pack("deploy", &["policy", "threshold", "2", "--json"])
        .ok();
    let approvals = &said.json()["approvals"];
    assert_eq!(
        (&approvals["missing"], &approvals["can"][0]),
        (&1.into(), &"bob".into()),
        "{}",
        said.out
    );
    said.says("1 missing, bob could")
        .says("swarm-pack approve policy.toml");
    world
        .pack("deploy", &["policy", "team", "lab", "alice", "--commit"])
        .code(1)
        .says("S-POLICY-04");
    assert!(
        world
            .git("deploy", &["status", "--porcelain"])
            .contains("policy.toml")
    );
}

#[test]
fn a_person_without_the_right_gets_no_policy_committed() {
    let world = with_bob();
    world
        .pack(
            "deploy",
            &["policy", "admin", "bob", "--commit", "--sign-key", "../bob"],
        )
        .code(1)
        .says("S-POLICY-04");
    assert_eq!(
        world.git("deploy", &["rev-list", "--count", "HEAD"]).trim(),
        "2"
    );
}

#[test]
fn wrong_input_leaves_the_policy_as_it_was() {
    let world = with_bob();
    let before = world.read("deploy/policy.toml");
    for (args, code, words) in [
        (
            &["add-person", "bob", "--key", "../bob.pub"][..],
            1,
            "is in the policy already",
        ),
        (
            &["add-person", "eve", "--key", "../bob.pub"],
            1,
            "S-POLICY-06",
        ),
        (
            &["add-person", "Eve", "--key", "../bob.pub"],
            2,
            "invalid value",
        ),
        (&["add-person", "eve", "--key", "../bob"], 2, "private key"),
        (&["add-key", "eve", "../bob.pub"], 3, "no person eve"),
        (
            &["grant", "eve", "--may", "deploy", "--workflows", "*"],
            1,
            "no person or team eve",
        ),
        (
            &["grant", "bob", "--may", "fly", "--workflows", "*"],
            2,
            "publish, deploy or operate",
        ),
        (
            &["grant", "bob", "--may", "deploy", "--workflows", "[x"],
            2,
            "invalid value",
        ),
        (&["threshold", "0"], 2, "invalid value"),
        (&["threshold", "3"], 1, "S-POLICY-05"),
        (&["revoke", "alice", "--from", "now"], 1, "S-POLICY-05"),
        (&["revoke", "bob", "--from", "yesterday"], 2, "--from takes"),
        (&["team", "lab", "--remove", "bob"], 3, "not in the team"),
        (&[], 2, "Usage"),
    ] {
        let mut words_typed = vec!["policy"];
        words_typed.extend(args);
        world.pack("deploy", &words_typed).code(code).says(words);
        assert_eq!(world.read("deploy/policy.toml"), before, "{args:?}");
    }
}

#[test]
fn revoking_a_person_names_every_key_of_theirs_and_the_place_on_the_trunk() {
    let world = with_bob();
    world
        .pack(
            "deploy",
            &[
                "policy",
                "revoke",
                "bob",
                "--from",
                "now",
                "--reason",
                "laptop stolen",
                "--commit",
            ],
        )
        .ok()
        .says("bob loses the key")
        .says("counts as absent (laptop stolen)");
    let text = world.read("deploy/policy.toml");
    assert!(
        text.contains("[[revoked]]")
            && text.contains("from = 2")
            && text.matches("ssh-ed25519 ").count() == 1,
        "{text}"
    );
    world.pack("deploy", &["check"]).ok();
}

#[test]
fn who_answers_by_boxes_and_by_signatures() {
    let world = with_bob();
    world
        .pack(
            "deploy",
            &[
                "policy",
                "grant",
                "bob",
                "--may",
                "deploy",
                "--workflows",
                "ramp",
                "--boxes",
                "lab-*",
                "--commit",
            ],
        )
        .ok();
    let can = |words: &[&str]| {
        let mut typed = vec!["who", "can"];
        typed.extend(words);
        world.pack("deploy", &typed).ok().out
    };
    assert!(can(&["deploy", "ramp", "to", "lab-3"]).contains("bob"));
    assert!(!can(&["deploy", "ramp", "to", "till-1"]).contains("bob"));
    assert!(!can(&["deploy", "other"]).contains("bob"));
    world.bundle("ramp", "ramp", "1.2.0");
    world
        .pack("deploy", &["publish", "../ramp", "--key", "../bob"])
        .ok();
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0", "--on", "all"])
        .ok();
    let signed = |words: &[&str]| {
        let mut typed = vec!["who", "signed", "--json"];
        typed.extend(words);
        world.pack("deploy", &typed).ok().json()
    };
    for (words, by) in [
        (&["ramp", "1.2.0"][..], "bob"),
        (&["bundles/ramp/1.2.0"], "bob"),
        (&["ramp@1.2.0"], "bob"),
        (&["HEAD"], "alice"),
        (&["HEAD~1"], "bob"),
        (&["manifests/ramp.toml"], "alice"),
        (&["ramp"], "alice"),
    ] {
        assert_eq!(signed(words)[0]["by"], by, "{words:?}");
    }
    assert_eq!(signed(&["ramp"])[1]["what"], "bundles/ramp/1.2.0");
    world.pack("deploy", &["who", "signed", "nothing"]).code(3);
    world.pack("deploy", &["who", "can", "fly", "ramp"]).code(2);
}

#[test]
fn allowed_signers_name_namespaces_and_have_no_wildcards() {
    let world = with_bob();
    let text = world.pack("deploy", &["signers"]).ok().out;
    assert_eq!(text.lines().count(), 2);
    for line in text.lines() {
        assert!(
            line.contains("namespaces=\"git,swarm-bundle@v1,swarm-policy@v1,"),
            "{line}"
        );
        assert!(!line.contains('*'), "{line}");
    }
    let json = world.pack("deploy", &["signers", "--json"]).ok().json();
    assert_eq!(
        (&json[1]["person"], &json[1]["namespaces"][0]),
        (&"bob".into(), &"git".into())
    );
}

#[test]
fn a_box_leaves_the_roster() {
    let world = World::with_repository();
    world.keygen("box", "ed25519");
    world
        .pack("deploy", &["box", "add", "lab-1", "--key", "../box.pub"])
        .ok();
    world
        .pack("deploy", &["who", "reads", "lab-1"])
        .ok()
        .says("nothing to rotate");
    world.pack("deploy", &["box", "remove", "lab-1"]).ok();
    assert!(!world.path("deploy/boxes/lab-1.toml").exists());
    assert_eq!(world.git("deploy", &["status", "--porcelain"]), "");
    world.pack("deploy", &["box", "remove", "lab-1"]).code(3);
    world.pack("deploy", &["who", "reads", "lab-1"]).code(3);
    world.pack("deploy", &["check"]).ok();
}

#[test]
fn what_is_to_be_typed_next_works_as_it_is_printed_and_says_the_whole_change() {
    let world = World::with_repository();
    world.keygen("bob", "ed25519");
    let add = ["policy", "add-person", "bob", "--key", "../bob.pub"];
    world.pack("deploy", &add).ok();
    let grant = ["policy", "grant", "bob", "--may", "deploy"];
    let said = world
        .pack("deploy", &[&grant[..], &["--workflows", "ramp"]].concat())
        .ok();
    let line = said.err.lines().find(|line| line.contains("git add"));
    let line = line.expect("the next step").replace("; git push", "");
    world.run("sh", "deploy", &["-ec", &line], b"").ok();
    let message = world.git("deploy", &["log", "-1", "--format=%s"]);
    assert!(
        message.contains("bob") && message.contains("deploy ramp"),
        "{message}"
    );
    assert_eq!(world.git("deploy", &["status", "--porcelain"]), "");
    world.pack("deploy", &["check"]).ok();
}
