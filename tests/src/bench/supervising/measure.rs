//! What is measured of a contender: how fast a killed child is followed, and what a crowd of them costs.

use super::contender::{Contender, stamps, until_all_started, until_started};
use crate::{
    bench::{
        figures::Samples,
        program::Protections,
        watched::{cpu, memory, monotonic},
    },
    process::kill_now,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    time::{Duration, Instant},
};

/// Milliseconds from `kill -9` of the first child to its successor's first instruction.
pub fn restart(contender: &dyn Contender) -> Result<f64> {
    let file = contender.stamps(0);
    let before = stamps(&file);
    let last = before.last().context("a child that runs")?;
    let killed = monotonic()?;
    kill_now(last.pid);
    let next =
        until_started(&file, before.len() + 1).with_context(|| contender.name().to_owned())?;
    ensure!(next.pid != last.pid, "{} started nobody", contender.name());
    #[allow(clippy::cast_precision_loss, reason = "seconds at most")]
    let nanoseconds = (next.nanoseconds - killed) as f64;
    Ok(nanoseconds / 1e6)
}

/// They take turns, so that the machine is the same for each; `pause` before each death.
pub fn race(contenders: &[&dyn Contender], rounds: usize, pause: Duration) -> Result<Vec<Samples>> {
    let mut all = vec![Samples::default(); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let at = (turn + round) % contenders.len();
            std::thread::sleep(pause);
            all[at].push(restart(contenders[at])?);
        }
    }
    Ok(all)
}

/// What the kernel says now of a contender's first child.
pub fn protections(contender: &dyn Contender) -> Result<String> {
    let child = *stamps(&contender.stamps(0))
        .last()
        .context("a child that runs")?;
    let status = fs::read_to_string(format!("/proc/{}/status", child.pid))?;
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", child.pid))?;
    let cgroup = cgroup
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or("none");
    let mounts = |who: &str| fs::read_link(format!("/proc/{who}/ns/mnt"));
    let mounts = if mounts(&child.pid.to_string())? == mounts("self")? {
        "the machine's"
    } else {
        "private"
    };
    Ok(format!(
        "{}, mounts {mounts}, cgroup {cgroup}",
        Protections::read(&status)?.words()
    ))
}

/// What many children cost.
#[derive(Debug, Default)]
pub struct Crowd {
    /// Seconds from the start of the supervising process until the last child executes.
    pub start: Samples,
    /// Megabytes (PSS): of the supervising processes without the last one, which is our agent, and of all of them.
    pub first: Samples,
    pub all: Samples,
    /// Milliseconds of `list`.
    pub list: Samples,
    /// Seconds of CPU while nothing happens.
    pub idle: Samples,
}

/// How a crowd is measured.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Course {
    pub children: usize,
    pub starts: usize,
    pub lists: usize,
    pub idle: Duration,
}

/// After the start, before memory and idle CPU are looked at: what belongs to the start is over.
const SETTLE: Duration = Duration::from_secs(8);

/// Starts a contender's children as often as asked, and looks at the last of these crowds.
pub fn crowd(contender: &mut dyn Contender, course: Course) -> Result<Crowd> {
    let mut found = Crowd::default();
    for round in 1..=course.starts {
        let begun = monotonic()?;
        contender.begin()?;
        let last = until_all_started(contender, course.children)?;
        #[allow(clippy::cast_precision_loss, reason = "a minute at most")]
        found.start.push((last - begun) as f64 / 1e9);
        if round < course.starts {
            contender.end()?;
        }
    }
    if course.idle.is_zero() {
        contender.end()?;
        return Ok(found);
    }
    std::thread::sleep(SETTLE);
    let pids = contender.supervising()?;
    let used = || -> Result<f64> { pids.iter().map(|pid| cpu(*pid)).sum() };
    let before = used()?;
    std::thread::sleep(course.idle);
    found.idle.push((used()? - before) / 1000.0);
    let shares = pids
        .iter()
        .map(|pid| Ok(memory(*pid)?.proportional))
        .collect::<Result<Vec<f64>>>()?;
    let without_last = shares.len().saturating_sub(1);
    found.first.push(shares[..without_last].iter().sum());
    found.all.push(shares.iter().sum());
    found.list = lists(contender, course.lists)?;
    contender.end()?;
    Ok(found)
}

/// How long listing takes, the start of the listing program included.
pub fn lists(contender: &dyn Contender, rounds: usize) -> Result<Samples> {
    let mut samples = Samples::default();
    for _ in 0..rounds {
        let Some(mut command) = contender.list() else {
            break;
        };
        let begun = Instant::now();
        let said = command.output()?;
        samples.push(begun.elapsed().as_secs_f64() * 1000.0);
        ensure!(
            said.status.success() && !said.stdout.is_empty(),
            "{} lists nothing: {}",
            contender.name(),
            String::from_utf8_lossy(&said.stderr)
        );
    }
    Ok(samples)
}
