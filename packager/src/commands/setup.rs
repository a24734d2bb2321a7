//! `setup`: this clone signs and checks; and who you are, by the policy.

use super::here;
use crate::{
    cli::KeyOption, deploy_repository::DeployRepository, failure::Outcome, hook, key::Key, signers,
    talk, words,
};
use anyhow::Context;
use std::path::Path;
use swarm_manifests::{name::Name, policy::Policy};

/// Who somebody is.
#[derive(Debug)]
pub struct Who {
    /// The person whose key it is; none where the policy does not know it.
    person: Option<Name>,
    admin: bool,
    key: String,
    may: Vec<String>,
}

/// Sets up the clone that we are in.
pub fn run(key: &KeyOption, json: bool) -> Outcome {
    let repository = here()?;
    let key = Key::find(key.key.as_deref(), &repository.git)?;
    let who = set_up(&repository, &key)?;
    if json {
        talk::json(
            &serde_json::json!({"person": who.person, "admin": who.admin, "key": who.key, "may": who.may}),
        );
    }
    Ok(())
}

/// Sets up a clone with this key, and says who that is.
pub fn set_up(repository: &DeployRepository, key: &Key) -> Outcome<Who> {
    let git = &repository.git;
    let public = key.public()?;
    // Nothing is written before the key has shown that it signs.
    key.sign("swarm-setup@v1", b"a test of swarm-pack setup\n")?;
    let policy = repository.policy()?;
    let signers = git.git_path("swarm-allowed-signers")?;
    std::fs::write(&signers, signers::text(&policy))
        .with_context(|| format!("{} could not be written", signers.display()))?;
    let settings = [
        ("gpg.format", "ssh".to_string()),
        ("user.signingkey", key.setting()),
        ("commit.gpgsign", "true".to_string()),
        ("pull.rebase", "true".to_string()),
        ("gpg.ssh.allowedSignersFile", absolute(&signers)),
    ];
    for (name, value) in settings {
        git.set_config(name, &value)?;
    }
    if let Err(failure) = hook::install(git, hook::Hook::PrePush) {
        talk::warn(format!(
            "{}; {}",
            failure.message,
            failure.hint.unwrap_or_default()
        ));
    }
    if git.ask(["var", "GIT_COMMITTER_IDENT"])?.is_none() {
        talk::warn(
            "git does not know your name yet: git config --global user.name \"…\" and user.email \"…\"",
        );
    }
    let key = key.fingerprint()?;
    talk::say(format!(
        "this clone signs with {key} (a test signature holds), rebases on pull, and checks before each push"
    ));
    let person = policy.person_of(&public).cloned();
    let who = Who {
        admin: person
            .as_ref()
            .is_some_and(|person| policy.is_admin(person)),
        may: person
            .as_ref()
            .map(|person| rights(&policy, person))
            .unwrap_or_default(),
        person,
        key,
    };
    introduce(
        &who,
        &public
            .to_openssh()
            .context("the public key cannot be written")?,
    );
    Ok(who)
}

fn introduce(who: &Who, line: &str) {
    let Some(person) = &who.person else {
        talk::say(format!(
            "the policy does not know this key: you may look, and change nothing yet. Send this to an admin, for policy.toml:\n\n[people.YOUR-NAME]\nkeys = [\"{}\"]\n",
            line.trim()
        ));
        return;
    };
    let admin = if who.admin { ", an admin" } else { "" };
    let may = if who.may.is_empty() {
        "no grant names you: an admin can give you one".into()
    } else {
        format!("you may {}", who.may.join("; "))
    };
    talk::say(format!("you are {person}{admin}; {may}"));
}

/// What the grants let a person do, in words.
fn rights(policy: &Policy, person: &Name) -> Vec<String> {
    policy
        .grants
        .iter()
        .filter(|grant| grant.people.contains(person))
        .map(words::rights)
        .collect()
}

fn absolute(path: &Path) -> String {
    path.canonicalize()
        .unwrap_or_else(|_| path.into())
        .to_string_lossy()
        .into_owned()
}
