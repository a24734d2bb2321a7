//! `swarm-map`: one binary, two roles; arguments in, exit code out.

use clap::Parser as _;
use std::process::ExitCode;
use swarm_manifests::indexer::ROLE;
use swarm_map::{
    cli::{AuditCommand, Cli, Command},
    commands, serve, settings,
};
use swarm_repository::index;
use swarm_supervisor::indexer;

fn main() -> ExitCode {
    let outcome = match std::env::var("SWARM_ROLE").as_deref() {
        Ok(ROLE) => take_apart(),
        _ => run(Cli::parse().command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swarm-map: {error:#}");
            if error.is::<settings::Usage>() {
                return ExitCode::from(2);
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve::run(settings::read(*args)?),
        Command::Token {
            store,
            name,
            replace,
            valid,
        } => commands::token::run(&store.store, &name, replace, valid),
        Command::Key { store } => commands::key::run(&store.store),
        Command::Audit {
            command: AuditCommand::Verify { store, expect },
        } => commands::audit::run(&store.store, expect),
        Command::Backup { store, file } => commands::copy::backup(&store.store, &file),
        Command::Restore { store, file } => commands::copy::restore(&store.store, &file),
        Command::Inventory {
            store,
            list: _,
            host,
        } => commands::inventory::run(&store.store, host.as_deref()),
    }
}

/// The indexer: a received pack becomes objects below one folder.
fn take_apart() -> anyhow::Result<()> {
    let work = indexer::begin()?;
    index::index(work.pack, &work.folder, index::Limits::default())?;
    Ok(())
}
