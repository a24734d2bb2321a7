//! `who …`: who may do what, who signed what, who can read which secret. Reads the working tree and objects.

use super::here;
use crate::{
    audit::trunk,
    cli::WhoCommand,
    deploy_repository::DeployRepository,
    failure::{Exit, Failure, Outcome},
    published, talk, words, workflow,
};
use serde_json::json;
use swarm_manifests::{
    name::{Name, Pattern},
    policy::{Policy, Right},
    signature::Signature,
};
use swarm_repository::{commit::Commit, rights};

/// Answers the question.
pub fn run(command: &WhoCommand, as_json: bool) -> Outcome {
    let repository = here()?;
    match command {
        WhoCommand::Can { right, name, on } => {
            can(&repository.policy()?, *right, name, on, as_json)
        }
        WhoCommand::Signed { what } => signed(&repository, what, as_json),
        WhoCommand::Reads { name } => super::reads::run(&repository, name, as_json),
    }
}

fn can(policy: &Policy, right: Right, name: &Name, on: &[String], as_json: bool) -> Outcome {
    let on = match on {
        [] => None,
        [word, at] if word == "to" || word == "on" => Some(box_name(at)?),
        _ => {
            return Err(Failure::usage(
                "it is  swarm-pack who can deploy WORKFLOW to BOX",
            ));
        }
    };
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for person in policy.people.keys() {
        let grants: Vec<_> = policy
            .grants_of(person, right, name.as_str())
            .filter(|grant| {
                let boxes = grant.boxes.as_ref().filter(|_| right != Right::Publish);
                match (boxes, &on) {
                    (Some(boxes), Some(at)) => boxes.iter().any(|pattern| pattern.covers(at)),
                    _ => true,
                }
            })
            .collect();
        if grants.is_empty() {
            continue;
        }
        let by: Vec<_> = grants.iter().map(|grant| words::rights(grant)).collect();
        let can_sign = !policy.people[person].keys.is_empty();
        let note = if can_sign { "" } else { " (has no key)" };
        rows.push(vec![format!("{person}{note}"), by.join("; ")]);
        values.push(json!({"person": person, "key": can_sign, "grants": by}));
    }
    let what = format!(
        "{} {name}{}",
        right.as_str(),
        on.as_ref().map_or(String::new(), |at| format!(" on {at}"))
    );
    if as_json {
        talk::json(&values);
    } else if rows.is_empty() {
        talk::say(format!(
            "nobody can {what}: an admin can grant it, swarm-pack policy grant PERSON --may {} --workflows {name}",
            right.as_str()
        ));
    } else {
        talk::table(&["PERSON", "BY THE GRANT"], &rows);
    }
    Ok(())
}

fn box_name(text: &str) -> Outcome<Pattern> {
    Pattern::new(text)
        .map_err(|error| Failure::usage(format!("{text:?} is no box's name: {error}")))
}

/// One signature.
struct Signed {
    what: String,
    by: Option<Name>,
    key: Option<String>,
    note: String,
}

fn signed(repository: &DeployRepository, what: &[String], as_json: bool) -> Outcome {
    let found = match what {
        [name, version] => vec![bundle(repository, name, version)?],
        [one] => of_word(repository, one)?,
        _ => Vec::new(),
    };
    if as_json {
        let values: Vec<_> = found
            .iter()
            .map(|one| json!({"what": one.what, "by": one.by, "key": one.key, "note": one.note}))
            .collect();
        talk::json(&values);
        return Ok(());
    }
    let rows: Vec<_> = found
        .into_iter()
        .map(|one| {
            let by = one
                .by
                .map_or_else(|| "nobody known".to_string(), |by| by.to_string());
            vec![one.what, by, one.key.unwrap_or_default(), one.note]
        })
        .collect();
    talk::table(&["WHAT", "BY", "KEY", ""], &rows);
    Ok(())
}

fn of_word(repository: &DeployRepository, word: &str) -> Outcome<Vec<Signed>> {
    let parts: Vec<&str> = word.trim_end_matches('/').split('/').collect();
    if let ["bundles", name, version, ..] = parts.as_slice() {
        return Ok(vec![bundle(repository, name, version)?]);
    }
    if let Some((name, version)) = word.split_once('@') {
        return Ok(vec![bundle(repository, name, version)?]);
    }
    let stem = swarm_manifests::manifest::workflow_of(word).unwrap_or(word);
    if let Ok(name) = Name::new(stem)
        && workflow::find(repository, &name)?.text.is_some()
    {
        return manifest(repository, &name);
    }
    if let Some(commit) =
        repository
            .git
            .ask(["rev-parse", "-q", "--verify", &format!("{word}^{{commit}}")])?
    {
        return Ok(vec![of_commit(repository, &commit)?]);
    }
    let versions = published::Head::of(&repository.git)?.versions(word)?;
    if versions.is_empty() {
        return Err(Failure::new(format!(
            "{word} is no commit, no published bundle and no workflow here"
        ))
        .exit(Exit::Unknown)
        .hint("swarm-pack show lists bundles and workflows"));
    }
    versions
        .iter()
        .map(|version| bundle(repository, word, version))
        .collect()
}

fn bundle(repository: &DeployRepository, name: &str, version: &str) -> Outcome<Signed> {
    let folder = format!("bundles/{name}/{version}");
    let file = published::Head::of(&repository.git)?.file(&format!("{folder}/bundle.lock.sig"))?;
    let armour = file.ok_or_else(|| {
        Failure::new(format!("there is no signed {folder} at HEAD"))
            .exit(Exit::Unknown)
            .hint("swarm-pack show lists what is published")
    })?;
    let policy = repository.policy()?;
    Ok(match Signature::parse(&armour) {
        Err(error) => Signed {
            what: folder,
            by: None,
            key: None,
            note: error.to_string(),
        },
        Ok(signature) => {
            let by = policy.person_of(&signature.key()).cloned();
            let note = match &by {
                Some(by) if policy.may_publish(by, name) => "may publish it".into(),
                Some(_) => "may not publish it by today's policy".into(),
                None => "a key that today's policy does not know".into(),
            };
            Signed {
                what: folder,
                by,
                key: Some(signature.fingerprint()),
                note,
            }
        }
    })
}

/// The commits that brought a manifest and its bundle, as the trunk remembers them.
fn manifest(repository: &DeployRepository, name: &Name) -> Outcome<Vec<Signed>> {
    let file = workflow::find(repository, name)?;
    let trusted = trunk::trusted(repository)?;
    let brought = trusted
        .as_ref()
        .and_then(|trusted| trusted.manifests.get(file.path.as_str()));
    let mut found = vec![match brought {
        None => Signed {
            what: file.path.clone(),
            by: None,
            key: None,
            note: "not on the verified trunk yet".into(),
        },
        Some(brought) => Signed {
            what: file.path.clone(),
            by: Some(brought.by.clone()),
            key: Some(brought.key.clone()),
            note: format!(
                "commit {} at position {}",
                brought.commit.short(),
                brought.position
            ),
        },
    }];
    let text = file.text.unwrap_or_default();
    if let (Some(manifest), _) = swarm_manifests::manifest::read(&file.path, text.as_bytes()) {
        found.extend(
            bundle(
                repository,
                manifest.bundle.as_str(),
                &manifest.version.to_string(),
            )
            .ok(),
        );
    }
    Ok(found)
}

/// A commit is held against the policy of its first parent, as every box does; the introduction against its own.
fn of_commit(repository: &DeployRepository, id: &str) -> Outcome<Signed> {
    let oid = id.parse().map_err(|error| {
        Failure::new(format!("{error}; repositories with SHA-256 are not taken"))
    })?;
    let raw = trunk::objects(&repository.git)?.commit(oid)?;
    let what = format!("commit {}", oid.short());
    let commit = match Commit::parse(&raw) {
        Ok(commit) => commit,
        Err(error) => {
            return Ok(Signed {
                what,
                by: None,
                key: None,
                note: error.to_string(),
            });
        }
    };
    let judge = commit
        .parents
        .first()
        .map_or_else(|| id.to_string(), ToString::to_string);
    let policy = repository.git.file(&judge, "policy.toml")?;
    let policy = policy.and_then(|text| swarm_manifests::policy::read("policy.toml", &text).0);
    let Some(policy) = policy else {
        return Ok(Signed {
            what,
            by: None,
            key: None,
            note: "its first parent has no policy".into(),
        });
    };
    Ok(match rights::signer(oid, &commit, &policy) {
        Ok(signer) => Signed {
            what,
            by: Some(signer.name),
            key: Some(signer.key),
            note: commit.subject(),
        },
        Err(refusal) => Signed {
            what,
            by: None,
            key: None,
            note: refusal.to_string(),
        },
    })
}
