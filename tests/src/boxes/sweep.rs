//! What killed runs left is removed, by its own names: fleets whose owner lives no more.

use super::{FLEETS, Names, base, fleet};
use crate::process::is_alive;
use anyhow::{Context, Result};
use std::{fs, path::Path};

/// Removes the fleets of tests whose process is gone. A person's fleet has no owner and is left alone.
pub(super) fn sweep() -> Result<()> {
    fs::create_dir_all(FLEETS)?;
    // Two that begin together do not remove the same one.
    let _lock = base::lock(&Path::new(FLEETS).join("sweep.lock"))?;
    for entry in fs::read_dir(FLEETS).into_iter().flatten().flatten() {
        let Ok(owner) = fs::read_to_string(entry.path().join("owner")) else {
            continue;
        };
        if living(&owner).is_none() {
            let name = entry.file_name().to_string_lossy().into_owned();
            eprintln!("boxes: removing what a killed run left ({name})");
            fleet::remove(&Names::of(&name))?;
        }
    }
    Ok(())
}

/// A process, as no later one is called: its id and when it was started.
pub(super) fn named(pid: u32) -> Result<String> {
    Ok(format!("{pid} {}", begun(pid).context("/proc")?))
}

/// Its id, if it lives.
pub(super) fn living(name: &str) -> Option<u32> {
    let (pid, at) = name.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (begun(pid)? == at && is_alive(pid)).then_some(pid)
}

/// Field 22 of `/proc/PID/stat`.
fn begun(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(19).map(str::to_owned)
}
