//! What is set up before the tour: a signed repository, a git server, a map, three boxes. Touches files and processes.

use super::{
    look::{get, items},
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

/// Keys, an empty bare repository behind HTTP, and a clone.
pub async fn repository(world: &mut World, deploy: &Path) -> Result<()> {
    say("A deploy repository, signed by alice from its first commit on");
    fs::create_dir(deploy)?;
    let key = world.path("keys").join("alice").display().to_string();
    world
        .run(
            deploy,
            &[
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-C",
                "alice@demo",
                "-f",
                &key,
            ],
        )
        .await?;
    world
        .run(deploy, &["git", "config", "--global", "user.name", "alice"])
        .await?;
    world
        .run(
            deploy,
            &[
                "git",
                "config",
                "--global",
                "user.email",
                "alice@demo.example",
            ],
        )
        .await?;
    world
        .run(
            deploy,
            &[
                "git",
                "config",
                "--global",
                "user.signingkey",
                &format!("{key}.pub"),
            ],
        )
        .await?;
    world
        .run(
            deploy,
            &["git", "config", "--global", "init.defaultBranch", "main"],
        )
        .await?;
    world
        .run(
            &world.path("git"),
            &["git", "init", "-q", "--bare", "deploy.git"],
        )
        .await?;
    for (name, value) in [
        ("http.receivepack", "true"),
        ("uploadpack.allowFilter", "true"),
    ] {
        world
            .run(
                &world.path("git/deploy.git"),
                &["git", "config", name, value],
            )
            .await?;
    }
    Ok(())
}

/// `swarm-pack init`: gives what goes under `[trust]`.
pub async fn introduce(world: &mut World, deploy: &Path) -> Result<(String, String)> {
    let text = show(
        world,
        deploy,
        &["swarm-pack", "init", "--person", "alice", "--json"],
    )
    .await?;
    let printed: Value = serde_json::from_str(&text).context("what init printed")?;
    let word = |key: &str| {
        printed
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_string)
            .with_context(|| format!("init gave no {key}"))
    };
    Ok((word("introduction")?, word("policy-sha256")?))
}

/// The git server and the map.
pub async fn servers(world: &mut World) -> Result<()> {
    say("A git server and a map");
    let mut git = world.command("swarm-agent");
    git.env("SWARM_ROLE", "demo-git-server")
        .arg(format!("127.0.0.1:{}", world.git_port))
        .arg(world.path("git"))
        .arg(world.path("webhook.secret"));
    for at in 0..BOXES.len() {
        git.arg(format!(
            "http://127.0.0.1:{}/hooks/generic",
            world.hook_ports[at]
        ));
    }
    world.start("git-server", git)?;
    let mut map = world.command("swarm-map");
    map.args(["serve", "--public-read", "--listen"])
        .arg(format!("127.0.0.1:{}", world.map_port))
        .arg("--store")
        .arg(store(world))
        .args(["--heartbeat", "2s"]);
    world.start("map", map)?;
    world
        .until("the map", Duration::from_secs(20), async |world| {
            Ok(get(world, "/healthz").await.is_some())
        })
        .await?;
    note(&format!("The map: http://127.0.0.1:{}", world.map_port));
    Ok(())
}

/// Three boxes, each from a configuration file that a person could copy.
pub async fn boxes(world: &mut World, trust: &(String, String)) -> Result<()> {
    say("Three boxes");
    for (at, (name, labels)) in BOXES.iter().enumerate() {
        let folder = world.path("boxes").join(name);
        fs::create_dir(&folder)?;
        let token = world
            .run(
                &folder,
                &[
                    "swarm-map",
                    "token",
                    "--store",
                    &store(world),
                    "--box",
                    name,
                ],
            )
            .await?;
        fs::write(folder.join("enrol.token"), token)?;
        let toml = agent_toml(world, at, name, labels, trust);
        fs::write(config(world, name), &toml)?;
        if at == 0 {
            note(
                &toml
                    .lines()
                    .map(|line| format!("    {line}"))
                    .collect::<Vec<_>>()
                    .join("\n"),
            );
        }
        let mut agent = world.command("swarm-agent");
        agent
            .args(["run", "--stop-workflows", "--config"])
            .arg(config(world, name));
        world.start(name, agent)?;
    }
    world
        .until(
            "three boxes on the map",
            Duration::from_secs(30),
            async |world| {
                Ok(get(world, "/v1/boxes")
                    .await
                    .is_some_and(|page| items(&page).len() == BOXES.len()))
            },
        )
        .await
}

fn agent_toml(
    world: &World,
    at: usize,
    name: &str,
    labels: &str,
    (introduction, policy): &(String, String),
) -> String {
    let folder = world.path("boxes").join(name);
    let folder = folder.display();
    let (git, map, hook) = (world.git_port, world.map_port, world.hook_ports[at]);
    format!(
        r#"box = "{name}"
labels = {{ {labels} }}
state = "{folder}/state"
control = "{folder}/control.sock"

[repository]
url = "http://127.0.0.1:{git}/deploy.git"
poll = "60s"

[trust]
introduction = "{introduction}"
policy-sha256 = "{policy}"

[map]
url = "http://127.0.0.1:{map}"
token-file = "{folder}/enrol.token"

[webhook]
listen = "127.0.0.1:{hook}"
secret-file = "{secret}"
"#,
        secret = world.path("webhook.secret").display()
    )
}

/// A box's agent.toml.
pub fn config(world: &World, name: &str) -> PathBuf {
    world.path("boxes").join(name).join("agent.toml")
}

/// The map's store.
fn store(world: &World) -> String {
    format!("sqlite:{}", world.path("map.db").display())
}
