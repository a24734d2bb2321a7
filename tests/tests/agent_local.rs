//! `local DIR`: a plain folder runs as it is, and each save counts.

use anyhow::Result;
use std::fs;
use swarm_tests::{
    Deploy, Running, World,
    process::{output, run, until},
};

const BUNDLE: &str = "name = \"web\"\nversion = \"1.0.0\"\nengine = \"sh\"\nentry = \"main.sh\"\n";

fn script(word: &str) -> String {
    format!("while :; do echo {word}; sleep 0.1; done\n")
}

/// Waits until what runs in the folder prints this.
fn until_prints(world: &World, local: &Running, word: &str) -> Result<()> {
    until(&format!("web printing {word}"), || {
        let said = local.said();
        let config = said.split("--config ").nth(1)?.lines().next()?.to_string();
        let logs = output(world.agent().args(["logs", "web", "--config", &config])).ok()?;
        String::from_utf8_lossy(&logs.stdout)
            .contains(word)
            .then_some(())
    })
    .map_err(|error| error.context(local.last_words()))
}

fn local(world: &World, folder: &std::path::Path) -> Result<Running> {
    Running::start(
        "local",
        world.agent().arg("local").arg(folder),
        &world.path("logs/local"),
    )
}

#[test]
fn one_bundle_runs_and_runs_anew_after_a_save() -> Result<()> {
    let world = World::new()?;
    let folder = world.path("web");
    fs::create_dir(&folder)?;
    fs::write(folder.join("bundle.toml"), BUNDLE)?;
    fs::write(folder.join("main.sh"), script("first"))?;
    let mut local = local(&world, &folder)?;
    until_prints(&world, &local, "first")?;
    fs::write(folder.join("main.sh"), script("second"))?;
    until_prints(&world, &local, "second")?;
    local.end();
    Ok(())
}

#[test]
fn a_deploy_repository_runs_from_its_sources_and_runs_anew_after_a_save() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.write("sources/web/bundle.toml", BUNDLE)?;
    deploy.write("sources/web/main.sh", script("first"))?;
    deploy.write(
        "manifests/web.toml",
        "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n",
    )?;
    let mut local = local(&world, &deploy.path(""))?;
    until_prints(&world, &local, "first")?;
    deploy.write("sources/web/main.sh", script("second"))?;
    until_prints(&world, &local, "second")?;
    local.end();
    Ok(())
}

#[test]
fn a_bundle_with_a_typing_error_goes_on_as_it_was_and_both_terminals_say_so() -> Result<()> {
    let world = World::new()?;
    let folder = world.path("web");
    fs::create_dir(&folder)?;
    fs::write(folder.join("bundle.toml"), BUNDLE)?;
    fs::write(folder.join("main.sh"), script("first"))?;
    let mut local = local(&world, &folder)?;
    until_prints(&world, &local, "first")?;
    fs::write(folder.join("bundle.toml"), format!("{BUNDLE}badkey = 1\n"))?;
    until("the refusal on the terminal", || {
        let said = local.said();
        (said.contains("refuse") && said.contains("badkey") && said.contains("S-")).then_some(())
    })?;
    let said = local.said();
    let config = said
        .split("--config ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let list = run(world
        .agent()
        .args(["list", "--json", "--config"])
        .args(config))?;
    let rows: serde_json::Value = serde_json::from_str(&list)?;
    assert_eq!(rows[0]["state"], "running", "{rows:#}");
    assert_eq!(rows[0]["next"]["state"], "refused", "{rows:#}");
    fs::write(folder.join("bundle.toml"), BUNDLE)?;
    fs::write(folder.join("main.sh"), script("second"))?;
    until_prints(&world, &local, "second")?;
    local.end();
    Ok(())
}

#[test]
fn a_bundle_that_was_wrong_from_the_beginning_is_refused_by_its_folders_name() -> Result<()> {
    let world = World::new()?;
    let folder = world.path("web");
    fs::create_dir(&folder)?;
    fs::write(folder.join("bundle.toml"), format!("{BUNDLE}badkey = 1\n"))?;
    fs::write(folder.join("main.sh"), script("first"))?;
    let mut local = local(&world, &folder)?;
    until("the refusal on the terminal", || {
        local.said().contains("badkey").then_some(())
    })?;
    fs::write(folder.join("bundle.toml"), BUNDLE)?;
    until_prints(&world, &local, "first")?;
    local.end();
    Ok(())
}
