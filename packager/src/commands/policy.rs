//! `policy …`: policy.toml edited as a careful person would; what that means, and who still has to approve it.

use super::{here, policy_show};
use crate::{
    audit::trunk,
    cli::{PolicyArgs, PolicyCommand},
    commit::Change,
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    key::Key,
    place,
    policy_edit::{self, Edit, Grant, fingerprint},
    proposed::{self, Base, FILE, Proposed},
    talk, words,
};
use anyhow::Context;
use serde_json::json;
use std::path::Path;
use swarm_manifests::{
    name::Name,
    policy::{Moment, Policy},
};

/// Does one of the policy's commands.
pub fn run(args: PolicyArgs, as_json: bool) -> Outcome {
    let repository = here()?;
    if matches!(args.command, PolicyCommand::Show) {
        policy_show::show(&repository.policy()?, as_json);
        return Ok(());
    }
    let base = Base::find(&repository)?;
    let old = proposed::on_trunk(&repository, base.as_ref())?;
    let text = std::fs::read_to_string(repository.top().join(FILE))
        .with_context(|| format!("{FILE} could not be read"))?;
    let edit = edit(&repository, args.command)?;
    let new_text = policy_edit::apply(&text, old.as_ref(), &edit)?;
    let proposed = Proposed::of(old, &new_text)?;
    if new_text != text {
        place::write_file(&repository, FILE, &new_text, &mut Change::default())?;
    }
    proposed.tell();
    let key = Key::find(args.sign_key.as_deref(), &repository.git);
    let commit = match (args.commit, &key) {
        (false, _) => None,
        (true, Ok(key)) => proposed.commit(&repository, key)?,
        (true, Err(_)) => return key.map(drop),
    };
    let standing = proposed.standing(&repository, key.ok().as_ref())?;
    proposed.say_next(&standing, commit.as_deref());
    if as_json {
        talk::json(&json!({
            "file": FILE, "version": proposed.new_policy().version, "changes": proposed.sentences(),
            "approvals": standing.json(), "commit": commit,
        }));
    }
    Ok(())
}

fn edit(repository: &DeployRepository, command: PolicyCommand) -> Outcome<Edit> {
    Ok(match command {
        PolicyCommand::Show => Edit::Threshold(repository.policy()?.threshold),
        PolicyCommand::AddPerson { name, keys, admin } => Edit::AddPerson {
            name,
            keys: keys
                .iter()
                .map(|key| public_key(key))
                .collect::<Outcome<_>>()?,
            admin,
        },
        PolicyCommand::RemovePerson { name } => Edit::RemovePerson(name),
        PolicyCommand::AddKey { name, key } => Edit::AddKey {
            name,
            key: public_key(&key)?,
        },
        PolicyCommand::Admin { name, remove } => Edit::Admin { name, is: !remove },
        PolicyCommand::Grant {
            people,
            may,
            workflows,
            boxes,
            approvals,
        } => Edit::Grant(Grant {
            people,
            may: may.into_iter().collect(),
            workflows,
            boxes: (!boxes.is_empty()).then_some(boxes),
            approvals,
        }),
        PolicyCommand::Revoke { key, from, reason } => Edit::Revoke {
            keys: revoked_keys(&repository.policy()?, &key)?,
            from: moment(repository, &from)?,
            reason,
        },
        PolicyCommand::Threshold { count } => Edit::Threshold(count),
        PolicyCommand::Team { name, add, remove } => Edit::Team { name, add, remove },
    })
}

/// A public key as a line, from the line itself or the file that has it.
pub fn public_key(given: &str) -> Outcome<String> {
    let line = if Path::new(given).is_file() {
        std::fs::read_to_string(given).with_context(|| format!("{given} could not be read"))?
    } else {
        given.to_string()
    };
    let line = line.trim();
    swarm_manifests::key::read(line).map_err(|error| {
        Failure::usage(format!("{given:.60} is not taken for a key: {error}"))
            .hint("give the public key, or the path of its file (the one that ends in .pub)")
    })?;
    Ok(line.into())
}

/// The fingerprints that are meant: one key, or every key of a person.
fn revoked_keys(policy: &Policy, given: &str) -> Outcome<Vec<String>> {
    if given.starts_with("SHA256:") {
        return Ok(vec![given.into()]);
    }
    let person = Name::new(given)
        .ok()
        .and_then(|name| policy.people.get(&name));
    match person {
        Some(person) if person.keys.is_empty() => {
            Err(Failure::new(format!("{given} has no key in the policy"))
                .hint("name the key by its fingerprint, SHA256:…"))
        }
        Some(person) => Ok(person.keys.iter().map(words::key).collect()),
        None => Ok(fingerprint(&public_key(given)?).into_iter().collect()),
    }
}

fn moment(repository: &DeployRepository, given: &str) -> Outcome<Moment> {
    if given == "now" {
        let trusted = trunk::trusted(repository)?;
        return trusted
            .map(|trusted| trusted.position + 1)
            .map(Moment::Position)
            .ok_or_else(|| {
                Failure::new(
                    "the trunk does not verify here, so nobody can say at which position it is",
                )
                .hint("swarm-pack check says why; --from takes a position or a commit too")
            });
    }
    if let Ok(position) = given.parse() {
        return Ok(Moment::Position(position));
    }
    let commit = repository.git.ask([
        "rev-parse",
        "-q",
        "--verify",
        &format!("{given}^{{commit}}"),
    ])?;
    let commit = commit.and_then(|commit| commit.parse().ok());
    commit.map(Moment::Commit).ok_or_else(|| {
        Failure::usage(format!(
            "--from takes a trunk position, a commit or now, not {given:?}"
        ))
    })
}
