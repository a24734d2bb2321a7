//! `swarm-pack`: builds, signs, checks, publishes and deploys bundles (SPEC §7).

mod approvals;
mod audit;
mod cli;
mod commands;
mod commit;
mod deploy_repository;
mod edit;
mod encrypt;
mod excerpt;
mod failure;
mod folder;
mod foresee;
mod git;
mod hook;
mod key;
mod pack;
mod place;
mod policy_edit;
mod proposed;
mod published;
mod push;
mod secrets;
mod signers;
mod starter;
mod talk;
mod watch;
mod words;
mod workflow;

use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = commands::run(cli::Cli::parse());
    let outcome = outcome.and_then(|()| match talk::unwritten() {
        None => Ok(()),
        Some(why) => Err(Failure::new(format!("stdout could not be written: {why}"))
            .hint("what was asked is done; what it printed is not whole")),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            talk::failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}
