//! `why` as somebody reads it whose program does not run: who ended it and for what, and what it printed last.

use anyhow::Result;
use serde_json::Value;
use swarm_manifests::status::State;
use swarm_tests::{Deploy, SwarmBox, World, everywhere};

const FAILS: &str = "i=0\nwhile [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done\necho 'no such valve' >&2\nexit 3\n";

#[test]
fn why_shows_what_one_that_failed_printed_last() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh("valve", "1.0.0", FAILS)?;
    deploy.manifest("valve", &everywhere("1.0.0", "mode = \"once\""))?;
    deploy.publish_sh("pump", "1.0.0", "echo no water\nexit 4\n")?;
    let later = everywhere("1.0.0", "mode = \"restart\"")
        + "\n[restart]\ndelay = \"1h\"\nmax-delay = \"1h\"\n";
    deploy.manifest("pump", &later)?;
    deploy.publish_sh("fine", "1.0.0", "echo all is well\n")?;
    deploy.manifest("fine", &everywhere("1.0.0", "mode = \"once\""))?;
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    here.until_state("valve", State::Failed)?;
    let why = here.agent(&["why", "valve"])?;
    assert!(why.contains("err no such valve"), "{why}");
    assert!(
        why.contains("line 299") && !why.contains("line 50\n"),
        "{why}"
    );
    let why: Value = serde_json::from_str(&here.agent(&["why", "valve", "--json"])?)?;
    assert_eq!(why["output"].as_array().map(Vec::len), Some(200), "{why:#}");
    here.until_state("pump", State::Backoff)?;
    let why = here.agent(&["why", "pump"])?;
    assert!(why.contains("no water"), "{why}");
    here.until_state("fine", State::Finished)?;
    let why = here.agent(&["why", "fine"])?;
    assert!(!why.contains("all is well"), "{why}");
    Ok(())
}
