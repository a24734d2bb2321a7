//! `./dev bench`: prints a table, writes JSON; ends with 0 unless something could not be measured.

use clap::Parser as _;
use std::process::ExitCode;
use swarm_tests::bench::{self, Options};

fn main() -> ExitCode {
    match bench::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
