//! What supervision is when things go wrong: a flood of output, the death of those who supervise, programs that run away. Touches
//! processes.

use super::{
    contender::{Contender, stamps, until_all_started},
    measure,
    ours::{MANIFEST, Ours},
};
use crate::{
    Deploy, World,
    bench::{c::compile, figures::Samples},
    process::{is_alive, kill_now, until},
};
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path, time::Duration};
use swarm_manifests::status::State;

/// Others beside one that prints without end.
#[derive(Debug)]
pub struct Flood {
    /// Milliseconds from a death to the successor's first instruction: without the flood, and with it.
    pub restarts: (Samples, Samples),
    /// Milliseconds of `list`, the same.
    pub lists: (Samples, Samples),
    /// Megabytes that the flood left in its log.
    pub log: f64,
}

/// Measures so many deaths without and with a flood.
pub fn flood(deaths: usize) -> Result<Flood> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let child = compile(&world, "child", include_str!("child.c"))?;
    let program = compile(&world, "flood", include_str!("flood.c"))?;
    let source = deploy.source(
        "flood",
        "1.0.0",
        "engine = \"exec\"\nentry = \"flood\"\n",
        &[],
    )?;
    fs::copy(program, deploy.path(&source).join("flood"))?;
    deploy.pack(&["publish", &source])?;
    deploy.manifest("flood", MANIFEST)?;
    let mut ours = Ours::new(&world, &deploy, &child, 5)?;
    ours.begin()?;
    until_all_started(&ours, 5)?;
    ours.here().until_runs("flood", "1.0.0")?;
    let here = |ours: &Ours<'_>| -> Result<(Samples, Samples)> {
        let restarts = measure::race(&[ours], deaths, Duration::from_millis(5))?;
        let restarts = restarts.into_iter().next().context("one of one")?;
        Ok((restarts, measure::lists(ours, 50)?))
    };
    ours.here().agent(&["kill", "flood"])?;
    let calm = here(&ours)?;
    ours.here().agent(&["start", "flood"])?;
    ours.here().until_runs("flood", "1.0.0")?;
    let loud = here(&ours)?;
    let log = size(&ours.here().path("state/supervisor/logs/flood"));
    ours.end()?;
    Ok(Flood {
        restarts: (calm.0, loud.0),
        lists: (calm.1, loud.1),
        log,
    })
}

#[allow(clippy::cast_precision_loss, reason = "megabytes")]
fn size(folder: &Path) -> f64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes: u64 = files
        .filter_map(|file| file.metadata().ok())
        .map(|meta| meta.len())
        .sum();
    bytes as f64 / 1e6
}

/// Children that were started again, or are gone, after `kill -9` of supervisor and agent, so often.
pub fn crashes(children: usize, rounds: usize) -> Result<Samples> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let child = compile(&world, "child", include_str!("child.c"))?;
    let mut ours = Ours::new(&world, &deploy, &child, children)?;
    ours.begin()?;
    until_all_started(&ours, children)?;
    let mut changed = Samples::default();
    for _ in 0..rounds {
        let pids = |ours: &Ours<'_>| -> Vec<_> {
            (0..children)
                .map(|number| stamps(&ours.stamps(number)))
                .collect()
        };
        let before = pids(&ours);
        ours.crash()?;
        ours.resume()?;
        until("everything running again", || {
            let rows = ours.here().rows().ok()?;
            let run = rows
                .iter()
                .filter(|row| row.state == State::Running && row.pid.is_some());
            (run.count() == children).then_some(())
        })?;
        let after = pids(&ours);
        let same = before.iter().zip(&after).filter(|(before, after)| {
            before == after && after.last().is_some_and(|stamp| is_alive(stamp.pid))
        });
        #[allow(clippy::cast_precision_loss, reason = "some children")]
        changed.push((children - same.count()) as f64);
    }
    ours.end()?;
    Ok(changed)
}

/// Upgrades in place, so often: milliseconds without a supervisor, and from the request to another agent. Not a child may notice.
pub fn upgrades(children: usize, rounds: usize) -> Result<(Samples, Samples)> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let child = compile(&world, "child", include_str!("child.c"))?;
    let mut ours = Ours::new(&world, &deploy, &child, children)?;
    ours.begin()?;
    until_all_started(&ours, children)?;
    let pids = |ours: &Ours<'_>| -> Vec<_> {
        let numbers = 0..children;
        numbers.map(|number| stamps(&ours.stamps(number))).collect()
    };
    let before = pids(&ours);
    let (mut without, mut agents) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        ours.here().agent(&["status"])?;
        let (gap, agent) = ours.upgrade()?;
        without.push(gap);
        agents.push(agent);
    }
    ensure!(pids(&ours) == before, "a child was started again");
    ours.end()?;
    Ok((without, agents))
}

/// Forks, setsids, ignores what asks it to end.
const RUNAWAY: &str = "for one in 1 2 3; do ( setsid sh -c 'trap \"\" TERM HUP INT; exec sleep 4711' & ) ; done\n\
    until [ \"$(ls $SWARM_STATE/there 2>/dev/null | wc -l)\" -gt 0 ]; do sleep 0.05; mkdir -p $SWARM_STATE/there; touch $SWARM_STATE/there/1; done\n\
    echo \"$$ 0\" >> $SWARM_STATE/stamps\nwhile :; do sleep 1; done\n";

/// Descendants alive that should not be: of the one that crashed when its successor runs, and of the last one after a kill.
pub fn runaways(rounds: usize) -> Result<(Samples, Samples)> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let child = compile(&world, "child", include_str!("child.c"))?;
    deploy.publish_sh("runaway", "1.0.0", RUNAWAY)?;
    deploy.manifest("runaway", MANIFEST)?;
    let mut ours = Ours::new(&world, &deploy, &child, 1)?;
    ours.begin()?;
    let file = ours.here().path("state/workflows/runaway/0/stamps");
    let mark = format!(
        "SWARM_STATE={}",
        ours.here().path("state/workflows/runaway/0").display()
    );
    let (mut crashed, mut killed) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        let row = ours.here().until_runs("runaway", "1.0.0")?;
        let starts = stamps(&file).len().max(1);
        super::contender::until_started(&file, starts)?;
        let old = until("three that ran away", || {
            Some(sleepers(&mark)).filter(|pids| pids.len() >= 3)
        })?;
        kill_now(u32::try_from(row.pid.context("a pid")?)?);
        super::contender::until_started(&file, starts + 1)?;
        crashed.push(count(&old));
        let last = sleepers(&mark);
        ours.here().agent(&["kill", "runaway"])?;
        ensure!(!last.is_empty(), "the successor's children were not seen");
        killed.push(count(&last));
        ours.here().agent(&["start", "runaway"])?;
        super::contender::until_started(&file, starts + 2)?;
    }
    ours.end()?;
    Ok((crashed, killed))
}

#[allow(clippy::cast_precision_loss, reason = "a few")]
fn count(pids: &[u32]) -> f64 {
    pids.iter().filter(|pid| is_alive(**pid)).count() as f64
}

/// Processes of this name with this in their environment.
fn sleepers(mark: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_one = |pid: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("comm") == b"sleep\n"
            && read("cmdline").ends_with(b"4711\0")
            && read("environ")
                .split(|byte| *byte == 0)
                .any(|entry| entry == mark.as_bytes())
    };
    pids.filter(is_one).collect()
}
