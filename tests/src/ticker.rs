//! The workflow that most tests need: it says which version it is, prints, and stays.

use crate::{Deploy, SwarmBox, World};
use anyhow::Result;
use swarm_manifests::status::Row;

/// Its script.
pub const TICKER: &str = "echo begun $SWARM_VERSION; while :; do echo tick; sleep 0.2; done\n";

/// A manifest that runs on every box; `run` stands below `[run]`.
pub fn everywhere(version: &str, run: &str) -> String {
    format!("version = \"{version}\"\n\n[on]\nall = true\n\n[run]\n{run}\n")
}

/// A manifest of a daemon on every box.
pub fn daemon(version: &str) -> String {
    everywhere(version, "mode = \"daemon\"")
}

impl Deploy<'_> {
    /// Publishes a script and deploys it everywhere, as a daemon; not pushed yet.
    pub fn daemon(&self, name: &str, version: &str, script: &str) -> Result<()> {
        self.publish_sh(name, version, script)?;
        self.manifest(name, &daemon(version))
    }
}

impl<'a> SwarmBox<'a> {
    /// `box-1`, started, which follows the remote by its path with a short poll.
    pub fn by_path(world: &'a World, deploy: &Deploy<'_>) -> Result<Self> {
        let remote = deploy.remote().display().to_string();
        Self::start(world, "box-1", deploy, &remote)
    }

    /// The same, when `ticker` 1.0.0 runs on it; and its row.
    pub fn ticking(world: &'a World, deploy: &Deploy<'_>) -> Result<(Self, Row)> {
        deploy.daemon("ticker", "1.0.0", TICKER)?;
        deploy.push()?;
        let here = Self::by_path(world, deploy)?;
        let row = here.until_runs("ticker", "1.0.0")?;
        Ok((here, row))
    }
}
