//! A trunk that stopped is mended without a force push. With real git, two clones and a bare repository between them.

mod world;

use world::World;

/// Alice's clone `deploy`, the server `hub.git`, and bob's clone `theirs`, who may publish ramp and nothing else. Bob pushed
/// a manifest that he may not deploy, unhindered; the good commit before it.
fn stopped() -> (World, String) {
    let world = World::with_repository();
    world.git(".", &["init", "-q", "--bare", "-b", "main", "hub.git"]);
    world.git("deploy", &["remote", "add", "origin", "../hub.git"]);
    world.keygen("bob", "ed25519");
    let policy = |words: &[&str]| {
        let mut typed = vec!["policy"];
        typed.extend(words);
        world.pack("deploy", &typed).ok();
    };
    policy(&["add-person", "bob", "--key", "../bob.pub"]);
    policy(&[
        "grant",
        "bob",
        "--may",
        "publish",
        "--workflows",
        "ramp",
        "--commit",
    ]);
    world.bundle("ramp", "ramp", "1.2.0");
    world.pack("deploy", &["publish", "../ramp"]).ok();
    world.git("deploy", &["push", "-qu", "origin", "main"]);
    let good = world
        .git("deploy", &["rev-parse", "HEAD"])
        .trim()
        .to_string();
    world.git(".", &["clone", "-q", "hub.git", "theirs"]);
    world.git("theirs", &["config", "gpg.format", "ssh"]);
    world
        .pack(
            "theirs",
            &["deploy", "ramp", "1.2.0", "--on", "all", "--key", "../bob"],
        )
        .ok();
    world.git("theirs", &["push", "-q", "--no-verify", "origin", "main"]);
    (world, good)
}

fn line(world: &World, words: &[&str]) -> String {
    world.git("deploy", words).trim().to_string()
}

#[test]
fn somebody_with_the_right_takes_a_refused_commit_over() {
    let (world, good) = stopped();
    let refused = world
        .git("theirs", &["rev-parse", "HEAD"])
        .trim()
        .to_string();
    let said = world.pack("deploy", &["vouch", "--json"]).ok();
    let commit = said.json()["commit"]
        .as_str()
        .expect("a commit")
        .to_string();
    assert_eq!(
        said.json()["files"][0],
        "manifests/ramp.toml",
        "{}",
        said.out
    );
    said.says("S-TRUNK-").says("vouched for");
    assert_eq!(
        line(&world, &["rev-parse", "HEAD", "HEAD^1", "HEAD^2"]),
        format!("{commit}\n{good}\n{refused}")
    );
    assert!(world.path("deploy/manifests/ramp.toml").exists());
    assert_eq!(line(&world, &["status", "--porcelain"]), "");
    world.pack("deploy", &["check"]).ok();
    world.git("deploy", &["push", "-q", "origin", "main"]);
    world
        .pack("deploy", &["vouch"])
        .ok()
        .says("nothing to mend");
}

#[test]
fn a_refused_commit_is_left_out_without_a_force_push() {
    let (world, good) = stopped();
    world
        .pack("deploy", &["vouch", "--drop"])
        .ok()
        .says("left out");
    assert_eq!(line(&world, &["diff", "--name-only", &good, "HEAD"]), "");
    assert!(!world.path("deploy/manifests/ramp.toml").exists());
    world.pack("deploy", &["check"]).ok();
    world.git("deploy", &["push", "-q", "origin", "main"]);
    assert_eq!(
        world.git("hub.git", &["rev-parse", "main"]).trim(),
        line(&world, &["rev-parse", "HEAD"])
    );
}

#[test]
fn nobody_vouches_for_what_they_may_not_do_themselves() {
    let (world, _) = stopped();
    let head = world.git("theirs", &["rev-parse", "HEAD"]);
    world
        .pack("theirs", &["vouch", "--key", "../bob"])
        .code(1)
        .says("boxes would refuse this merge too");
    assert_eq!(world.git("theirs", &["rev-parse", "HEAD"]), head);
    // Leaving one's own mistake out changes nothing, and needs no right.
    world
        .pack("theirs", &["vouch", "--drop", "--key", "../bob"])
        .ok();
    world.pack("theirs", &["check"]).ok();
}

#[test]
fn work_that_only_this_clone_has_is_not_lost() {
    let (world, good) = stopped();
    world.write("deploy/mine.txt", "mine\n");
    world.git("deploy", &["add", "mine.txt"]);
    world.git("deploy", &["commit", "-qm", "mine"]);
    world
        .pack("deploy", &["vouch"])
        .code(1)
        .says("git push them");
    assert_eq!(line(&world, &["rev-parse", "HEAD^1"]), good);
    // A file that is changed and not committed stays, where the merge does not touch it; else it is refused.
    world.git("deploy", &["reset", "-q", "--soft", &good]);
    world.write("deploy/manifests/ramp.toml", "mine\n");
    world
        .pack("deploy", &["vouch"])
        .code(1)
        .says("commit or stash it");
    assert_eq!(world.read("deploy/manifests/ramp.toml"), "mine\n");
    std::fs::remove_dir_all(world.path("deploy/manifests")).expect("it is there");
    world.pack("deploy", &["vouch"]).ok();
    assert_eq!(world.read("deploy/mine.txt"), "mine\n");
}

#[test]
fn a_remote_that_does_not_answer_is_exit_code_5() {
    let (world, _) = stopped();
    world.git(
        "deploy",
        &["remote", "set-url", "origin", "/nowhere/hub.git"],
    );
    world.pack("deploy", &["vouch"]).code(5);
}
