//! The processes of a box as `/proc` shows them: who they are, what they cost. Reads `/proc` and their clocks.

use crate::{
    process::{child_in_role, child_named, executable, indexer_of, until},
    world::swarm_program,
};
use anyhow::{Context, Result, bail, ensure};
use nix::{
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of the programs' stamps.
pub fn monotonic() -> Result<i64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}

/// Supervisor and agent of a box, and the keeper of what the kernel forgets.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Roles {
    pub supervisor: u32,
    pub agent: u32,
    pub keeper: u32,
}

impl Roles {
    /// Finds the agent below the supervisor; an error where they are not two processes of one program.
    pub fn find(supervisor: u32) -> Result<Self> {
        let agent = until("the agent's process showing in /proc", || {
            child_in_role(supervisor, "agent")
        })?;
        let program = swarm_program("swarm-agent").canonicalize()?;
        for pid in [supervisor, agent] {
            ensure!(
                executable(pid).as_ref() == Some(&program),
                "process {pid} is not {}",
                program.display()
            );
        }
        let keeper =
            child_named(supervisor, "swarm-keeper").context("the supervisor has no keeper")?;
        Ok(Self {
            supervisor,
            agent,
            keeper,
        })
    }

    /// Every process of ours that is there all the time.
    pub fn all(self) -> [u32; 3] {
        [self.supervisor, self.keeper, self.agent]
    }
}

/// Looks for a box's indexers without pause, until it is asked.
#[derive(Debug)]
pub struct IndexerWatch {
    seen: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl IndexerWatch {
    /// Begins.
    pub fn begin(supervisor: u32) -> Self {
        let (seen, stop) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let thread = std::thread::spawn({
            let (seen, stop) = (seen.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if indexer_of(supervisor).is_some() {
                        seen.store(true, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        });
        Self { seen, stop, thread }
    }

    /// Ends; an error where no indexer was a process of its own during the fetches meanwhile.
    pub fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            bail!("the watch over /proc panicked");
        }
        ensure!(
            self.seen.load(Ordering::Relaxed),
            "/proc showed no indexer as a process of its own during the fetches"
        );
        Ok(())
    }
}

/// Milliseconds of CPU that a process has used so far, all its threads together, also those that have ended.
pub fn cpu(pid: u32) -> Result<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?;
    let used = clock_gettime(clock)?;
    #[allow(
        clippy::cast_precision_loss,
        reason = "nanoseconds of a process of minutes"
    )]
    let nanoseconds = (used.tv_sec() * 1_000_000_000 + used.tv_nsec()) as f64;
    Ok(nanoseconds / 1e6)
}

/// Milliseconds of CPU of its children that have ended; the kernel counts them in steps of 10.
pub fn cpu_of_children(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(')').context("a stat line")?.1;
    let mut fields = after.split_whitespace().skip(13);
    let mut next = || -> Result<f64> { Ok(fields.next().context("a stat field")?.parse()?) };
    Ok((next()? + next()?) * 10.0)
}

/// Megabytes (10^6) of a process.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Memory {
    pub resident: f64,
    /// Its share: what several processes have in common is divided among them.
    pub proportional: f64,
}

/// What a process holds now.
pub fn memory(pid: u32) -> Result<Memory> {
    Ok(Memory {
        resident: megabytes(pid, "status", "VmRSS:")?,
        proportional: megabytes(pid, "smaps_rollup", "Pss:")?,
    })
}

/// The most megabytes that a process has ever held.
pub fn most_resident(pid: u32) -> Result<f64> {
    megabytes(pid, "status", "VmHWM:")
}

fn megabytes(pid: u32, file: &str, name: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}"))?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next())
        .with_context(|| format!("/proc/{pid}/{file} has no {name}"))?;
    Ok(value.parse::<f64>()? * 1024.0 / 1e6)
}

/// Milliseconds that something takes.
pub fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = monotonic()?;
    work()?;
    #[allow(clippy::cast_precision_loss, reason = "a few seconds")]
    let nanoseconds = (monotonic()? - begun) as f64;
    Ok(nanoseconds / 1e6)
}
