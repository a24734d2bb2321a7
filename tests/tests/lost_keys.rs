//! The how-to for lost keys, by its own commands: a box goes on, takes the new introduction, and then what the new key signed.

use anyhow::{Context, Result};
use std::fs;
use swarm_tests::{Deploy, SwarmBox, World, process::run};

/// The commands of the how-to's block that is marked so.
fn commands(mark: &str) -> Result<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/how-to/lost-keys.md");
    let text = fs::read_to_string(path)?;
    let (_, after) = text
        .split_once(&format!("<!-- tested: {mark} -->\n```sh\n"))
        .with_context(|| format!("the how-to has no block {mark}"))?;
    let (block, _) = after.split_once("```").context("the block ends")?;
    Ok(block.into())
}

/// Types them, as a person would in the clone.
fn typed(world: &World, deploy: &Deploy<'_>, mark: &str) -> Result<String> {
    let pack = world.pack();
    let folder = std::path::Path::new(pack.get_program())
        .parent()
        .context("a folder")?;
    let path = std::env::var("PATH")?;
    let mut shell = world.command("sh");
    shell
        .args(["-e", "-c", &commands(mark)?])
        .current_dir(deploy.path(""));
    shell.env("PATH", format!("{}:{path}", folder.display()));
    run(&mut shell)
}

/// What every box prints of its trust, set to other values.
fn introduced(settings: &str, trust: &str) -> Result<String> {
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.map(ToString::to_string)
            .with_context(|| format!("no {key}"))
    };
    let mut made = settings.to_string();
    for key in ["introduction", "policy-sha256"] {
        made = made.replace(&value(settings, key)?, &value(trust, key)?);
    }
    Ok(made)
}

#[test]
fn a_fleet_whose_keys_are_lost_is_introduced_anew_and_nothing_stops() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (mut here, before) = SwarmBox::ticking(&world, &deploy)?;
    fs::create_dir_all(world.path("home/.ssh"))?;
    // Nobody has the key any more.
    fs::remove_file(world.key("alice")?)?;
    typed(&world, &deploy, "laptop")?;
    let trust = typed(&world, &deploy, "trust")?;
    let file = here.path("agent.toml");
    let settings = introduced(&fs::read_to_string(&file)?, &trust)?;
    here.supervisor().kill();
    fs::write(&file, settings)?;
    here.run()?;
    deploy.daemon("other", "1.0.0", "while :; do sleep 1; done\n")?;
    deploy.push()?;
    here.until_runs("other", "1.0.0")?;
    assert_eq!(
        here.until_runs("ticker", "1.0.0")?.pid,
        before.pid,
        "it was stopped"
    );
    here.assert_no_panic();
    Ok(())
}
