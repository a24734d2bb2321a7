//! The verifier as a server's pre-receive hook: what no box would take never gets in. Real pushes, by path, HTTP and SSH.

use anyhow::Result;
use std::process::Output;
use swarm_tests::{
    ByHand, Deploy, GitOverHttp, GitOverSsh, World,
    process::{output, run},
};

/// Installs the hook on the bare repository.
fn guard(world: &World, deploy: &Deploy<'_>) -> Result<()> {
    run(world
        .pack()
        .arg("-C")
        .arg(deploy.remote())
        .args(["hook", "install", "--server"]))
    .map(drop)
}

/// A push that nothing of ours checks before it leaves.
fn push(deploy: &Deploy<'_>, url: &str, words: &[&str]) -> Result<Output> {
    let mut git = deploy.git_command();
    output(git.args(["push", "--no-verify", url]).args(words))
}

fn at_remote(deploy: &Deploy<'_>, branch: &str) -> Result<String> {
    let mut git = deploy.git_command();
    git.arg("--git-dir").arg(deploy.remote());
    Ok(run(git.args(["rev-parse", branch]))?.trim().to_string())
}

fn unsigned(deploy: &Deploy<'_>, file: &str) -> Result<()> {
    deploy.write(file, "by nobody\n")?;
    deploy.git(&["add", file])?;
    deploy
        .git(&["commit", "-q", "--no-gpg-sign", "-m", "unsigned"])
        .map(drop)
}

/// The pusher is told why, the server keeps what it had, and a good push goes through.
fn keeps_out(deploy: &Deploy<'_>, url: &str) -> Result<()> {
    let before = deploy.head()?;
    unsigned(deploy, "note.txt")?;
    let refused = push(deploy, url, &["main"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "it got in: {said}");
    let line = said
        .lines()
        .find(|line| line.contains("S-TRUNK-01"))
        .unwrap_or_default();
    assert!(
        line.starts_with("remote:") && line.contains("is not signed"),
        "{said}"
    );
    assert_eq!(at_remote(deploy, "main")?, before);
    deploy.git(&["reset", "-q", "--hard", &before])?;
    deploy.publish_sh("ramp", "1.0.0", "echo hello\n")?;
    let taken = push(deploy, url, &["main"])?;
    assert!(
        taken.status.success(),
        "{}",
        String::from_utf8_lossy(&taken.stderr)
    );
    assert_eq!(at_remote(deploy, "main")?, deploy.head()?);
    Ok(())
}

#[test]
fn a_refused_commit_never_gets_in_over_http() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    guard(&world, &deploy)?;
    keeps_out(&deploy, &server.url("deploy.git"))
}

#[test]
fn a_refused_commit_never_gets_in_over_ssh() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverSsh::start(&world)?;
    guard(&world, &deploy)?;
    deploy.git(&["config", "core.sshCommand", &server.ssh_command()])?;
    keeps_out(&deploy, &server.url("deploy.git")?)
}

#[test]
fn the_deploy_branch_is_neither_rewound_nor_removed_and_side_branches_are_free() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("ramp", "1.0.0", "echo hello\n")?;
    deploy.push()?;
    guard(&world, &deploy)?;
    let head = deploy.head()?;
    for (words, rule) in [
        (&["-f", "HEAD~1:refs/heads/main"][..], "S-TRUNK-05"),
        (&[":refs/heads/main"], "S-TRUNK-12"),
    ] {
        let refused = push(&deploy, "origin", words)?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains(rule),
            "{words:?}: {said}"
        );
        assert_eq!(at_remote(&deploy, "main")?, head);
    }
    unsigned(&deploy, "side.txt")?;
    let side = push(&deploy, "origin", &["HEAD:refs/heads/side"])?;
    assert!(
        side.status.success(),
        "{}",
        String::from_utf8_lossy(&side.stderr)
    );
    Ok(())
}

#[test]
fn what_was_wrong_before_the_push_does_not_stop_it_and_what_it_breaks_does() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("ramp", "1.0.0", "echo hello\n")?;
    // Nobody published `gone`: boxes refuse that workflow alone.
    deploy.manifest(
        "gone",
        "version = \"1.0.0\"\n[on]\nall = true\n[run]\nmode = \"once\"\n",
    )?;
    deploy.push()?;
    guard(&world, &deploy)?;
    let fine = "version = \"1.0.0\"\n[on]\nall = true\n[run]\nmode = \"once\"\n";
    deploy.manifest("ramp", fine)?;
    let taken = push(&deploy, "origin", &["main"])?;
    assert!(
        taken.status.success(),
        "{}",
        String::from_utf8_lossy(&taken.stderr)
    );
    deploy.manifest("ramp", &fine.replace("1.0.0", "2.0.0"))?;
    let refused = push(&deploy, "origin", &["main"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{said}");
    assert!(
        said.contains("S-BUNDLE-01") && said.contains("manifests/ramp.toml"),
        "{said}"
    );
    assert!(!said.contains("gone"), "{said}");
    Ok(())
}

#[test]
fn a_hook_of_somebody_else_stays_and_a_clone_is_no_server() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let hook = deploy.remote().join("hooks/pre-receive");
    std::fs::create_dir_all(deploy.remote().join("hooks"))?;
    std::fs::write(&hook, "#!/bin/sh\nexit 0\n")?;
    let refused = output(
        world
            .pack()
            .arg("-C")
            .arg(deploy.remote())
            .args(["hook", "install", "--server"]),
    )?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("swarm-pack check --received"));
    assert_eq!(std::fs::read_to_string(&hook)?, "#!/bin/sh\nexit 0\n");
    assert_eq!(
        deploy
            .try_pack(&["hook", "install", "--server"])?
            .status
            .code(),
        Some(1)
    );
    Ok(())
}

#[test]
fn the_commit_that_revokes_a_stolen_key_gets_in_whatever_the_key_left_behind() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.push()?;
    guard(&world, &deploy)?;
    deploy.try_pack(&["hook", "install"])?;
    let stolen = world.key("bob")?;
    let (key, public) = (
        stolen.display().to_string(),
        stolen.with_extension("pub").display().to_string(),
    );
    deploy.pack(&["policy", "add-person", "bob", "--key", &public, "--commit"])?;
    let grant = ["policy", "grant", "bob", "--may", "publish,deploy,operate"];
    deploy.pack(&[&grant[..], &["--workflows", "*", "--commit"]].concat())?;
    let begin = deploy.head()?;
    deploy.pack(&["new", "evil", "--engine", "sh"])?;
    deploy.pack(&["up", "sources/evil", "--on", "all", "--key", &key])?;
    let revoke = ["policy", "revoke", "bob", "--from", &begin];
    deploy.pack(&[&revoke[..], &["--reason", "stolen", "--commit"]].concat())?;
    // First through the hook of the clone, which notes what is void; the server's says the same.
    let mut git = deploy.git_command();
    let pushed = output(git.args(["push", "origin", "main"]))?;
    let said = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(pushed.status.success(), "{said}");
    let notes = said.matches("S-REVOKE-02").count();
    assert!(notes >= 2 && said.contains("manifests/evil.toml"), "{said}");
    assert_eq!(at_remote(&deploy, "main")?, deploy.head()?);
    Ok(())
}

#[test]
fn a_push_that_deploys_what_a_revoked_key_published_does_not_get_in() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let stolen = world.key("bob")?;
    let (key, public) = (
        stolen.display().to_string(),
        stolen.with_extension("pub").display().to_string(),
    );
    deploy.pack(&["policy", "add-person", "bob", "--key", &public, "--commit"])?;
    let grant = ["policy", "grant", "bob", "--may", "publish"];
    deploy.pack(&[&grant[..], &["--workflows", "*", "--commit"]].concat())?;
    deploy.publish_sh("ramp", "1.0.0", "echo hello\n")?;
    deploy.pack(&["deploy", "ramp", "1.0.0", "--on", "all"])?;
    let begin = deploy.head()?;
    let sh = "engine = \"sh\"\nentry = \"main.sh\"\n";
    let evil = deploy.source("ramp", "2.0.0", sh, &[("main.sh", "echo evil\n")])?;
    deploy.pack(&["publish", &evil, "--key", &key])?;
    let revoke = ["policy", "revoke", "bob", "--from", &begin];
    deploy.pack(&[&revoke[..], &["--reason", "stolen", "--commit"]].concat())?;
    deploy.push()?;
    guard(&world, &deploy)?;
    let head = deploy.head()?;
    // One that has no version before, and one that has: boxes would go on with that as if nothing had been pushed.
    for workflow in ["other", "ramp"] {
        let version = ["deploy", workflow, "2.0.0", "--on", "all"];
        deploy.pack(&[&version[..], &["--bundle", "ramp"]].concat())?;
        let refused = push(&deploy, "origin", &["main"])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{workflow} got in: {said}");
        let file = format!("manifests/{workflow}.toml");
        assert!(
            said.contains("S-REVOKE-02") && said.contains(&file),
            "{said}"
        );
        deploy.git(&["reset", "-q", "--hard", &head])?;
    }
    // Signed anew by somebody who may, in that same push, it is nobody's stolen bundle any more.
    deploy.pack(&["deploy", "ramp", "2.0.0", "--on", "all"])?;
    deploy.pack(&["sign", "bundles/ramp/2.0.0"])?;
    deploy.git(&["add", "-A"])?;
    deploy.git(&["commit", "-qm", "ramp 2.0.0 is ours now"])?;
    let taken = push(&deploy, "origin", &["main"])?;
    let said = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(taken.status.success(), "{said}");
    Ok(())
}

#[test]
fn what_no_clone_could_check_out_never_gets_in_not_even_in_a_bundle() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.push()?;
    guard(&world, &deploy)?;
    let hand = ByHand::new(&world, &deploy);
    let head = deploy.head()?;
    let blob = hand.object("blob", b"x")?;
    for (place, mode, name) in [
        ("sources", "100644", &b".."[..]),
        ("sources", "106755", b"setuid"),
        ("bundles/odd/1.0.0", "100644", b".GIT"),
        ("bundles/odd/1.0.0", "100644", b"new\nline"),
    ] {
        let folder = hand.tree(&[(mode, name, blob.clone())])?;
        let root = hand.graft(Some(&hand.head_tree()?), place, "40000", &folder)?;
        hand.commit(&root, "odd")?;
        let refused = push(&deploy, "origin", &["main"])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{place} {name:?} got in: {said}");
        assert!(said.contains("S-TRUNK-10"), "{place} {name:?}: {said}");
        deploy.git(&["update-ref", "refs/heads/main", &head])?;
    }
    assert_eq!(at_remote(&deploy, "main")?, head);
    Ok(())
}
