//! Init, publish, deploy, up, check: in a deploy repository with real git and real keys.

mod world;

use world::{World, files};

#[test]
fn init_makes_a_signed_introduction_that_verifies() {
    let world = World::new();
    std::fs::create_dir(world.path("deploy")).expect("a folder");
    let said = world.pack("deploy", &["init", "--json"]).ok().json();
    let keys: Vec<&String> = said.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["repository", "introduction", "policy-sha256"]);
    assert_eq!(
        world.git("deploy", &["rev-parse", "main"]).trim(),
        said["introduction"]
    );
    let sum = world.run("sha256sum", "deploy", &["policy.toml"], b"").out;
    assert_eq!(sum[..64], *said["policy-sha256"].as_str().expect("text"));
    assert_eq!(said["repository"].as_str().map(str::len), Some(32));
    world.git("deploy", &["verify-commit", "HEAD"]);
    assert_eq!(world.git("deploy", &["status", "--porcelain"]), "");
    world.pack("deploy", &["check"]).ok();
    assert_eq!(
        world.pack("deploy", &["check", "--json"]).ok().out.trim(),
        "[]"
    );
}

#[test]
fn init_says_what_goes_under_trust_and_refuses_a_second_time() {
    let world = World::new();
    std::fs::create_dir(world.path("deploy")).expect("a folder");
    let said = world.pack("deploy", &["init", "--person", "ann"]).ok();
    assert!(
        said.out.starts_with("[trust]\nintroduction = \""),
        "{}",
        said.out
    );
    let before = files(&world.path("deploy"));
    world.pack("deploy", &["init"]).code(1).says("policy.toml");
    assert_eq!(files(&world.path("deploy")), before);
}

#[test]
fn init_without_a_key_makes_nothing() {
    let world = World::new();
    std::fs::remove_dir_all(world.path("home/.ssh")).expect("it is there");
    std::fs::create_dir(world.path("deploy")).expect("a folder");
    world
        .pack("deploy", &["init"])
        .code(1)
        .says("ssh-keygen -t ed25519");
    assert!(files(&world.path("deploy")).is_empty());
}

#[test]
fn a_plain_git_commit_after_init_is_signed_and_passes() {
    let world = World::with_repository();
    world.write("deploy/README.md", "ours\n");
    world.git("deploy", &["add", "README.md"]);
    world.git("deploy", &["commit", "-qm", "a word to readers"]);
    world.git("deploy", &["verify-commit", "HEAD"]);
    world.pack("deploy", &["check"]).ok();
}

#[test]
fn an_unsigned_commit_is_found_and_the_hook_keeps_it_from_being_pushed() {
    let world = World::with_repository();
    world.git(".", &["init", "-q", "--bare", "-b", "main", "hub.git"]);
    world.git("deploy", &["remote", "add", "origin", "../hub.git"]);
    world.git("deploy", &["push", "-q", "origin", "main"]);
    world.write("deploy/README.md", "ours\n");
    world.git("deploy", &["add", "README.md"]);
    world.git("deploy", &["commit", "-qm", "unsigned", "--no-gpg-sign"]);
    let said = world.pack("deploy", &["check", "--json"]).code(1).json();
    assert_eq!(said[0]["rule"], "S-TRUNK-01", "{said}");
    let pushed = world.run("git", "deploy", &["push", "origin", "main"], b"");
    assert_ne!(pushed.code, 0);
    pushed.says("S-TRUNK-01");
    // A side branch needs no signatures.
    world.git("deploy", &["push", "-q", "origin", "HEAD:refs/heads/side"]);
}

#[test]
fn publish_writes_the_bytes_as_they_are_whatever_git_is_told() {
    let world = World::with_repository();
    world.git("deploy", &["config", "core.autocrlf", "true"]);
    world.write(
        "deploy/.git/info/attributes",
        "* text=auto eol=crlf ident\n",
    );
    world.bundle("ramp", "ramp", "1.2.0");
    world.write("ramp/crlf.txt", "a\r\nb\r\n");
    world.write("ramp/lf.txt", "$Id$\na\nb\n");
    world.link("lf.txt", "ramp/link with [x]");
    world.write("ramp/tool", "#!/bin/sh\n");
    world.make_executable("ramp/tool");
    let said = world
        .pack("deploy", &["publish", "../ramp", "--json"])
        .ok()
        .json();
    assert_eq!(
        said["commit"].as_str(),
        Some(world.git("deploy", &["rev-parse", "HEAD"]).trim())
    );
    assert_eq!(
        world.git("deploy", &["show", "HEAD:bundles/ramp/1.2.0/crlf.txt"]),
        "a\r\nb\r\n"
    );
    assert_eq!(
        world.git("deploy", &["show", "HEAD:bundles/ramp/1.2.0/lf.txt"]),
        "$Id$\na\nb\n"
    );
    let tree = world.git("deploy", &["ls-tree", "HEAD:bundles/ramp/1.2.0"]);
    assert!(
        tree.contains("120000 blob") && tree.contains("100755 blob"),
        "{tree}"
    );
    assert_eq!(
        world.git("deploy", &["log", "-1", "--format=%s"]).trim(),
        "publish ramp 1.2.0"
    );
    world.pack("deploy", &["verify", "bundles/ramp/1.2.0"]).ok();
    world.pack("deploy", &["check"]).ok();
}

#[test]
fn what_the_person_has_staged_or_changed_stays_as_it_is() {
    let world = World::with_repository();
    world.write("deploy/staged.txt", "1\n");
    world.write("deploy/dirty.txt", "1\n");
    world.git("deploy", &["add", "dirty.txt"]);
    world.git("deploy", &["commit", "-qm", "a file"]);
    world.git("deploy", &["add", "staged.txt"]);
    world.write("deploy/dirty.txt", "2\n");
    world.write("deploy/untracked.txt", "3\n");
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0", "--on", "all"])
        .ok();
    assert_eq!(
        world.git("deploy", &["status", "--porcelain"]),
        " M dirty.txt\nA  staged.txt\n?? untracked.txt\n"
    );
    assert_eq!(world.read("deploy/dirty.txt"), "2\n");
}

#[test]
fn publishing_the_same_bytes_twice_does_nothing() {
    let world = World::with_repository();
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    let head = world.git("deploy", &["rev-parse", "HEAD"]);
    world
        .pack("deploy", &["publish", "../ramp"])
        .ok()
        .says("nothing to do");
    assert_eq!(world.git("deploy", &["rev-parse", "HEAD"]), head);
}

#[test]
fn other_bytes_under_a_version_are_refused_even_when_its_folder_is_gone() {
    let world = World::with_repository();
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world.write("ramp/main.sh", "echo other\n");
    world
        .pack("deploy", &["publish", "../ramp"])
        .code(1)
        .says("S-BUNDLE-08");
    world.git("deploy", &["rm", "-rq", "bundles/ramp"]);
    world.git("deploy", &["commit", "-qm", "the old one goes"]);
    world
        .pack("deploy", &["publish", "../ramp"])
        .code(1)
        .says("S-BUNDLE-08");
}

#[test]
fn deploy_makes_the_manifest_and_then_only_turns_the_version() {
    let world = World::with_repository();
    world.bundle("ramp", "ramp", "1.2.0");
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0", "--on", "all"])
        .code(1)
        .says("S-BUNDLE-01");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0"])
        .code(2)
        .says("--on");
    world
        .pack(
            "deploy",
            &[
                "deploy",
                "fast",
                "1.2.0",
                "--bundle",
                "ramp",
                "--on",
                "where:site == \"lab\"",
                "--mode",
                "once",
                "--time-limit",
                "6s",
                "--env",
                "A=b c",
                "--arg",
                "-x",
            ],
        )
        .ok();
    let text = world.read("deploy/manifests/fast.toml");
    for line in [
        "bundle = \"ramp\"",
        "version = \"1.2.0\"",
        "mode = \"once\"",
        "time-limit = \"6s\"",
        "A = \"b c\"",
        "args = [\"-x\"]",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    world
        .pack("deploy", &["deploy", "fast", "1.2.0"])
        .ok()
        .says("nothing to do");
    world
        .pack(
            "deploy",
            &[
                "deploy",
                "fast",
                "1.2.0",
                "--mode",
                "daemon",
                "--on",
                "where:site ==",
            ],
        )
        .code(1)
        .says("S-SELECT-01");
    assert_eq!(world.read("deploy/manifests/fast.toml"), text);
    world.pack("deploy", &["check"]).ok();
}

#[test]
fn check_finds_every_problem_of_every_file_with_its_place() {
    let world = World::with_repository();
    world.write(
        "deploy/manifests/a.toml",
        "version = \"1.0\"\nbundel = \"x\"\n[on]\nall = true\n[run]\nmode = \"sometimes\"\n",
    );
    world.write(
        "deploy/manifests/b.toml",
        "version = \"1.0.0\"\n[on]\nall = true\n[run]\nmode = \"daemon\"\n",
    );
    world.write(
        "deploy/manifests/sub/b.toml",
        "version = \"1.0.0\"\n[on]\nall = true\n[run]\nmode = \"daemon\"\n",
    );
    let said = world.pack("deploy", &["check", "--json"]).code(1).json();
    let has = |file: &str, line: u64, rule: &str| {
        said.as_array()
            .expect("a list")
            .iter()
            .any(|p| p["file"] == file && p["line"] == line && p["rule"] == rule)
    };
    assert!(has("manifests/a.toml", 1, "S-FILE-05"), "{said}");
    assert!(has("manifests/a.toml", 2, "S-FILE-02"), "{said}");
    assert!(has("manifests/a.toml", 6, "S-FILE-05"), "{said}");
    assert!(has("manifests/b.toml", 1, "S-BUNDLE-01"), "{said}");
    assert!(has("manifests/sub/b.toml", 0, "S-FILE-11"), "{said}");
    let one = world
        .pack("deploy", &["check", "manifests/a.toml", "--json"])
        .code(1)
        .json();
    assert_eq!(one.as_array().map(Vec::len), Some(3), "{one}");
    world
        .pack("deploy", &["check", "manifests/a.toml"])
        .code(1)
        .says("manifests/a.toml:2:1");
}

#[test]
fn outside_a_deploy_repository_it_says_so() {
    let world = World::new();
    world.bundle("ramp", "ramp", "1.2.0");
    world
        .pack(".", &["publish", "ramp"])
        .code(1)
        .says("swarm-pack init");
    world
        .pack(".", &["check"])
        .code(1)
        .says("not in a git repository");
    world.git(".", &["init", "-q", "plain"]);
    world
        .pack("plain", &["check"])
        .code(1)
        .says("without policy.toml");
}

#[test]
fn a_bundle_tampered_with_in_the_repository_is_found() {
    let world = World::with_repository();
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world
        .pack("deploy", &["deploy", "ramp", "1.2.0", "--on", "all"])
        .ok();
    world.write("deploy/bundles/ramp/1.2.0/main.sh", "echo evil!\n");
    world.git("deploy", &["commit", "-qam", "evil"]);
    let said = world.pack("deploy", &["check", "--json"]).code(1).json();
    assert_eq!(
        (&said[0]["rule"], &said[0]["file"]),
        (&"S-BUNDLE-05".into(), &"manifests/ramp.toml".into()),
        "{said}"
    );
}

#[test]
fn show_says_who_signed_what_and_what_runs_it() {
    let world = World::with_repository();
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world
        .pack(
            "deploy",
            &[
                "deploy", "fast", "1.2.0", "--bundle", "ramp", "--on", "lab-*,x",
            ],
        )
        .ok();
    let said = world
        .pack("deploy", &["show", "fast", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&said[0]["by"], &said[0]["workflows"][0]["on"]),
        (&"alice".into(), &"lab-*,x".into()),
        "{said}"
    );
    world.pack("deploy", &["show", "nothing"]).code(3);
    assert!(world.pack("deploy", &["show"]).ok().out.contains("alice"));
}

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
                "--box-key",
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

#[test]
fn every_starter_packs_and_up_publishes_it_in_one_commit() {
    let world = World::with_repository();
    for engine in ["exec", "sh", "node", "python", "accessor", "java", "beam"] {
        let name = format!("my-{engine}");
        world
            .pack("deploy", &["new", &name, "--engine", engine])
            .ok();
        world.pack("deploy", &["check"]).ok();
        let before = world
            .git("deploy", &["rev-list", "--count", "HEAD"])
            .trim()
            .parse::<u32>()
            .expect("a number");
        world
            .pack("deploy", &["up", &format!("sources/{name}")])
            .ok();
        let after = world
            .git("deploy", &["rev-list", "--count", "HEAD"])
            .trim()
            .parse::<u32>()
            .expect("a number");
        assert_eq!(after, before + 1, "{engine}");
        assert!(
            world
                .git("deploy", &["show", &format!("HEAD:manifests/{name}.toml")])
                .contains("0.1.0")
        );
    }
    world.pack("deploy", &["check"]).ok();
}

#[test]
fn up_raises_the_version_only_where_bytes_changed() {
    let world = World::with_repository();
    world.bundle("ramp", "ramp", "1.2.0");
    world
        .pack("deploy", &["up", "../ramp"])
        .code(2)
        .says("--on all");
    assert_eq!(world.git("deploy", &["status", "--porcelain"]), "");
    world.pack("deploy", &["up", "../ramp", "--on", "all"]).ok();
    let head = world.git("deploy", &["rev-parse", "HEAD"]);
    world
        .pack("deploy", &["up", "../ramp"])
        .ok()
        .says("nothing to commit");
    assert_eq!(world.git("deploy", &["rev-parse", "HEAD"]), head);
    world.write("ramp/main.sh", "echo more\n");
    let said = world
        .pack("deploy", &["up", "../ramp", "--json"])
        .ok()
        .json();
    assert_eq!(said["version"], "1.2.1");
    assert!(
        world
            .read("ramp/bundle.toml")
            .contains("version = \"1.2.1\" # raised by up")
    );
    assert!(world.read("deploy/manifests/ramp.toml").contains("1.2.1"));
    assert_eq!(world.git("deploy", &["rev-parse", "HEAD~1"]), head);
}

#[test]
fn a_lost_race_is_run_again_upon_what_the_others_pushed() {
    let world = World::with_repository();
    world.git(".", &["init", "-q", "--bare", "-b", "main", "hub.git"]);
    world.git("deploy", &["remote", "add", "origin", "../hub.git"]);
    world.git("deploy", &["push", "-qu", "origin", "main"]);
    world.git(".", &["clone", "-q", "hub.git", "theirs"]);
    world.pack("theirs", &["setup"]).ok();
    world.bundle("ramp", "ramp", "1.2.0");
    world.bundle("other", "ramp", "1.2.0");
    world.write("other/main.sh", "echo theirs\n");
    // They take the very same version first, and a manifest of their own.
    world
        .pack("theirs", &["up", "../other", "--on", "lab-*"])
        .ok();
    // Ours was written and never committed.
    world
        .pack("deploy", &["new", "mine", "--engine", "sh"])
        .ok();
    world.write("deploy/dirty.txt", "x\n");
    world
        .pack("deploy", &["up", "sources/mine"])
        .ok()
        .says("others pushed");
    assert!(world.read("deploy/manifests/mine.toml").contains("0.1.0"));
    world.pack("deploy", &["up", "../ramp"]).ok();
    assert!(world.read("ramp/bundle.toml").contains("1.2.1"));
    assert!(world.read("deploy/manifests/ramp.toml").contains("lab-*"));
    assert_eq!(
        world.git("hub.git", &["rev-parse", "main"]),
        world.git("deploy", &["rev-parse", "HEAD"])
    );
    assert_eq!(world.read("deploy/dirty.txt"), "x\n");
    world.pack("deploy", &["check"]).ok();
}
