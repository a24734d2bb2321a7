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
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            talk::failure(&failure);
            ExitCode::from(failure.exit as u8)
        }
    }
}
