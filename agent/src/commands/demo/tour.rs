//! The tour: what a person would do in their first quarter of an hour, step by step, with the real programs.

use super::{
    super::text,
    look::{get, is_running, items, rows, word},
    stage::{self, config},
    talk::{note, say, show},
    world::{BOXES, World},
};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Goes through the main job. Unattended, it ends by itself; else it leaves everything running until Ctrl-C.
pub async fn tour(world: &mut World, unattended: bool) -> Result<()> {
    let deploy = world.path("deploy");
    stage::repository(world, &deploy).await?;
    let trust = stage::introduce(world, &deploy).await?;
    stage::servers(world).await?;
    stage::boxes(world, &trust).await?;
    publish(world, &deploy).await?;
    push(world, &deploy).await?;
    kill(world).await?;
    tamper(world, &deploy).await?;
    say("That was the tour.");
    if !unattended {
        note(&format!(
            "The map is at http://127.0.0.1:{} and everything goes on running. Your own hands:",
            world.map_port
        ));
        note(&format!("    cd {}", deploy.display()));
        note(&format!(
            "    export HOME={} PATH={}:$PATH SWARM_MAP=http://127.0.0.1:{}",
            world.path("home").display(),
            programs().display(),
            world.map_port
        ));
        note(&format!(
            "    swarm-agent list --config {}",
            config(world, "till-1").display()
        ));
        note("    swarm-pack up sources/hello");
        note("Ctrl-C ends and removes all of it.");
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Two programs, built, signed and committed.
async fn publish(world: &mut World, deploy: &Path) -> Result<()> {
    say("Two programs: hello on every box, stock on the tills only");
    show(
        world,
        deploy,
        &["swarm-pack", "new", "hello", "--engine", "sh"],
    )
    .await?;
    show(
        world,
        deploy,
        &["swarm-pack", "new", "stock", "--engine", "sh"],
    )
    .await?;
    show(world, deploy, &["swarm-pack", "publish", "sources/hello"]).await?;
    show(world, deploy, &["swarm-pack", "publish", "sources/stock"]).await?;
    show(
        world,
        deploy,
        &[
            "swarm-pack",
            "deploy",
            "hello",
            "0.1.0",
            "--on",
            "all",
            "--mode",
            "daemon",
        ],
    )
    .await?;
    show(
        world,
        deploy,
        &[
            "swarm-pack",
            "deploy",
            "stock",
            "0.1.0",
            "--on",
            "till-*",
            "--mode",
            "daemon",
        ],
    )
    .await?;
    Ok(())
}

/// One push; every box hears of it by a webhook.
async fn push(world: &mut World, deploy: &Path) -> Result<()> {
    say("git push");
    let url = format!("http://127.0.0.1:{}/deploy.git", world.git_port);
    world
        .run(deploy, &["git", "remote", "add", "origin", &url])
        .await?;
    show(
        world,
        deploy,
        &["git", "push", "-q", "-u", "origin", "main"],
    )
    .await?;
    world
        .until(
            "five workflows running",
            Duration::from_secs(60),
            async |world| {
                Ok(rows(world)
                    .await
                    .iter()
                    .filter(|row| is_running(row))
                    .count()
                    == 5)
            },
        )
        .await?;
    let map = format!("--map=http://127.0.0.1:{}", world.map_port);
    show(world, deploy, &["swarm-agent", "list", &map]).await?;
    let till = config(world, "till-1").display().to_string();
    show(
        world,
        deploy,
        &["swarm-agent", "why", "stock", "--config", &till],
    )
    .await?;
    Ok(())
}

/// A kill on one box, and what the audit keeps of it.
async fn kill(world: &mut World) -> Result<()> {
    say("Killing stock on till-2");
    let till = config(world, "till-2").display().to_string();
    let folder = world.path("home");
    show(
        world,
        &folder,
        &[
            "swarm-agent",
            "kill",
            "stock",
            "--reason",
            "the demo says so",
            "--config",
            &till,
        ],
    )
    .await?;
    show(world, &folder, &["swarm-agent", "list", "--config", &till]).await?;
    world
        .until(
            "the kill and what came of it in the audit",
            Duration::from_secs(20),
            async |world| {
                let page = get(world, "/v1/audit").await.unwrap_or_default();
                let is_end = |row: &Value| {
                    word(row, "action") == "exit" && word(row, "reason").contains("killed by")
                };
                Ok(items(&page).iter().any(is_end))
            },
        )
        .await?;
    note("The audit on the map, newest first:");
    for row in items(&get(world, "/v1/audit").await.unwrap_or_default())
        .iter()
        .take(8)
    {
        let line = [
            "time", "box", "action", "workflow", "version", "by", "reason",
        ]
        .map(|key| word(row, key))
        .join(" ");
        note(&format!("    {}", text::one_line(&line)));
    }
    Ok(())
}

/// Somebody changes a published file: the boxes refuse it, and what runs goes on.
async fn tamper(world: &mut World, deploy: &Path) -> Result<()> {
    say("A tampered bundle: hello 0.1.1 with a file that is not what was signed");
    let copy = deploy.join("bundles/hello/0.1.1");
    let source = deploy.join("sources/hello");
    let toml = source.join("bundle.toml");
    fs::write(
        &toml,
        fs::read_to_string(&toml)?.replace("\"0.1.0\"", "\"0.1.1\""),
    )?;
    show(world, deploy, &["swarm-pack", "publish", "sources/hello"]).await?;
    let victim = fs::read_dir(&copy)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|ending| ending == "sh"));
    let victim = victim.context("a script to tamper with")?;
    fs::write(
        &victim,
        fs::read_to_string(&victim)? + "\necho and something that nobody signed\n",
    )?;
    world
        .run(
            deploy,
            &[
                "git",
                "commit",
                "-q",
                "-S",
                "-am",
                "publish hello 0.1.1, tampered with",
            ],
        )
        .await?;
    show(world, deploy, &["swarm-pack", "deploy", "hello", "0.1.1"]).await?;
    note("(swarm-pack's own check would have stopped this push; it is pushed without it.)");
    show(world, deploy, &["git", "push", "-q", "--no-verify"]).await?;
    world
        .until(
            "the refusal on every box",
            Duration::from_secs(60),
            async |world| {
                let refused = |row: &&Value| {
                    row.get("next")
                        .is_some_and(|next| word(next, "state") == "refused")
                };
                Ok(rows(world).await.iter().filter(refused).count() == BOXES.len())
            },
        )
        .await?;
    let lab = config(world, "lab-1").display().to_string();
    show(
        world,
        deploy,
        &["swarm-agent", "why", "hello", "--config", &lab],
    )
    .await?;
    show(world, deploy, &["swarm-agent", "list", "--config", &lab]).await?;
    Ok(())
}

fn programs() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(Path::to_path_buf))
        .unwrap_or_default()
}
