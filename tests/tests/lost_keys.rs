//! The how-to for lost keys, by its own commands: a box goes on, takes the new introduction, and then what the new key signed.

use anyhow::{Context, Result};
use std::fs;
use swarm_tests::{Deploy, SwarmBox, World, documented};

/// Types the commands of the how-to's block, as a person would in the clone.
fn typed(world: &World, deploy: &Deploy<'_>, mark: &str) -> Result<String> {
    let page = documented::page("docs/how-to/lost-keys.md")?;
    let block = documented::marked(&page, mark, "sh")?;
    documented::typed(world, &deploy.path(""), &block)
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
