//! Publish, deploy, show: what they write, and what they leave alone.

mod world;

use world::World;

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
