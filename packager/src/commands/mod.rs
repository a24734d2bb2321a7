//! The commands that people type, a file each. stdout is data, stderr is talk.

mod box_add;
mod build;
mod check;
mod deploy;
mod explain;
mod init;
mod new;
mod publish;
mod schema;
mod setup;
mod show;
mod sign;
mod up;
mod verify;

use crate::{
    cli::{BoxCommand, Cli, Command, HookCommand},
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    hook, signers, talk,
};
use anyhow::Context;
use clap::CommandFactory;
use std::path::Path;

/// Does what was typed.
pub fn run(cli: Cli) -> Outcome {
    if let Some(folder) = &cli.folder {
        std::env::set_current_dir(folder)
            .with_context(|| format!("-C {}: cannot go there", folder.display()))?;
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
        Command::Check { path, pushed } => check::run(path.as_deref(), pushed, json),
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
        Command::Box {
            command:
                BoxCommand::Add {
                    name,
                    box_key,
                    labels,
                    key,
                },
        } => box_add::run(&name, &box_key, &labels, &key, json),
        Command::Hook {
            command: HookCommand::Install { server: false },
        } => {
            let path = hook::install(&here()?.git)?;
            talk::say(format!("wrote {}", path.display()));
            Ok(())
        }
        Command::Signers => {
            talk::raw(&signers::text(&here()?.policy()?));
            Ok(())
        }
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "swarm-pack",
                &mut std::io::stdout(),
            );
            Ok(())
        }
        other => Err(not_built(&other)),
    }
}

/// The deploy repository that we are in.
fn here() -> Outcome<DeployRepository> {
    DeployRepository::need(&[Path::new(".")])
}

fn not_built(command: &Command) -> Failure {
    let (what, instead) = match command {
        Command::Approve(_) => (
            "approve",
            "until then a policy change needs an admin's signed commit and version + 1, and manifests must need no approvals",
        ),
        Command::Vouch(_) => (
            "vouch",
            "until then mend a stopped trunk by a signed merge whose first parent is the last good commit: git checkout GOOD && git merge -S BAD",
        ),
        Command::Policy(_) => (
            "policy",
            "edit policy.toml, raise its version by one, and commit",
        ),
        Command::Who(_) => (
            "who",
            "swarm-pack show says who signed what; policy.toml says who may",
        ),
        Command::Encrypt(_) => (
            "encrypt",
            "secrets follow; put no secret into the repository",
        ),
        Command::Hook { .. } => (
            "hook install --server",
            "swarm-pack hook install checks before each push, in this clone",
        ),
        _ => (
            "plan",
            "swarm-agent plan says it on a box; swarm-pack check finds what would be refused",
        ),
    };
    Failure::not_built(&format!("swarm-pack {what}"), instead)
}
