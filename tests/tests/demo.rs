//! The demo: its tour ends well, and whatever ends it, nothing is left.

use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    process::Command,
};
use swarm_tests::{
    Running, World,
    process::{self, program},
    until,
    world::swarm_program,
};

/// Processes whose command line names this folder.
fn processes_of(folder: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(folder)).collect()
}

/// The demo's folder, as it stands in what the demo prints.
fn folder_in(text: &str) -> Option<String> {
    let at = text.find("swarm-demo-")?;
    let start = text[..at].rfind([' ', '"', '='])? + 1;
    let end = text[at..].find('/')? + at;
    Some(text[start..end].to_string())
}

fn assert_nothing_is_left(folder: &str) {
    assert!(
        !fs::exists(folder).unwrap_or(true),
        "{folder} is still there"
    );
    assert_eq!(processes_of(folder), Vec::<String>::new());
}

/// The demo's tour by this command; then that nothing of it is left.
fn tour(demo: &mut Command) -> Result<()> {
    let output = process::output(demo.args(["demo", "--tour"]))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for wanted in [
        "[trust]",
        "http://127.0.0.1:",
        "killed by uid",
        "[S-BUNDLE-05]",
        "That was the tour.",
    ] {
        assert!(
            said.contains(wanted),
            "the tour did not show {wanted:?}:\n{said}"
        );
    }
    assert_nothing_is_left(&folder_in(&said).context("the tour names its folder")?);
    Ok(())
}

#[test]
fn the_tour_runs_by_itself_and_leaves_nothing() -> Result<()> {
    tour(&mut World::new()?.agent())
}

#[test]
fn an_ordinary_user_sees_the_tour_too() -> Result<()> {
    let world = World::new()?;
    // Programs and a home that this user may reach, wherever the project lies.
    let programs = world.path("programs");
    fs::create_dir(&programs)?;
    for name in ["swarm-agent", "swarm-map", "swarm-pack"] {
        fs::copy(swarm_program(name), programs.join(name))?;
    }
    let home = world.path("their-home");
    fs::create_dir(&home)?;
    let mut demo = world.command(program("setpriv", "util-linux")?);
    if fs::metadata("/proc/self")?.uid() == 0 {
        chown(&home, Some(65_534), Some(65_534))?;
        demo.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    }
    demo.current_dir(&home)
        .env("HOME", &home)
        .arg(programs.join("swarm-agent"));
    tour(&mut demo)?;
    let left: Vec<_> = fs::read_dir(&home)?.flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn an_interrupted_demo_leaves_nothing() -> Result<()> {
    let world = World::new()?;
    let log = world.path("logs/demo");
    let mut demo = Running::start("demo", world.agent().args(["demo", "--tour"]), &log)?;
    until("three boxes being started", || {
        demo.said().contains("== Three boxes").then_some(())
    })?;
    let folder = folder_in(&demo.said()).context("the tour names its folder")?;
    demo.signal("INT");
    until("the demo's end", || (!demo.is_alive()).then_some(()))?;
    assert_nothing_is_left(&folder);
    Ok(())
}
