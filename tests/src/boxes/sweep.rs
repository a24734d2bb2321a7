//! What killed runs left is removed, by its own names: fleets whose owner lives no more.

use super::{FLEETS, Names, fleet};
use anyhow::{Context, Result};
use std::fs;

/// Removes the fleets of tests whose process is gone. A person's fleet has no owner and is left alone.
pub(super) fn sweep() -> Result<()> {
    for entry in fs::read_dir(FLEETS).into_iter().flatten().flatten() {
        let Ok(owner) = fs::read_to_string(entry.path().join("owner")) else {
            continue;
        };
        if !lives(&owner) {
            let name = entry.file_name().to_string_lossy().into_owned();
            eprintln!("boxes: removing what a killed run left ({name})");
            fleet::remove(&Names::of(&name))?;
        }
    }
    Ok(())
}

/// This process, as no later one is called: its id and when it was started.
pub(super) fn me() -> Result<String> {
    let pid = std::process::id();
    Ok(format!("{pid} {}", begun(pid).context("/proc")?))
}

fn lives(owner: &str) -> bool {
    let Some((pid, at)) = owner.trim().split_once(' ') else {
        return false;
    };
    pid.parse()
        .ok()
        .and_then(begun)
        .is_some_and(|begun| begun == at)
}

/// Field 22 of `/proc/PID/stat`.
fn begun(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    after.split(' ').nth(19).map(str::to_owned)
}
