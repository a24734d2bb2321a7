//! What `./dev test` installs is all that the tests call: a machine that has nothing else must do.

use anyhow::{Context, Result};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// In every Debian, however small: coreutils, findutils, grep, dash, bash, util-linux.
const EVERYWHERE: &str =
    "bash chroot cp date du find grep id mkfifo nsenter script sh sleep timeout true unshare";
/// Our own, and what comes with something that `./dev` installs: elixir, procps, mount, openssh-client, Rust.
const BESIDES: &str = "swarm-agent swarm-map swarm-pack mix kill umount ssh cargo";

/// Every name that some test starts as a program.
fn called(root: &Path) -> Result<BTreeSet<String>> {
    let pattern = r#"(Command::new|\.command|[^_a-z]program)\("[a-zA-Z0-9_.-]+""#;
    let folders = [
        "tests",
        "supervisor/tests",
        "wire/tests",
        "map/tests",
        "packager/tests",
        "repository/tests",
    ];
    let found = Command::new("grep")
        .args([
            "-rhoE",
            "--include=*.rs",
            "--exclude-dir=bench",
            "--exclude=dev_installs.rs",
            pattern,
        ])
        .args(folders)
        .current_dir(root)
        .output()?;
    let found = String::from_utf8(found.stdout)?;
    let names = found.lines().filter_map(|line| line.split('"').nth(1));
    Ok(names.map(str::to_string).collect())
}

#[test]
fn every_program_that_a_test_calls_is_installed_by_dev() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("a root")?;
    let dev = fs::read_to_string(root.join("dev"))?;
    // `WHAT=PACKAGE`
    let words = dev
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    let installed: BTreeSet<&str> = words
        .map(|(what, _)| what)
        .chain(EVERYWHERE.split(' '))
        .chain(BESIDES.split(' '))
        .collect();
    let called = called(root)?;
    assert!(called.len() > 20, "only {called:?} were found");
    let missing: Vec<_> = called
        .iter()
        .filter(|name| !installed.contains(name.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "./dev test does not install {missing:?}"
    );
    Ok(())
}
