//! "Signatures and policy" of the attacks, end to end: state files that were tampered with, a changed `[trust]`, policies that lie.

use anyhow::Result;
use std::fs;
use swarm_tests::{Deploy, SwarmBox, TICKER, World, until};

#[test]
fn a_state_file_deleted_cut_off_or_garbage_is_not_believed_and_stops_nothing() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (mut here, before) = SwarmBox::ticking(&world, &deploy)?;
    here.agent(&["sync"])?;
    let file = here.path("state/agent/trust.json");
    let good = fs::read_to_string(&file)?;
    let head = deploy.head()?;
    let introduction = deploy.introduction.clone();
    let damages = [
        ("deleted", None),
        ("empty", Some(String::new())),
        ("cut off", Some(good[..good.len() / 2].to_string())),
        ("garbage", Some("\0\u{ff}{{{".to_string())),
        ("another head", Some(good.replace(&head, &introduction))),
        ("ten thousand brackets", Some("[".repeat(10_000))),
    ];
    for (before_it, (what, bytes)) in damages.into_iter().enumerate() {
        here.supervisor().kill();
        match bytes {
            None => fs::remove_file(&file)?,
            Some(bytes) => fs::write(&file, bytes)?,
        }
        here.run()?;
        until("the trust being whole again", || {
            fs::read_to_string(&file)
                .ok()
                .filter(|text| text.contains(&head))
                .map(drop)
        })?;
        until(&format!("{what}: the loss of trust in the journal"), || {
            let history = here.agent(&["history"]).ok()?;
            (history.matches("S-TRUNK-13").count() > before_it).then_some(())
        })?;
        assert_eq!(
            here.until_runs("ticker", "1.0.0")?.pid,
            before.pid,
            "{what} touched what runs"
        );
    }
    here.assert_no_panic();
    Ok(())
}

#[test]
fn a_changed_trust_that_does_not_verify_stops_nothing_and_runs_nothing_new() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (mut here, before) = SwarmBox::ticking(&world, &deploy)?;
    let file = here.path("agent.toml");
    let good = fs::read_to_string(&file)?;
    let wrong = "0".repeat(64);
    here.supervisor().kill();
    fs::write(&file, good.replace(&deploy.policy_sha256, &wrong))?;
    here.run()?;
    deploy.daemon("other", "1.0.0", TICKER)?;
    deploy.push()?;
    until("the refusal of the introduction", || {
        here.agent(&["status"])
            .ok()
            .filter(|status| status.contains("S-TRUNK-11"))
            .map(drop)
    })?;
    assert_eq!(
        here.until_runs("ticker", "1.0.0")?.pid,
        before.pid,
        "it touched what runs"
    );
    assert!(
        here.row("other")?.is_none(),
        "something new runs without trust"
    );
    here.supervisor().kill();
    fs::write(&file, good)?;
    here.run()?;
    here.until_runs("other", "1.0.0")?;
    assert_eq!(here.until_runs("ticker", "1.0.0")?.pid, before.pid);
    here.assert_no_panic();
    Ok(())
}

#[test]
fn two_agents_do_not_work_in_one_state_folder() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let (here, before) = SwarmBox::ticking(&world, &deploy)?;
    let second = here.path("second.toml");
    let text = fs::read_to_string(here.path("agent.toml"))?;
    fs::write(&second, text.replace("control.sock", "second.sock"))?;
    let ended = swarm_tests::process::output(world.agent().args(["run", "--config"]).arg(&second))?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success(), "the second one went on: {said}");
    assert!(said.contains("state"), "it does not say why: {said}");
    let after = here.until_runs("ticker", "1.0.0")?;
    assert_eq!((after.pid, after.restarts), (before.pid, before.restarts));
    Ok(())
}
