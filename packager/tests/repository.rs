//! Init, setup, check: in a deploy repository with real git and real keys.

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
