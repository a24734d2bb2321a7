//! The tour: what a person would do in their first quarter of an hour, step by step, with the real programs.

use super::{super::text, world::World};
use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_wire::http::{Bytes, Client, Method, StatusCode};

/// The three boxes and their labels.
const BOXES: [(&str, &str); 3] = [
    ("till-1", "shop = \"north\""),
    ("till-2", "shop = \"north\""),
    ("lab-1", "shop = \"none\""),
];

/// Goes through the main job. Unattended, it ends by itself; else it leaves everything running until Ctrl-C.
pub async fn tour(world: &mut World, unattended: bool) -> Result<()> {
    let deploy = world.path("deploy");
    repository(world, &deploy).await?;
    let trust = introduce(world, &deploy).await?;
    servers(world).await?;
    boxes(world, &trust).await?;
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

/// Keys, an empty bare repository behind HTTP, and a clone.
async fn repository(world: &mut World, deploy: &Path) -> Result<()> {
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
async fn introduce(world: &mut World, deploy: &Path) -> Result<(String, String)> {
    let text = show(
        world,
        deploy,
        &["swarm-pack", "init", "--person", "alice", "--json"],
    )
    .await?;
    let said: Value = serde_json::from_str(&text).context("what init printed")?;
    let word = |key: &str| {
        said.get(key)
            .and_then(Value::as_str)
            .map(str::to_string)
            .with_context(|| format!("init gave no {key}"))
    };
    Ok((word("introduction")?, word("policy-sha256")?))
}

/// The git server and the map.
async fn servers(world: &mut World) -> Result<()> {
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
async fn boxes(world: &mut World, trust: &(String, String)) -> Result<()> {
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
            "the kill in the audit",
            Duration::from_secs(20),
            async |world| {
                Ok(get(world, "/v1/audit").await.is_some_and(|page| {
                    items(&page).iter().any(|row| word(row, "action") == "kill")
                }))
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

/// Shows a command and what it prints, as in a terminal.
async fn show(world: &World, folder: &Path, words: &[&str]) -> Result<String> {
    note(&format!("$ {}", words.join(" ")));
    let output = world.output(folder, words).await?;
    let (said, talked) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    for line in said.lines().chain(talked.lines()) {
        note(&format!("    {}", text::shown(line)));
    }
    anyhow::ensure!(
        output.status.success(),
        "{} ended with {}",
        words.join(" "),
        output.status
    );
    Ok(said)
}

fn say(headline: &str) {
    println!("\n== {headline}");
}

fn note(line: &str) {
    println!("{line}");
}

fn programs() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|path| path.parent().map(Path::to_path_buf))
        .unwrap_or_default()
}

fn config(world: &World, name: &str) -> PathBuf {
    world.path("boxes").join(name).join("agent.toml")
}

fn store(world: &World) -> String {
    format!("sqlite:{}", world.path("map.db").display())
}

async fn get(world: &World, path: &str) -> Option<Value> {
    let mut client = Client::new(&format!("http://127.0.0.1:{}", world.map_port), None).ok()?;
    let answer = client
        .request(
            Method::GET,
            path,
            &[],
            Bytes::new(),
            16 << 20,
            Duration::from_secs(5),
        )
        .await
        .ok()?;
    (answer.status == StatusCode::OK)
        .then(|| serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn items(page: &Value) -> Vec<Value> {
    page.get("items")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

/// Every row of every box, as the map has them.
async fn rows(world: &World) -> Vec<Value> {
    let mut rows = Vec::new();
    for (name, _) in BOXES {
        let page = get(world, &format!("/v1/boxes/{name}"))
            .await
            .unwrap_or_default();
        rows.extend(
            page.get("rows")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        );
    }
    rows
}

fn is_running(row: &Value) -> bool {
    matches!(word(row, "state").as_str(), "running" | "ready")
}

fn word(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_string()
}
