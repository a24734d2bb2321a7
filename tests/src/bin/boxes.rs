//! `./dev boxes`: booted boxes for people. Touches what `swarm_tests::boxes` touches.

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use std::process::{Command, ExitCode};
use swarm_tests::boxes::Fleet;

/// Booted boxes: Debian with systemd and sshd, on a switch of their own without a way out.
#[derive(Debug, Parser)]
#[command(name = "boxes")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Boot some
    Up {
        /// How many
        #[arg(default_value_t = 3)]
        count: usize,
    },
    /// Shut them down, and remove everything of them
    Down,
    /// Which are there
    List,
    /// A shell, or a command, on one of them
    Ssh {
        /// Which
        name: String,
        /// What to run there
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// A command at the switch, from where every box is reached: ansible-playbook, git, curl …
    Run {
        /// The command
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<String>,
    },
}

fn main() -> ExitCode {
    match act(Cli::parse().what) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("boxes: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(what: What) -> Result<ExitCode> {
    match what {
        What::Up { count } => {
            let fleet = Fleet::up(count)?;
            list(&fleet);
            eprintln!(
                "boxes: ssh with ./dev boxes ssh box-1; the inventory for Ansible is {}",
                fleet.folder().join("inventory.yml").display()
            );
        }
        What::Down => Fleet::there()?.end()?,
        What::List => list(&Fleet::there()?),
        What::Ssh { name, words } => {
            let fleet = Fleet::there()?;
            return wait(fleet.ssh(&name)?.args(words));
        }
        What::Run { words } => {
            let fleet = Fleet::there()?;
            return wait(fleet.command(&words[0]).args(&words[1..]));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(fleet: &Fleet) {
    println!("{:<8} {:<12} STATE", "BOX", "ADDRESS");
    for one in fleet.boxes() {
        let state = one.sh("systemctl is-system-running || true");
        let state = state.unwrap_or_else(|_| "off".into());
        println!("{:<8} {:<12} {state}", one.name, one.address());
    }
}

fn wait(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
