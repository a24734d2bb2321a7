//! The examples of this project: each one is published, pushed and seen running, over HTTP and over SSH, to real servers.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};
use swarm_manifests::status::{LastExit, State};
use swarm_tests::{
    Deploy, GitOverHttp, GitOverSsh, SwarmBox, World,
    process::{is_alive, run},
};

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

/// What is published is pushed over HTTP, what deploys it over SSH; one box follows over HTTP, another over SSH; both are judged.
fn runs(
    folder: impl Fn(&World) -> Result<PathBuf>,
    name: &str,
    how: &[&str],
    judge: impl Fn(&SwarmBox<'_>) -> Result<()>,
) -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (http, ssh) = (GitOverHttp::start(&world)?, GitOverSsh::start(&world)?);
    let (by_http, by_ssh) = (http.url("deploy.git"), ssh.url("deploy.git")?);
    let folder = folder(&world)?;
    deploy.pack(&["publish", &folder.display().to_string()])?;
    push(&deploy, &by_http, &ssh)?;
    deploy.pack(&[&["deploy", name, "1.0.0", "--on", "all"][..], how].concat())?;
    push(&deploy, &by_ssh, &ssh)?;
    let polls = "poll = \"1s\"\n";
    let settings = ssh.settings() + polls;
    for (here, url, settings) in [
        ("box-http", &by_http, polls),
        ("box-ssh", &by_ssh, settings.as_str()),
    ] {
        let mut here = SwarmBox::new(&world, here, &deploy, url, settings, "")?;
        here.run()?;
        judge(&here).with_context(|| format!("{name} from {url}"))?;
    }
    Ok(())
}

/// `git push` with the check that a person has before it.
fn push(deploy: &Deploy<'_>, url: &str, ssh: &GitOverSsh) -> Result<()> {
    let mut git = deploy.git_command();
    git.env("GIT_SSH_COMMAND", ssh.ssh_command());
    run(git.args(["push", "-q", url, "main"])).map(drop)
}

/// As a daemon, until it has printed a line.
fn prints(folder: impl Fn(&World) -> Result<PathBuf>, name: &str, line: &str) -> Result<()> {
    runs(folder, name, &["--mode", "daemon"], |here| {
        here.until_runs(name, "1.0.0")?;
        here.until_printed(name, line)
    })
}

#[test]
fn a_shell_workflow_runs() -> Result<()> {
    let line = "clock 1.0.0 on box-";
    prints(|world| copied(world, "shell-clock"), "shell-clock", line)
}

#[test]
fn a_node_workflow_with_a_pinned_npm_dependency_runs() -> Result<()> {
    let line = "two days are 172800000 ms";
    prints(|world| copied(world, "node-slug"), "node-slug", line)
}

#[test]
fn a_python_workflow_with_a_pinned_dependency_runs() -> Result<()> {
    let line = "n squared";
    prints(|world| copied(world, "python-table"), "python-table", line)
}

#[test]
fn an_accessor_runs_on_its_own_host() -> Result<()> {
    let name = "accessor-ramp";
    prints(|world| copied(world, name), name, "ramp 3")
}

#[test]
fn a_compiled_program_runs() -> Result<()> {
    let build = |world: &World| {
        let folder = copied(world, "native-counter")?;
        run(world.command("make").arg("-s").current_dir(&folder))?;
        Ok(folder)
    };
    prints(build, "native-counter", "count 43")
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
    prints(build, "elixir-greeter", "greetings from box-")
}

#[test]
fn a_time_limited_one_is_asked_to_end_and_is_expired() -> Result<()> {
    let name = "limited-sampler";
    let how = ["--mode", "daemon", "--time-limit", "2s"];
    runs(
        |world| copied(world, name),
        name,
        &how,
        |here| {
            here.until_state(name, State::Expired)?;
            here.until_printed(name, "the end after sample")
        },
    )
}

#[test]
fn a_crash_looping_one_is_started_ever_more_slowly_and_says_why() -> Result<()> {
    let name = "crash-loop";
    runs(
        |world| copied(world, name),
        name,
        &["--mode", "daemon"],
        |here| {
            let row = here.until_row(name, "in backoff after three restarts", |row| {
                row.state == State::Backoff && row.restarts >= 3
            })?;
            assert_eq!(row.last_exit, Some(LastExit::Code { code: 9 }));
            here.until_printed(name, "no sensor on box-")
        },
    )
}

#[test]
fn an_endless_loop_that_ignores_everything_is_killed_with_its_whole_tree() -> Result<()> {
    let name = "endless-loop";
    runs(
        |world| copied(world, name),
        name,
        &["--mode", "daemon"],
        |here| {
            here.until_printed(name, "nobody stops")?;
            let said = here.printed(name)?;
            let pids: Vec<u32> = said[0]
                .split(' ')
                .filter_map(|word| word.parse().ok())
                .collect();
            assert_eq!(pids.len(), 2, "{said:?}");
            here.agent(&["kill", name])?;
            here.until_state(name, State::Killed)?;
            assert!(!pids.into_iter().any(is_alive), "one of {said:?} is left");
            Ok(())
        },
    )
}
