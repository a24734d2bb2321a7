//! The examples of this project: each one is published, pushed and seen running, over HTTP and over SSH.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};
use swarm_tests::{Deploy, GitOverHttp, GitOverSsh, SwarmBox, World, process::run};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(name)
}

/// A copy of the example in the world, so that building leaves nothing in the project.
fn copied(world: &World, name: &str) -> Result<PathBuf> {
    let to = world.path(name);
    run(world.command("cp").arg("-r").arg(example(name)).arg(&to))?;
    Ok(to)
}

/// Publishes a folder, deploys it everywhere, and waits for a line of its output on a box.
fn runs(
    folder: impl Fn(&World) -> Result<PathBuf>,
    name: &str,
    line: &str,
    over_ssh: bool,
) -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let folder = folder(&world)?;
    deploy.pack(&["publish", &folder.display().to_string()])?;
    deploy.pack(&["deploy", name, "1.0.0", "--on", "all", "--mode", "daemon"])?;
    deploy.push()?;
    let (http, ssh);
    let mut here = if over_ssh {
        ssh = GitOverSsh::start(&world)?;
        let repository = format!(
            "poll = \"1s\"\nidentity-file = \"{}\"\nknown-hosts = \"{}\"\n",
            ssh.identity.display(),
            ssh.known_hosts.display()
        );
        SwarmBox::new(
            &world,
            "box-1",
            &deploy,
            &ssh.url("deploy.git")?,
            &repository,
            "",
        )?
    } else {
        http = GitOverHttp::start(&world)?;
        SwarmBox::new(
            &world,
            "box-1",
            &deploy,
            &http.url("deploy.git"),
            "poll = \"1s\"\n",
            "",
        )?
    };
    here.run()?;
    here.until_runs(name, "1.0.0")?;
    here.until_printed(name, line)
}

#[test]
fn a_shell_workflow_runs() -> Result<()> {
    runs(
        |world| copied(world, "shell-clock"),
        "shell-clock",
        "clock 1.0.0 on box-1",
        false,
    )
}

#[test]
fn a_node_workflow_with_a_pinned_npm_dependency_runs() -> Result<()> {
    runs(
        |world| copied(world, "node-slug"),
        "node-slug",
        "two days are 172800000 ms",
        false,
    )
}

#[test]
fn a_python_workflow_with_a_pinned_dependency_runs() -> Result<()> {
    runs(
        |world| copied(world, "python-table"),
        "python-table",
        "n squared",
        true,
    )
}

#[test]
fn an_accessor_runs_on_its_own_host() -> Result<()> {
    runs(
        |world| copied(world, "accessor-ramp"),
        "accessor-ramp",
        "ramp 3",
        false,
    )
}

#[test]
fn a_compiled_program_runs() -> Result<()> {
    let build = |world: &World| {
        let folder = copied(world, "native-counter")?;
        run(world.command("make").arg("-s").current_dir(&folder))?;
        Ok(folder)
    };
    runs(build, "native-counter", "count 43", true)
}

#[test]
fn an_elixir_release_runs() -> Result<()> {
    let build = |world: &World| {
        let folder = copied(world, "elixir-greeter")?;
        let mut mix = world.command("mix");
        mix.env("MIX_ENV", "prod")
            .args(["release", "--quiet", "--path", "release"])
            .current_dir(&folder);
        run(&mut mix)?;
        fs::copy(
            folder.join("bundle.toml"),
            folder.join("release/bundle.toml"),
        )
        .context("bundle.toml beside the release")?;
        Ok(folder.join("release"))
    };
    runs(build, "elixir-greeter", "greetings from box-1", false)
}
