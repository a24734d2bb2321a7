//! Build, sign, verify: bundles by themselves, without a repository.

mod world;

use std::os::unix::fs::PermissionsExt;
use world::World;

/// A tree as people really have them.
fn real_tree(world: &World, folder: &str) {
    world.bundle(folder, "ramp", "1.2.0");
    world.write(
        &format!("{folder}/with space/[brackets] {{and}} 'quotes'.txt"),
        "a",
    );
    world.write(&format!("{folder}/größe/日本語.txt"), "b\r\nc\r\n");
    world.write(&format!("{folder}/bin/tool"), "#!/bin/sh\n");
    world.make_executable(&format!("{folder}/bin/tool"));
    world.link("../main.sh", &format!("{folder}/bin/main"));
    world.write(
        &format!("{folder}/.swarmignore"),
        "*.log\n/node_modules/\n!keep.log\n",
    );
    world.write(&format!("{folder}/noise.log"), "x");
    world.write(&format!("{folder}/keep.log"), "x");
    world.write(&format!("{folder}/node_modules/a/index.js"), "x");
    world.write(&format!("{folder}/.git/HEAD"), "x");
    world.write(&format!("{folder}/sub/.GIT/HEAD"), "x");
}

#[test]
fn a_real_tree_is_packed_as_the_contract_says() {
    let world = World::new();
    real_tree(&world, "b");
    let said = world.pack(".", &["build", "b", "--json"]).ok().json();
    let lock = world.read("b/bundle.lock");
    let paths: Vec<&str> = lock
        .lines()
        .skip(3)
        .map(|line| line.splitn(4, ' ').nth(3).expect("a path"))
        .collect();
    assert_eq!(
        paths,
        [
            ".swarmignore",
            "bin/main",
            "bin/tool",
            "bundle.toml",
            "größe/日本語.txt",
            "keep.log",
            "main.sh",
            "with space/[brackets] {and} 'quotes'.txt"
        ]
    );
    assert!(
        lock.starts_with("swarm-bundle-v1\nname ramp\nversion 1.2.0\n") && lock.ends_with('\n'),
        "{lock}"
    );
    assert!(
        lock.contains(" link 10 bin/main\n") && lock.contains(" 755 10 bin/tool\n"),
        "{lock}"
    );
    assert_eq!(said["files"], 8);
    let sum = world.run("sha256sum", ".", &["b/bundle.lock"], b"").out;
    assert_eq!(said["digest"], format!("sha256:{}", &sum[..64]));
}

#[test]
fn the_same_content_gives_the_same_bytes_whatever_the_modes_times_and_order() {
    let world = World::new();
    real_tree(&world, "a");
    real_tree(&world, "b");
    let mode = |name: &str, mode| {
        std::fs::set_permissions(world.path(name), std::fs::Permissions::from_mode(mode))
            .expect("a mode");
    };
    mode("b/main.sh", 0o600);
    mode("b/bin/tool", 0o4711);
    world
        .run("touch", ".", &["-d", "2001-01-01", "b/main.sh"], b"")
        .ok();
    world.pack(".", &["build", "a"]).ok();
    world.pack(".", &["build", "b"]).ok();
    world.pack(".", &["build", "b"]).ok();
    assert_eq!(world.read("a/bundle.lock"), world.read("b/bundle.lock"));
}

#[test]
fn ssh_keygen_verifies_what_we_sign() {
    let world = World::new();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        world.bundle("b", "ramp", "1.2.0");
        world.keygen(kind, kind);
        let said = world
            .pack(".", &["sign", "b", "--key", kind, "--json"])
            .ok()
            .json();
        world.write(
            "signers",
            format!("alice {}", world.read(&format!("{kind}.pub"))),
        );
        let lock = world.read("b/bundle.lock");
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
            "b/bundle.lock.sig",
        ];
        world.run("ssh-keygen", ".", &args, lock.as_bytes()).ok();
        let fingerprint = world
            .run(
                "ssh-keygen",
                ".",
                &["-l", "-f", &format!("{kind}.pub")],
                b"",
            )
            .out;
        assert!(
            fingerprint.contains(said["key"].as_str().expect("a key")),
            "{fingerprint} {said}"
        );
    }
}

#[test]
fn we_verify_what_ssh_keygen_signs() {
    let world = World::new();
    world.bundle("b", "ramp", "1.2.0");
    world.pack(".", &["build", "b"]).ok();
    world
        .run(
            "ssh-keygen",
            ".",
            &[
                "-Y",
                "sign",
                "-n",
                "swarm-bundle@v1",
                "-f",
                "home/.ssh/id_ed25519",
                "b/bundle.lock",
            ],
            b"",
        )
        .ok();
    let said = world.pack(".", &["verify", "b", "--json"]).ok().json();
    assert_eq!(
        (said["name"].as_str(), said["version"].as_str()),
        (Some("ramp"), Some("1.2.0"))
    );
    assert!(
        said["key"]
            .as_str()
            .is_some_and(|key| key.starts_with("SHA256:")),
        "{said}"
    );
}

#[test]
fn a_signature_for_another_namespace_does_not_verify() {
    let world = World::new();
    world.bundle("b", "ramp", "1.2.0");
    world.pack(".", &["build", "b"]).ok();
    world
        .run(
            "ssh-keygen",
            ".",
            &[
                "-Y",
                "sign",
                "-n",
                "file",
                "-f",
                "home/.ssh/id_ed25519",
                "b/bundle.lock",
            ],
            b"",
        )
        .ok();
    world
        .pack(".", &["verify", "b"])
        .code(1)
        .says("S-BUNDLE-03");
}

#[test]
fn verify_names_everything_that_is_wrong_at_once() {
    let world = World::new();
    real_tree(&world, "b");
    world.pack(".", &["sign", "b"]).ok();
    world.pack(".", &["verify", "b"]).ok();
    world.write("b/main.sh", "echo evil\n");
    world.write("b/extra", "x");
    std::fs::remove_file(world.path("b/keep.log")).expect("it is there");
    let said = world.pack(".", &["verify", "b", "--json"]).code(1).json();
    let found: Vec<String> = said["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| {
            format!(
                "{} {}",
                p["rule"].as_str().unwrap_or("?"),
                p["file"].as_str().unwrap_or("?")
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            "S-BUNDLE-05 b/keep.log",
            "S-BUNDLE-05 b/main.sh",
            "S-BUNDLE-06 b/extra"
        ]
    );
}

#[test]
fn every_bad_path_is_named_at_once() {
    let world = World::new();
    world.bundle("b", "ramp", "1.2.0");
    world.link("/etc/passwd", "b/absolute");
    world.link("../../x", "b/out");
    world.write("b/back\\slash", "x");
    world.write("b/line\nbreak", "x");
    world.run("mkfifo", ".", &["b/pipe"], b"").ok();
    let said = world.pack(".", &["build", "b"]).code(1);
    for words in [
        "absolute",
        "out",
        "back\\slash",
        "pipe",
        "S-BUNDLE-10",
        "S-BUNDLE-09",
        "S-BUNDLE-12",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

#[test]
fn an_entry_that_is_not_there_is_found_before_any_box_finds_it() {
    let world = World::new();
    world.bundle("b", "ramp", "1.2.0");
    std::fs::remove_file(world.path("b/main.sh")).expect("it is there");
    world.pack(".", &["build", "b"]).code(1).says("main.sh");
}

#[test]
fn a_workdir_that_no_file_lies_in_is_found_before_any_box_finds_it() {
    let world = World::new();
    world.bundle("b", "ramp", "1.2.0");
    let toml = world.read("b/bundle.toml");
    let with = |workdir: &str| format!("workdir = \"{workdir}\"\n{toml}");
    world.write("b/bundle.toml", with("bundle/data/in"));
    let said = world.pack(".", &["build", "b"]).code(1);
    assert!(said.err.contains("bundle/data/in"), "{}", said.err);
    world.write("b/data/in/file", "x");
    world.pack(".", &["build", "b"]).ok();
    for good in ["bundle/data", "bundle", "state", "state/run"] {
        world.write("b/bundle.toml", with(good));
        world.pack(".", &["build", "b"]).ok();
    }
}

#[test]
fn signing_what_changed_since_it_was_built_is_refused() {
    let world = World::new();
    world.bundle("b", "ramp", "1.2.0");
    world.pack(".", &["build", "b"]).ok();
    world.write("b/main.sh", "echo other\n");
    world.pack(".", &["sign", "b"]).code(1).says("S-BUNDLE-02");
}

#[test]
fn without_a_key_it_says_how_to_make_one() {
    let world = World::new();
    world.bundle("b", "ramp", "1.2.0");
    std::fs::remove_dir_all(world.path("home/.ssh")).expect("it is there");
    world
        .pack(".", &["sign", "b"])
        .code(1)
        .says("ssh-keygen -t ed25519");
}

#[test]
fn the_agent_signs_with_a_key_that_git_names_in_words() {
    let world = World::new();
    world.bundle("b", "ramp", "1.2.0");
    let public = world.read("home/.ssh/id_ed25519.pub");
    world.git(
        ".",
        &[
            "config",
            "--global",
            "user.signingkey",
            &format!("key::{}", public.trim()),
        ],
    );
    // No agent runs: the private key lies in the usual place, and ssh-keygen must not be given it by us.
    world
        .pack(".", &["sign", "b"])
        .code(1)
        .says("could not sign");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let world = World::new();
    world.pack(".", &["build"]).code(2);
    world.pack(".", &["frobnicate"]).code(2);
    world
        .pack(".", &["deploy", "ramp", "not-a-version"])
        .code(2);
}

#[test]
fn links_that_together_lead_out_or_in_a_circle_are_not_packed() {
    for (links, why) in [
        (
            [("../..", "b/x/y/up"), ("x/y/up/../etc", "b/out")],
            "leads out",
        ),
        ([("two", "b/one"), ("one", "b/two")], "circle"),
    ] {
        let world = World::new();
        world.bundle("b", "ramp", "1.2.0");
        world.write("b/x/y/file", "");
        for (target, link) in links {
            world.link(target, link);
        }
        let built = world.pack(".", &["build", "b"]);
        let said = format!("{}{}", built.out, built.err);
        assert!(said.contains("S-BUNDLE-10") && said.contains(why), "{said}");
        assert!(!world.path("b/bundle.lock").exists());
    }
}
