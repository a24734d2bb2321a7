//! `encrypt WORKFLOW NAME`: a secret for the boxes that a workflow is on, to the keys of the roster on the verified trunk and
//! to nothing else. Reads the secret from a file or standard input; it is never printed.

use super::here;
use crate::{
    audit::trunk,
    cli::EncryptArgs,
    commit::Change,
    deploy_repository::DeployRepository,
    encrypt::{self, MAX_PLAIN},
    failure::{Exit, Failure, Finding, Outcome},
    key::Key,
    pack::read_limited,
    place, talk, words, workflow,
};
use anyhow::Context;
use std::io::{IsTerminal, Read};
use swarm_manifests::{
    manifest::{self, Manifest},
    name::Name,
    roster::Entry,
    secret::Purpose,
};
use swarm_repository::snapshot::Snapshot;

/// Encrypts it, and says who can read it.
pub fn run(args: &EncryptArgs, json: bool) -> Outcome {
    let repository = here()?;
    let manifest = manifest(&repository, &args.workflow)?;
    let trunk = trunk(&repository)?;
    let boxes: Vec<&Entry> = trunk
        .roster
        .values()
        .filter(|entry| manifest.on.foresee(&entry.known()) != Some(false))
        .collect();
    if boxes.is_empty() {
        return Err(Failure::new(format!(
            "no box of the roster is one that {} is on",
            args.workflow
        ))
        .hint("swarm-pack box add NAME --key KEY, commit; or change [on]"));
    }
    let secret = secret(args)?;
    let purpose = Purpose {
        repository: trunk.policy.repository.clone(),
        workflow: args.workflow.clone(),
        name: args.name.clone(),
    };
    let file = purpose.file();
    let mut change = Change::default();
    place::write_bytes(
        &repository,
        &file,
        &encrypt::encrypt(&secret, &purpose, &boxes)?,
        &mut change,
    )?;
    change.stage(&repository)?;
    let names: Vec<Name> = boxes.iter().map(|entry| entry.name.clone()).collect();
    let message = format!("secret {} of {}", args.name, args.workflow);
    let commit = if args.commit {
        let key = Key::find(args.key.key.as_deref(), &repository.git)?;
        change.commit(&repository, &key, &message)?
    } else {
        None
    };
    talk::say(format!(
        "{file}: {} bytes that {} can read, and nobody else",
        secret.len(),
        words::listed(&names)
    ));
    if secret.ends_with(b"\n") {
        talk::say("it ends with a newline, which is part of it; printf %s gives one without");
    }
    talk::say(match &commit {
        Some(commit) => format!("committed as {commit:.10}; next: git push"),
        None => format!("next: git commit -m \"{message}\" && git push"),
    });
    if json {
        talk::json(
            &serde_json::json!({"file": file, "workflow": args.workflow, "secret": args.name, "boxes": names, "commit": commit}),
        );
    }
    Ok(())
}

fn manifest(repository: &DeployRepository, name: &Name) -> Outcome<Manifest> {
    let file = workflow::find(repository, name)?;
    let text = file.text.ok_or_else(|| {
        Failure::new(format!(
            "there is no workflow {name} here, so nobody can say which boxes are to read it"
        ))
        .exit(Exit::Unknown)
        .hint("swarm-pack show lists them; swarm-pack deploy makes one")
    })?;
    let (manifest, problems) = manifest::read(&file.path, text.as_bytes());
    manifest.ok_or_else(|| Failure::findings(Finding::of(problems, text.as_bytes())))
}

/// What is signed: the roster of the verified trunk, never of files that nobody signed.
fn trunk(repository: &DeployRepository) -> Outcome<Snapshot> {
    let (_, snapshot) = trunk::verified(repository)?;
    Ok(snapshot)
}

fn secret(args: &EncryptArgs) -> Outcome<Vec<u8>> {
    let secret = if let Some(path) = &args.file {
        read_limited(path, MAX_PLAIN + 1)?
    } else {
        if std::io::stdin().is_terminal() {
            talk::say("type the secret, then Ctrl-D");
        }
        let mut secret = Vec::new();
        let mut input = std::io::stdin().lock().take(MAX_PLAIN + 1);
        input
            .read_to_end(&mut secret)
            .context("the secret could not be read")?;
        secret
    };
    if secret.is_empty() {
        return Err(Failure::usage("the secret is empty")
            .hint("give it on standard input, or name its file: --file FILE"));
    }
    if secret.len() as u64 > MAX_PLAIN {
        return Err(
            Failure::new(format!("the secret is larger than {MAX_PLAIN} bytes"))
                .hint("keep the data elsewhere, and encrypt the key to it"),
        );
    }
    Ok(secret)
}
