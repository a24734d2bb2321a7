//! The indexer: a process of its own that turns a received pack into objects below one folder, and can do nothing else.
//!
//! The pack comes on stdin, `SWARM_QUARANTINE` names the folder; what is wrong is said on stderr in one line.

use anyhow::{Context, bail};
use std::path::PathBuf;
use swarm_repository::index;
use swarm_supervisor::os::indexer::sandbox_self_for_indexer;
use swarm_wire::indexer::FOLDER;

/// Runs it to its end.
pub fn run() -> anyhow::Result<()> {
    let quarantine =
        PathBuf::from(std::env::var_os(FOLDER).context("SWARM_QUARANTINE is not set")?);
    if !quarantine.is_dir() {
        bail!("{} is no folder", quarantine.display());
    }
    // From here on nothing but reading stdin and writing below the quarantine works.
    sandbox_self_for_indexer(&quarantine).context("the indexer's sandbox")?;
    index::index(
        std::io::stdin().lock(),
        &quarantine,
        index::Limits::default(),
    )?;
    Ok(())
}
