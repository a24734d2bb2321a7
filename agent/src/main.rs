//! `swarm-agent`: one binary, three roles, and the commands that people type.

use clap::Parser;
use std::{path::PathBuf, process::ExitCode};
use swarm_agent::{cli::Cli, commands};
use swarm_manifests::indexer::ROLE;
use swarm_repository::index;
use swarm_supervisor::{handover::CHECK, indexer};

fn main() -> ExitCode {
    let outcome = match std::env::var("SWARM_ROLE").as_deref() {
        Ok("agent") => {
            let config = Cli::parse().config;
            swarm_agent::daemon::run(
                &config.unwrap_or_else(|| PathBuf::from("/etc/swarm/agent.toml")),
            )
        }
        Ok(CHECK) => commands::check_upgrade(&Cli::parse()),
        Ok(ROLE) => take_apart(),
        Ok("demo-git-server") => commands::serve_demo_git(),
        _ => return commands::dispatch(Cli::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swarm-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The indexer: a received pack becomes objects below one folder.
fn take_apart() -> anyhow::Result<()> {
    let work = indexer::begin()?;
    index::index(work.pack, &work.folder, index::Limits::default())?;
    Ok(())
}
