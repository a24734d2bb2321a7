//! `demo`: a map, three boxes and a deploy repository as real processes on this machine, with a guided tour.
//! Nothing is left behind, neither process nor file.

pub mod git_server;
mod look;
mod stage;
mod talk;
mod tour;
mod world;

use super::{Failure, Outcome};
use anyhow::Context as _;
use std::io::IsTerminal;
use world::World;

pub use world::terminate;

/// Shows the main job. With `unattended` nobody is waited for.
pub fn demo(unattended: bool, port: Option<u16>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut interrupted = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut world = World::new(port)?;
        let outcome = tokio::select! {
            outcome = tour::tour(&mut world, unattended || !std::io::stdin().is_terminal()) => outcome,
            _ = interrupted.recv() => Ok(()),
            _ = ended.recv() => Ok(()),
        };
        let tidied = world.tidy().await.context("tidying up after the demo");
        outcome.and(tidied).map_err(Failure::from)?;
        eprintln!("Everything has ended; no process and no file is left.");
        Ok(0)
    })
}
