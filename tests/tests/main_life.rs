//! A workflow's life on a box, end to end: modes, time limits, and the death of whoever supervises it.

use anyhow::Result;
use swarm_manifests::status::{LastExit, State};
use swarm_tests::{Deploy, SwarmBox, World, daemon, everywhere};

#[test]
fn modes_and_time_limits_end_as_the_table_says() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    for (name, script, run) in [
        ("good", "exit 0\n", "mode = \"once\""),
        ("bad", "exit 3\n", "mode = \"once\""),
        (
            "again",
            "[ -e \"$SWARM_STATE/done\" ] && exit 0; touch \"$SWARM_STATE/done\"; exit 1\n",
            "mode = \"restart\"",
        ),
        (
            "limited",
            "echo begun; sleep 1000\n",
            "mode = \"daemon\"\ntime-limit = \"1s\"",
        ),
        (
            "stubborn",
            "trap '' TERM INT; echo begun; while :; do :; done\n",
            "mode = \"once\"\ntime-limit = \"1s\"",
        ),
        ("crashing", "exit 9\n", "mode = \"daemon\""),
    ] {
        let folder = deploy.source(
            name,
            "1.0.0",
            "engine = \"sh\"\nentry = \"main.sh\"\n\n[stop]\ngrace = \"1s\"\n",
            &[("main.sh", script)],
        )?;
        deploy.pack(&["publish", &folder])?;
        deploy.manifest(name, &everywhere("1.0.0", run))?;
    }
    deploy.push()?;
    let here = SwarmBox::by_path(&world, &deploy)?;
    here.until_state("good", State::Finished)?;
    let bad = here.until_state("bad", State::Failed)?;
    assert_eq!(bad.last_exit, Some(LastExit::Code { code: 3 }));
    let again = here.until_state("again", State::Finished)?;
    assert_eq!(again.restarts, 1);
    here.until_state("limited", State::Expired)?;
    here.until_state("stubborn", State::Expired)?;
    let crashing = here.until_row("crashing", "in backoff after some restarts", |row| {
        row.state == State::Backoff && row.restarts >= 2
    })?;
    assert_eq!(crashing.last_exit, Some(LastExit::Code { code: 9 }));
    assert!(crashing.reason.is_some(), "backoff without a reason");
    Ok(())
}

#[test]
fn swarmlets_survive_the_death_of_agent_and_supervisor() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.publish_sh(
        "counter",
        "1.0.0",
        "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done\n",
    )?;
    deploy.manifest("counter", &daemon("1.0.0"))?;
    deploy.push()?;
    let mut here = SwarmBox::by_path(&world, &deploy)?;
    let before = here.until_runs("counter", "1.0.0")?;
    here.until_printed("counter", "line 20")?;
    here.supervisor().kill();
    here.run()?;
    let after = here.until_runs("counter", "1.0.0")?;
    assert_eq!(before.pid, after.pid, "it was not found again");
    let seen = here.printed("counter")?.len();
    here.until_printed("counter", &format!("line {}", seen + 50))?;
    for (at, line) in here.printed("counter")?.iter().enumerate() {
        assert_eq!(
            line,
            &format!("line {}", at + 1),
            "output was lost or doubled"
        );
    }
    Ok(())
}
