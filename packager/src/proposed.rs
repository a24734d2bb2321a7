//! The step from the policy on the trunk to the one in the working tree: what changes, who stands behind it, its commit.
//! Touches the working tree and git.

use crate::{
    approvals::{self, Standing},
    audit::trunk,
    commit::Change,
    deploy_repository::DeployRepository,
    failure::{Exit, Failure, Outcome},
    key::Key,
    place, talk, words,
};
use anyhow::Context;
use swarm_manifests::{
    name::Name,
    policy::{self, FOLDER, Policy},
    rules::trunk::POLICY_APPROVALS,
};
use swarm_repository::verifier::Verifier;

/// The file's name.
pub const FILE: &str = "policy.toml";

/// The step.
pub struct Proposed {
    old: Option<Policy>,
    new: Policy,
    text: String,
}

/// Where the policy stands that judges the next one.
pub struct Base {
    /// The last good commit.
    pub commit: String,
    /// Whether commits come after it that boxes do not take.
    pub is_stopped: bool,
}

impl Base {
    /// On the deploy branch as far as HEAD is good, on another branch as far as the deploy branch is; none where there is no commit.
    pub fn find(repository: &DeployRepository) -> Outcome<Option<Self>> {
        let Some(head) = tip(repository)? else {
            return Ok(None);
        };
        let objects = trunk::objects(&repository.git)?;
        // Where there is no introduction yet nothing is judged.
        let judged = trunk::judge(repository, &objects, &mut Verifier::new(), &head).ok();
        let good = judged.and_then(|judged| judged.trusted);
        let commit = good.map_or_else(|| head.clone(), |trusted| trusted.head.to_string());
        Ok(Some(Self {
            is_stopped: commit != head,
            commit,
        }))
    }

    /// The bytes of policy.toml there.
    pub fn file(&self, repository: &DeployRepository) -> Outcome<Option<Vec<u8>>> {
        repository.git.file(&self.commit, FILE)
    }

    /// Why a commit after this one is in vain, and what to do.
    pub fn stopped(&self) -> Option<String> {
        self.is_stopped.then(|| {
            format!(
                "boxes do not take the commits after {:.10}: git reset --soft {:.10} takes them back before they are pushed; pushed ones swarm-pack vouch mends",
                self.commit, self.commit
            )
        })
    }
}

/// HEAD on the deploy branch; on another branch, where the deploy branch stands.
fn tip(repository: &DeployRepository) -> Outcome<Option<String>> {
    let git = &repository.git;
    let branch = trunk::branch(git)?;
    let short = branch.trim_start_matches("refs/heads/");
    if git.ask(["symbolic-ref", "-q", "HEAD"])?.as_deref() != Some(branch.as_str()) {
        let remote = git
            .config(&format!("branch.{short}.remote"))?
            .unwrap_or_else(|| "origin".into());
        for name in [format!("refs/remotes/{remote}/{short}"), branch.clone()] {
            let commit = format!("{name}^{{commit}}");
            if let Some(id) = git.ask(["rev-parse", "-q", "--verify", &commit])? {
                return Ok(Some(id));
            }
        }
    }
    git.head()
}

/// The policy on the trunk, which judges the next one.
pub fn on_trunk(repository: &DeployRepository, base: Option<&Base>) -> Outcome<Option<Policy>> {
    let text = match base {
        Some(base) => base.file(repository)?,
        None => None,
    };
    Ok(text.and_then(|text| policy::read(FILE, &text).0))
}

impl Proposed {
    /// The step from `old` to this text.
    pub fn of(old: Option<Policy>, text: &str) -> Outcome<Self> {
        match policy::read(FILE, text.as_bytes()) {
            (Some(new), _) => Ok(Self {
                old,
                new,
                text: text.into(),
            }),
            (None, problems) => Err(Failure::findings(crate::failure::Finding::of(
                problems,
                text.as_bytes(),
            ))),
        }
    }

    /// The policy that judges it.
    pub fn judge(&self) -> &Policy {
        self.old.as_ref().unwrap_or(&self.new)
    }

    /// The policy that it would be.
    pub fn new_policy(&self) -> &Policy {
        &self.new
    }

    /// What changes, a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        self.old
            .as_ref()
            .map(|old| words::policy_change(old, &self.new))
            .unwrap_or_default()
    }

    /// Who stands behind it, with whoever signs the commit by this key.
    pub fn standing(&self, repository: &DeployRepository, key: Option<&Key>) -> Outcome<Standing> {
        let signer = key.and_then(|key| key.fingerprint().ok());
        let policies = (self.judge(), &self.new);
        approvals::of_policy(
            repository,
            policies,
            self.text.as_bytes(),
            signer.as_deref(),
        )
    }

    /// The admin whose key this is, by the policy that judges or the one that comes.
    pub fn admin(&self, key: &ssh_key::PublicKey) -> Outcome<Name> {
        let known = [self.judge(), &self.new].into_iter().find_map(|policy| {
            let person = policy.person_of(key)?;
            policy.is_admin(person).then(|| person.clone())
        });
        known.ok_or_else(|| {
            Failure::rule(
                &POLICY_APPROVALS,
                format!(
                    "the key {} is no admin's, and only admins approve a policy",
                    words::key(key)
                ),
            )
            .exit(Exit::NotAllowed)
            .hint("--key FILE (for swarm-pack policy: --sign-key FILE) names another key")
        })
    }

    /// Commits policy.toml and its approvals, where enough stand behind it.
    pub fn commit(&self, repository: &DeployRepository, key: &Key) -> Outcome<Option<String>> {
        self.admin(&key.public()?)?;
        let standing = self.standing(repository, Some(key))?;
        if standing.missing() > 0 {
            return Err(Failure::rule(
                &POLICY_APPROVALS,
                format!("not committed: {}", standing.in_words()),
            )
            .hint(
                "each of them: swarm-pack approve policy.toml; the signatures go into policy.sigs/",
            ));
        }
        if let Some(why) = Base::find(repository)?.and_then(|base| base.stopped()) {
            return Err(
                Failure::new("not committed: it would come after what boxes do not take").hint(why),
            );
        }
        let mut files = Change::default();
        place::write_file(repository, FILE, &self.text, &mut files)?;
        for path in repository.files(&[FOLDER])? {
            let text = std::fs::read_to_string(repository.top().join(&path))
                .with_context(|| format!("{path} could not be read"))?;
            place::write_file(repository, &path, &text, &mut files)?;
        }
        files.commit(repository, key, &self.message())
    }

    fn message(&self) -> String {
        let sentences = self.sentences();
        let said = if sentences.is_empty() {
            "the policy".into()
        } else {
            sentences.join("; ")
        };
        format!("policy {}: {said}", self.new.version)
    }

    /// Says what changes.
    pub fn tell(&self) {
        let sentences = self.sentences();
        if sentences.is_empty() {
            talk::say("policy.toml says nothing else than the policy on the trunk");
            return;
        }
        talk::say(format!("policy.toml, version {}:", self.new.version));
        for sentence in sentences {
            talk::say(format!("  {sentence}"));
        }
    }

    /// Says who stands behind it, and what is to be done next.
    pub fn say_next(&self, standing: &Standing, commit: Option<&str>) {
        for (file, why) in standing.odd() {
            talk::warn(format!("{file} does not count: {why}"));
        }
        if let Some(commit) = commit {
            talk::say(format!("committed as {commit:.10}; next: git push"));
        } else if self.sentences().is_empty() {
            talk::say("nothing to do");
        } else if standing.missing() == 0 {
            let alone = if standing.is_alone() {
                "an admin's signed commit is enough"
            } else {
                "enough admins stand behind it, the commit's signer among them"
            };
            let files = if standing.has_files() {
                "policy.toml policy.sigs"
            } else {
                "policy.toml"
            };
            talk::say(format!(
                "{alone}; next:\n  git add -A {files}; git commit -m \"{}\"; git push\n(or run this with --commit)",
                self.message().replace(['"', '`', '$', '\\'], "'")
            ));
        } else {
            talk::say(format!(
                "{}.\nNext: swarm-pack approve policy.toml, by each of them, on a branch that all can fetch:\n  git switch -c policy-{}",
                standing.in_words(),
                self.new.version
            ));
        }
    }
}
