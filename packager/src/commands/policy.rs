//! `policy …`: policy.toml edited as a careful person would; what that means, and who still has to approve it.

use super::{here, policy_show};
use crate::{
    approvals::{self, Standing},
    audit::trunk,
    cli::{PolicyArgs, PolicyCommand},
    commit::Change,
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    key::Key,
    place,
    policy_edit::{self, Edit, Grant, fingerprint},
    talk, words,
};
use anyhow::Context;
use serde_json::json;
use std::path::Path;
use swarm_manifests::{
    name::Name,
    policy::{self, Moment, Policy},
    rules::trunk::POLICY_APPROVALS,
};
use swarm_repository::verifier::Verifier;

const FILE: &str = "policy.toml";

/// Does one of the policy's commands.
pub fn run(args: PolicyArgs, as_json: bool) -> Outcome {
    let repository = here()?;
    if matches!(args.command, PolicyCommand::Show) {
        policy_show::show(&repository.policy()?, as_json);
        return Ok(());
    }
    let old = committed(&repository)?;
    let text = std::fs::read_to_string(repository.top().join(FILE))
        .with_context(|| format!("{FILE} could not be read"))?;
    let edit = edit(&repository, args.command)?;
    let new_text = policy_edit::apply(&text, old.as_ref(), &edit)?;
    let change = Changed::of(&repository, old, &new_text)?;
    let mut files = Change::default();
    if new_text != text {
        place::write_file(&repository, FILE, &new_text, &mut files)?;
    }
    let key = Key::find(args.sign_key.as_deref(), &repository.git).ok();
    let you = key
        .as_ref()
        .and_then(|key| key.public().ok())
        .and_then(|key| change.judge().person_of(&key).cloned());
    let standing = change.standing(&repository)?.with(you.as_ref());
    let commit = if args.commit {
        let key = key.map_or_else(|| Key::find(args.sign_key.as_deref(), &repository.git), Ok)?;
        change.commit(&repository, &key, &standing, &mut files)?
    } else {
        None
    };
    change.say(&standing, you.as_ref(), commit.as_deref());
    if as_json {
        talk::json(&json!({
            "file": FILE, "version": change.new.version, "changes": change.sentences(),
            "approvals": standing.json(), "commit": commit,
        }));
    }
    Ok(())
}

/// The policy at HEAD, which judges the next one.
pub fn committed(repository: &DeployRepository) -> Outcome<Option<Policy>> {
    let text = repository.git.file("HEAD", FILE)?;
    Ok(text.and_then(|text| policy::read(FILE, &text).0))
}

/// The step from the committed policy to the one in the working tree.
pub struct Changed {
    old: Option<Policy>,
    new: Policy,
    text: String,
}

impl Changed {
    /// The step from `old` to this text.
    pub fn of(repository: &DeployRepository, old: Option<Policy>, text: &str) -> Outcome<Self> {
        let (new, _) = policy::read(FILE, text.as_bytes());
        let new = new.map_or_else(|| repository.policy(), Ok)?;
        Ok(Self {
            old,
            new,
            text: text.into(),
        })
    }

    /// The policy that judges it.
    pub fn judge(&self) -> &Policy {
        self.old.as_ref().unwrap_or(&self.new)
    }

    /// What changes, a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        self.old
            .as_ref()
            .map(|old| words::policy_change(old, &self.new))
            .unwrap_or_default()
    }

    /// Who stands behind it.
    pub fn standing(&self, repository: &DeployRepository) -> Outcome<Standing> {
        approvals::of_policy(repository, self.judge(), &self.new, self.text.as_bytes())
    }

    /// Commits policy.toml and its approvals, where enough stand behind it.
    pub fn commit(
        &self,
        repository: &DeployRepository,
        key: &Key,
        standing: &Standing,
        files: &mut Change,
    ) -> Outcome<Option<String>> {
        let public = key.public()?;
        if !self
            .judge()
            .person_of(&public)
            .is_some_and(|person| self.judge().is_admin(person))
        {
            return Err(Failure::rule(&POLICY_APPROVALS, "the commit of a policy is signed by one of its admins, and this key is none of theirs")
                .hint("--key (or --sign-key) FILE names another key; policy.toml stays as it was edited"));
        }
        if standing.missing() > 0 {
            return Err(Failure::rule(
                &POLICY_APPROVALS,
                format!("not committed: {}", standing.in_words("admin")),
            )
            .hint(
                "each of them: swarm-pack approve policy.toml; the signatures go into policy.sigs/",
            ));
        }
        place::write_file(repository, FILE, &self.text, files)?;
        for path in signature_files(repository)? {
            let text = std::fs::read_to_string(repository.top().join(&path))
                .with_context(|| format!("{path} could not be read"))?;
            place::write_file(repository, &path, &text, files)?;
        }
        files.commit(repository, key, &self.message())
    }

    fn message(&self) -> String {
        let first = self
            .sentences()
            .into_iter()
            .next()
            .unwrap_or_else(|| "the policy".into());
        format!("policy {}: {first}", self.new.version)
    }

    /// Says what changes, and what is to be done next.
    pub fn say(&self, standing: &Standing, you: Option<&Name>, commit: Option<&str>) {
        let sentences = self.sentences();
        if sentences.is_empty() {
            talk::say("policy.toml says so already: nothing to do");
            return;
        }
        talk::say(format!("policy.toml, version {}:", self.new.version));
        for sentence in sentences {
            talk::say(format!("  {sentence}"));
        }
        if let Some(commit) = commit {
            talk::say(format!("committed as {commit:.10}; next: git push"));
        } else if standing.missing() == 0 {
            let alone = if standing.needed == 1 && you.is_some() {
                "your own signature is enough"
            } else {
                "that is enough"
            };
            talk::say(format!(
                "{} ({alone}); next:\n  git add policy.toml policy.sigs 2>/dev/null; git commit -m \"{}\" && git push",
                standing.in_words("admin"),
                self.message().replace(['"', '`', '$', '\\'], "'")
            ));
        } else {
            talk::say(format!(
                "{}, whoever commits it among them.\nNext: swarm-pack approve policy.toml, on a branch that the others can fetch and approve on too:\n  git switch -c policy-{} && swarm-pack approve policy.toml",
                standing.in_words("admin"),
                self.new.version
            ));
        }
    }
}

fn signature_files(repository: &DeployRepository) -> Outcome<Vec<String>> {
    let listed = repository.git.run([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        "policy.sigs",
    ])?;
    let paths = listed
        .split(|byte| *byte == 0)
        .filter_map(|path| String::from_utf8(path.to_vec()).ok());
    Ok(paths
        .filter(|path| repository.top().join(path).is_file())
        .collect())
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
        let objects = trunk::objects(&repository.git)?;
        let judged = trunk::judge(
            repository,
            &objects,
            &mut Verifier::new(),
            &repository.head()?,
        )?;
        let position = judged.trusted.map(|trusted| trusted.position + 1);
        return position.map(Moment::Position).ok_or_else(|| {
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
