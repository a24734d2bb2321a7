//! Whoever starts children and starts them again: ours, the limits in C, the peers. Touches processes.

use crate::process::{LIMIT, is_alive};
use anyhow::{Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// One that supervises so many children, each of which writes its stamps into a file of its own.
pub trait Contender {
    /// `swarmlet`, `limit in C, sandbox`, `runit`.
    fn name(&self) -> &str;

    /// Starts it, and with it every child. Called again after [`Contender::end`], it finds everything as it was.
    fn begin(&mut self) -> Result<()>;

    /// Where a child writes `PID NANOSECONDS` at each start.
    fn stamps(&self, child: usize) -> PathBuf;

    /// Every process that supervises: its own, not the children.
    fn supervising(&self) -> Result<Vec<u32>>;

    /// What lists all children, where there is such a command.
    fn list(&self) -> Option<Command>;

    /// Ends it with every child.
    fn end(&mut self) -> Result<()>;
}

/// A start of the program: who it was and when, on `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stamp {
    pub pid: u32,
    pub nanoseconds: i64,
}

/// Every start that a file tells of, in order.
pub fn stamps(file: &Path) -> Vec<Stamp> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .filter_map(|line| {
            let (pid, nanoseconds) = line.trim().split_once(' ')?;
            Some(Stamp {
                pid: pid.parse().ok()?,
                nanoseconds: nanoseconds.parse().ok()?,
            })
        })
        .collect()
}

/// Waits until a file tells of so many starts; gives the last one.
pub fn until_started(file: &Path, starts: usize) -> Result<Stamp> {
    let begun = Instant::now();
    loop {
        let found = stamps(file);
        if let (true, Some(last)) = (found.len() >= starts, found.last()) {
            return Ok(*last);
        }
        if begun.elapsed() > LIMIT {
            bail!(
                "{} told of {} starts instead of {starts} within {} s",
                file.display(),
                found.len(),
                LIMIT.as_secs()
            );
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Waits until every child has started for the first time; gives the last one's moment.
pub fn until_all_started(contender: &dyn Contender, children: usize) -> Result<i64> {
    let mut last = i64::MIN;
    for child in 0..children {
        last = last.max(until_started(&contender.stamps(child), 1)?.nanoseconds);
    }
    Ok(last)
}

/// Ends processes by their ids, and waits until they are gone.
pub fn kill_all(pids: &[u32]) -> Result<()> {
    for pid in pids {
        crate::process::kill_now(*pid);
    }
    crate::process::until("what was killed being gone", || {
        pids.iter().all(|pid| !is_alive(*pid)).then_some(())
    })
}
