//! `init`: a deploy repository in this folder: first policy, introduction commit, setup.

use super::setup;
use crate::{
    cli::KeyOption,
    commit::Change,
    deploy_repository::DeployRepository,
    failure::{Failure, Finding, Outcome},
    git::Git,
    key::Key,
    place, talk,
};
use anyhow::Context;
use std::path::Path;
use swarm_manifests::{
    id::Digest,
    name::{MAX_NAME, Name},
    policy,
};

/// So that no clone changes a byte on the way in or out.
const ATTRIBUTES: &str = "* -text";

/// Makes the repository.
pub fn run(person: Option<Name>, key: &KeyOption, json: bool) -> Outcome {
    let folder = std::env::current_dir().context("this folder is gone")?;
    if folder.join("policy.toml").exists() {
        return Err(Failure::new(format!("{} has a policy.toml already", folder.display()))
            .hint("this is a deploy repository: swarm-pack setup makes this clone ready; remove policy.toml only if you mean to begin anew"));
    }
    let git = Git::at(&folder);
    // Before anything is made: without a key there is nothing to begin with.
    let key = Key::find(key.key.as_deref(), &git)?;
    let public = key.public()?;
    let person = match person {
        Some(person) => person,
        None => guess_person(&git)?,
    };
    if !folder.join(".git").exists() {
        git.run(["init", "-q", "-b", "main"])?;
    }
    let repository = DeployRepository { git };
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(format!("the system gives no random bytes: {error}")))?;
    let id = hex::encode(random);
    let line = public
        .to_openssh()
        .context("the public key cannot be written")?;
    let text = first_policy(&id, &person, line.trim());
    if let (None, problems) = policy::read("policy.toml", text.as_bytes()) {
        return Err(Failure::findings(Finding::of(problems, text.as_bytes())));
    }
    let mut change = Change::default();
    place::write_file(&repository, "policy.toml", &text, &mut change)?;
    place::write_file(
        &repository,
        ".gitattributes",
        &attributes(&folder),
        &mut change,
    )?;
    let introduction = change
        .commit(&repository, &key, "introduction: the first policy")?
        .context("the introduction changes nothing")?;
    repository
        .git
        .set_config("swarm.introduction", &introduction)?;
    let sha256 = Digest::of(text.as_bytes()).hex();
    talk::say(format!(
        "{} is a deploy repository now; its introduction is {introduction}",
        folder.display()
    ));
    let branch = repository
        .git
        .ask(["symbolic-ref", "-q", "--short", "HEAD"])?
        .unwrap_or_default();
    if branch != "main" {
        talk::warn(format!(
            "this branch is {branch:?}, and boxes look at main: say so in their [repository] branch, and here: git config swarm.branch {branch}"
        ));
    }
    setup::set_up(&repository, &key)?;
    if json {
        talk::json(
            &serde_json::json!({"repository": id, "introduction": introduction, "policy-sha256": sha256}),
        );
        return Ok(());
    }
    talk::say("\nThis goes into each box's /etc/swarm/agent.toml:\n");
    talk::data(format!(
        "[trust]\nintroduction = \"{introduction}\"\npolicy-sha256 = \"{sha256}\""
    ));
    talk::say(
        "\nNext: git remote add origin URL, then  swarm-pack new hello --engine sh  and  swarm-pack up sources/hello",
    );
    Ok(())
}

fn first_policy(id: &str, person: &Name, key: &str) -> String {
    let key = toml_edit::Value::from(key);
    format!(
        "# Who may do what. A change needs version + 1 and the approval of `threshold` admins.\n\
         format = 1\nrepository = \"{id}\"\nversion = 1\nthreshold = 1\n\n\
         [people.{person}]\nkeys = [{key}]\nadmin = true\n\n\
         [[grant]]\npeople = [\"{person}\"]\nmay = [\"publish\", \"deploy\", \"operate\"]\nworkflows = [\"*\"]\n"
    )
}

fn attributes(folder: &Path) -> String {
    let there = std::fs::read_to_string(folder.join(".gitattributes")).unwrap_or_default();
    if there.lines().any(|line| line.trim() == ATTRIBUTES) {
        return there;
    }
    let gap = if there.is_empty() || there.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{there}{gap}{ATTRIBUTES}\n")
}

/// A name from git's `user.name`, else the login.
fn guess_person(git: &Git) -> Outcome<Name> {
    let login = std::env::var("USER").ok();
    let names = [git.config("user.name")?, login, Some("admin".into())];
    let name = names.into_iter().flatten().find_map(|text| slug(&text));
    name.ok_or_else(|| {
        Failure::usage("no name could be made for you").hint("say it: --person alice")
    })
}

fn slug(text: &str) -> Option<Name> {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(MAX_NAME);
    Name::new(slug.trim_end_matches('-')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_what_git_knows() {
        assert_eq!(
            slug("Ann  O'Nym").as_ref().map(Name::as_str),
            Some("ann-o-nym")
        );
        assert_eq!(slug("李"), None);
    }
}
