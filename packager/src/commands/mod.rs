//! The commands that people type, a file each. stdout is data, stderr is talk.

mod approve;
mod build;
mod check;
mod deploy;
mod encrypt;
mod explain;
mod hook;
mod init;
mod new;
mod plan;
mod policy;
mod policy_show;
mod publish;
mod reads;
mod roster;
mod schema;
mod setup;
mod show;
mod sign;
mod up;
mod verify;
mod vouch;
mod who;

use crate::{
    cli::{Cli, Command, HookCommand},
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    signers, talk,
};
use clap::CommandFactory;
use std::path::Path;

/// Does what was typed.
pub fn run(cli: Cli) -> Outcome {
    if let Some(folder) = &cli.folder {
        std::env::set_current_dir(folder)
            .map_err(|error| Failure::usage(format!("-C {}: {error}", folder.display())))?;
    }
    let json = cli.json;
    match cli.command {
        Command::Init { person, key } => init::run(person, &key, json),
        Command::Setup { key } => setup::run(&key, json),
        Command::New { name, engine } => new::run(&name, engine, json),
        Command::Up {
            dir,
            name,
            wish,
            key,
            map,
            timeout,
        } => up::run(
            &up::Options {
                dir,
                name,
                wish,
                key,
                map,
                timeout,
            },
            json,
        ),
        Command::Check {
            path,
            pushed,
            received,
        } => {
            let asked = match (&pushed, received) {
                (Some(remote), _) => check::Asked::Pushed(remote),
                (_, true) => check::Asked::Received,
                _ => check::Asked::Path(path.as_deref()),
            };
            check::run(&asked, json)
        }
        Command::Build { dir } => build::run(&dir, json),
        Command::Sign { dir, key } => sign::run(&dir, &key, json),
        Command::Publish { dir, repo, key } => publish::run(&dir, repo.as_deref(), &key, json),
        Command::Deploy {
            name,
            version,
            bundle,
            wish,
            key,
        } => deploy::run(&name, &version, bundle, &wish, &key, json),
        Command::Verify { dir, policy } => verify::run(&dir, policy.as_deref(), json),
        Command::Show { name } => show::run(name.as_ref(), json),
        Command::Explain { id } => explain::run(&id, json),
        Command::Schema { of } => schema::run(of),
        Command::Box { command } => roster::run(&command, json),
        Command::Hook {
            command:
                HookCommand::Install {
                    server,
                    introduction,
                },
        } => hook::run(server, introduction.as_deref(), json),
        Command::Policy(args) => policy::run(args, json),
        Command::Who { command } => who::run(&command, json),
        Command::Signers => {
            let policy = here()?.policy()?;
            if json {
                talk::json(&signers::json(&policy));
            } else {
                talk::raw(&signers::text(&policy));
            }
            Ok(())
        }
        Command::Completions { shell } => {
            // Not straight to stdout: there it would panic where nobody reads any more.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "swarm-pack", &mut text);
            talk::raw(&String::from_utf8_lossy(&text));
            Ok(())
        }
        Command::Approve(args) => approve::run(&args, json),
        Command::Vouch(args) => vouch::run(&args, json),
        Command::Encrypt(args) => encrypt::run(&args, json),
        Command::Plan { key } => plan::run(&key, json),
    }
}

/// The deploy repository that we are in.
fn here() -> Outcome<DeployRepository> {
    DeployRepository::need(&[Path::new(".")])
}
