//! The trunk as every box verifies it, by the very same code. Touches git and the object store.

use crate::{
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    git::Git,
};
use anyhow::Context;
use std::path::PathBuf;
use swarm_manifests::{
    id::{Digest, Oid},
    problem::Refusal,
    settings::Trust,
};
use swarm_repository::{objects::Objects, trunk::Advance, trusted::Trusted, verifier::Verifier};

/// What came of the verification up to a head.
#[derive(Debug)]
pub struct Judged {
    /// As far as it is good; none where not even the introduction is.
    pub trusted: Option<Trusted>,
    /// Why it stopped, and at which commit.
    pub refusal: Option<(Option<Oid>, Refusal)>,
}

/// Opens the clone's objects.
pub fn objects(git: &Git) -> Outcome<Objects> {
    Ok(Objects::open(&git_dir(git)?, false)?)
}

/// Where the clone's objects are, also for a linked working tree.
pub fn git_dir(git: &Git) -> Outcome<PathBuf> {
    Ok(git
        .line(["rev-parse", "--path-format=absolute", "--git-common-dir"])?
        .into())
}

/// Verifies from the introduction to this head.
pub fn judge(
    repository: &DeployRepository,
    objects: &Objects,
    verifier: &mut Verifier,
    head: &str,
) -> Outcome<Judged> {
    let head: Oid = head.parse().map_err(|error| {
        Failure::new(format!("{error}; repositories with SHA-256 are not taken"))
    })?;
    let trust = trust(repository, head)?;
    let introduced = match verifier.introduce(objects, &trust)? {
        Ok(introduced) => introduced,
        Err(refusal) => {
            return Ok(Judged {
                trusted: None,
                refusal: Some((Some(trust.introduction), refusal)),
            });
        }
    };
    Ok(match verifier.advance(objects, &introduced, head)? {
        Advance::Moved(trusted) => Judged {
            trusted: Some(trusted),
            refusal: None,
        },
        Advance::Same => Judged {
            trusted: Some(introduced),
            refusal: None,
        },
        Advance::Stopped {
            at,
            commit,
            refusal,
        } => Judged {
            trusted: Some(at),
            refusal: Some((Some(commit), refusal)),
        },
        Advance::Astray(refusal) => Judged {
            trusted: Some(introduced),
            refusal: Some((None, refusal)),
        },
    })
}

/// Where this clone's trust begins: git's `swarm.introduction`, else the first commit of the branch that has a policy.toml.
///
/// A box pins it in `[trust]`; here, a person looks at their own clone.
fn trust(repository: &DeployRepository, head: Oid) -> Outcome<Trust> {
    let git = &repository.git;
    let introduction = if let Some(told) = git.config("swarm.introduction")? {
        git.line(["rev-parse", "--verify", &format!("{told}^{{commit}}")])?
    } else {
        let log = git.line([
            "log",
            "--first-parent",
            "-m",
            "--diff-filter=A",
            "--format=%H",
            &head.to_string(),
            "--",
            "policy.toml",
        ])?;
        log.lines().last().map(str::to_string).ok_or_else(|| {
            Failure::new("no commit of this branch has a policy.toml: there is no introduction")
                .hint("swarm-pack init makes one")
        })?
    };
    let policy = git.file(&introduction, "policy.toml")?;
    let policy = policy.ok_or_else(|| {
        Failure::new(format!(
            "the introduction {introduction} has no policy.toml"
        ))
        .hint("git config swarm.introduction names another commit")
    })?;
    Ok(Trust {
        introduction: introduction.parse().context("not a commit id")?,
        policy: Digest::of(&policy),
        position: 0,
    })
}
