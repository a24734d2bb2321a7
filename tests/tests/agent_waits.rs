//! What waits, and who waits for it: approvals, installs, and a person at `sync`.

use anyhow::Result;
use std::fs;
use swarm_manifests::status::State;
use swarm_tests::{Deploy, SwarmBox, TICKER, World, daemon};

#[test]
fn a_manifest_that_needs_two_people_waits_and_says_for_whom() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let bob = fs::read_to_string(world.key("bob")?.with_extension("pub"))?;
    let policy = fs::read_to_string(deploy.path("policy.toml"))?;
    let policy = policy.replacen("version = 1", "version = 2", 1).replacen(
        "people = [\"alice\"]",
        "people = [\"alice\", \"bob\"]\napprovals = 2",
        1,
    );
    let policy = format!("{policy}\n[people.bob]\nkeys = [\"{}\"]\n", bob.trim());
    deploy.write("policy.toml", policy)?;
    deploy.git(&["commit", "-q", "-S", "-am", "two stand behind it"])?;
    deploy.daemon("ticker", "1.0.0", TICKER)?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    let row = here.until_state("ticker", State::Waiting)?;
    let reason = row.reason.unwrap_or_default();
    assert!(reason.contains("bob"), "it does not say for whom: {reason}");
    assert!(row.rule.is_some(), "waiting without a rule");
    Ok(())
}

/// A box that only `sync` wakes, and a workflow on its way there whose install runs this.
fn box_that_installs<'a>(
    world: &'a World,
    deploy: &Deploy<'_>,
    workflow: &str,
    install: &str,
) -> Result<SwarmBox<'a>> {
    let remote = deploy.remote().display().to_string();
    let mut here = SwarmBox::new(world, "box-1", deploy, &remote, "poll = \"1h\"\n", "")?;
    here.run()?;
    let toml = format!(
        "engine = \"sh\"\nentry = \"main.sh\"\n\n[install]\ncommand = [\"sh\", \"-c\", \"{install}\"]\n"
    );
    let folder = deploy.source(workflow, "1.0.0", &toml, &[("main.sh", TICKER)])?;
    deploy.pack(&["publish", &folder])?;
    deploy.manifest(workflow, &daemon("1.0.0"))?;
    deploy.push()?;
    Ok(here)
}

#[test]
fn sync_returns_when_the_install_has_ended() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let here = box_that_installs(&world, &deploy, "slow", "sleep 2")?;
    here.agent(&["sync"])?;
    let row = here.row("slow")?.expect("sync has waited for it");
    assert!(
        matches!(row.state, State::Running | State::Ready),
        "sync returned while it was {}: {}",
        row.state.as_str(),
        row.reason.unwrap_or_default()
    );
    Ok(())
}

#[test]
fn sync_tells_of_an_install_that_fails() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let here = box_that_installs(&world, &deploy, "broken", "exit 7")?;
    let output = here.try_agent(&["sync"])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("broken") && said.contains("[install]"),
        "{said}"
    );
    Ok(())
}
