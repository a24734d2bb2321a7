//! `count = N` over a fleet with a map: so many boxes of the roster run it, and when one leaves the roster another takes over.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use swarm_manifests::status::State;
use swarm_tests::{Deploy, Map, SwarmBox, World, until, until_ok};

const LOOP: &str = "while :; do sleep 1; done\n";
const NAMES: [&str; 3] = ["box-1", "box-2", "box-3"];

type Fleet<'a> = BTreeMap<&'static str, SwarmBox<'a>>;

/// Three boxes of the roster that report to a map, and a workflow that wants two of them.
fn fleet<'a>(world: &'a World, deploy: &Deploy<'_>, map: &Map<'_>) -> Result<Fleet<'a>> {
    let remote = deploy.remote().display().to_string();
    let mut fleet = Fleet::new();
    for name in NAMES {
        let map = map.settings_for(name)?;
        let mut here = SwarmBox::new(world, name, deploy, &remote, "poll = \"1s\"\n", &map)?;
        here.run()?;
        deploy.enlist(&here, name)?;
        fleet.insert(name, here);
    }
    deploy.publish_sh("lp", "1.0.0", LOOP)?;
    deploy.manifest(
        "lp",
        "version = \"1.0.0\"\n\n[on]\nall = true\ncount = 2\n\n[run]\nmode = \"daemon\"\n",
    )?;
    deploy.push()?;
    Ok(fleet)
}

/// On which boxes the map sees it running, with its process.
fn seen(map: &Map<'_>) -> Result<BTreeMap<String, i64>> {
    let found = map.items("/v1/workflows")?;
    let rows = found.first().and_then(|one| one["boxes"].as_array());
    let runs = rows.into_iter().flatten();
    let runs = runs.filter(|row| row["state"] == "running");
    runs.map(|row| {
        let name = row["box"].as_str().context("a box")?;
        Ok((name.to_string(), row["pid"].as_i64().context("a pid")?))
    })
    .collect()
}

/// Waits until it runs on these boxes, and nothing of it is anywhere else.
fn until_on(map: &Map<'_>, fleet: &Fleet<'_>, wanted: [&str; 2]) -> Result<BTreeMap<String, i64>> {
    let others = NAMES.into_iter().filter(|name| !wanted.contains(name));
    for name in others {
        until_ok("it being gone elsewhere", || {
            let row = fleet[name].row("lp")?;
            anyhow::ensure!(row.is_none(), "{row:?}");
            Ok(())
        })?;
    }
    until_ok("it running where it should", || {
        let runs = seen(map)?;
        let is_so =
            runs.len() == wanted.len() && wanted.iter().all(|name| runs.contains_key(*name));
        anyhow::ensure!(is_so, "{runs:?}, not on {wanted:?}");
        Ok(runs)
    })
}

#[test]
fn so_many_boxes_run_it_and_another_takes_over_from_one_that_leaves_the_roster() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let map = Map::start(&world)?;
    let mut fleet = fleet(&world, &deploy, &map)?;
    let first = until("two boxes running it on the map", || {
        seen(&map).ok().filter(|runs| runs.len() == 2)
    })?;
    let (runs, idle): (Vec<_>, Vec<_>) = NAMES
        .into_iter()
        .partition(|name| first.contains_key(*name));
    let (leaves, stays, idle) = (runs[0], runs[1], idle[0]);
    fleet[idle].agent(&["sync"])?;
    let why = String::from_utf8(fleet[idle].try_agent(&["why", "lp"])?.stdout)?;
    assert!(why.contains("count = 2 of 3 boxes fell on others"), "{why}");

    // Who leaves the roster stops it; the one that had nothing to do takes over, the other one is left alone.
    deploy.pack(&["box", "remove", leaves])?;
    deploy.push()?;
    let second = until_on(&map, &fleet, [stays, idle])?;
    assert_eq!(second[stays], first[stays], "it was started again");

    // Back in the roster it has its part again, without a restart of the one that kept its own.
    deploy.enlist(&fleet[leaves], leaves)?;
    let third = until_on(&map, &fleet, [leaves, stays])?;
    assert_eq!(third[stays], first[stays], "it was started again");

    // A box that is only off is in the roster still: nobody decides for it, and the map says what is missing.
    let off = fleet.get_mut(leaves).context("a box")?;
    off.agent(&["kill", "lp"])?;
    off.until_state("lp", State::Killed)?;
    off.supervisor().end();
    until_ok("the map missing it", || {
        let boxes = map.items(&format!("/v1/boxes?box={leaves}"))?;
        anyhow::ensure!(boxes[0]["state"] == "offline", "{boxes:?}");
        Ok(())
    })?;
    fleet[idle].agent(&["sync"])?;
    assert_eq!(fleet[idle].row("lp")?, None);
    Ok(())
}
