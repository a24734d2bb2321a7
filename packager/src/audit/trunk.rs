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
use swarm_repository::{
    objects::Objects, snapshot::Snapshot, trunk::Advance, trusted::Trusted, verifier::Verifier,
};

/// What came of the verification up to a head.
#[derive(Debug, Clone)]
pub struct Judged {
    /// As far as it is good; none where not even the introduction is.
    pub trusted: Option<Trusted>,
    /// Why it stopped, and at which commit.
    pub refusal: Option<(Option<Oid>, Refusal)>,
}

/// Opens the clone's objects; on a server that is receiving a push, with what the push brought.
pub fn objects(git: &Git) -> Outcome<Objects> {
    let objects = Objects::open(&git_dir(git)?, false)?;
    if let Some(folder) = git.quarantine() {
        objects.add_folder(folder)?;
    }
    Ok(objects)
}

/// The deploy branch's whole name: git's `swarm.branch`, else a bare repository's own branch, else main.
pub fn branch(git: &Git) -> Outcome<String> {
    if let Some(told) = git.config("swarm.branch")? {
        return Ok(format!(
            "refs/heads/{}",
            told.trim_start_matches("refs/heads/")
        ));
    }
    let is_bare = git.ask(["rev-parse", "--is-bare-repository"])?.as_deref() == Some("true");
    let own = if is_bare {
        git.ask(["symbolic-ref", "-q", "HEAD"])?
    } else {
        None
    };
    Ok(own.unwrap_or_else(|| "refs/heads/main".into()))
}

/// Where the clone's objects are, also for a linked working tree.
pub fn git_dir(git: &Git) -> Outcome<PathBuf> {
    Ok(git
        .line(["rev-parse", "--path-format=absolute", "--git-common-dir"])?
        .into())
}

/// What the trunk is trusted for as far as it is good here, from the introduction to HEAD; none where not even the introduction is.
pub fn trusted(repository: &DeployRepository) -> Outcome<Option<Trusted>> {
    let objects = objects(&repository.git)?;
    let head = repository.head()?;
    Ok(judge(repository, &objects, &mut Verifier::new(), &head)?.trusted)
}

/// The trunk, which must be good up to HEAD, and what stands on it.
pub fn verified(repository: &DeployRepository) -> Outcome<(Trusted, Snapshot)> {
    let objects = objects(&repository.git)?;
    let mut verifier = Verifier::new();
    let judged = judge(repository, &objects, &mut verifier, &repository.head()?)?;
    if let Some((_, refusal)) = judged.refusal {
        return Err(Failure::from(refusal));
    }
    let trusted = judged.trusted.context("the trunk has an introduction")?;
    let snapshot = verifier.snapshot(&objects, &trusted)?;
    Ok((trusted, snapshot))
}

/// Verifies from the introduction to this head.
pub fn judge(
    repository: &DeployRepository,
    objects: &Objects,
    verifier: &mut Verifier,
    head: &str,
) -> Outcome<Judged> {
    judge_step(repository, objects, verifier, None, head)
}

/// Verifies a head as a box does that trusts the trunk as far as it is good at `old`.
pub fn judge_step(
    repository: &DeployRepository,
    objects: &Objects,
    verifier: &mut Verifier,
    old: Option<&str>,
    head: &str,
) -> Outcome<Judged> {
    let begin = match old {
        Some(old) => judge(repository, objects, verifier, old)?,
        None => introduce(&repository.git, objects, verifier, oid(head)?)?,
    };
    step(objects, verifier, begin, head)
}

/// Verifies a head as a box does that came as far as `begin`.
pub fn step(
    objects: &Objects,
    verifier: &mut Verifier,
    begin: Judged,
    head: &str,
) -> Outcome<Judged> {
    let head = oid(head)?;
    let Some(introduced) = begin.trusted else {
        return Ok(begin);
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

fn introduce(git: &Git, objects: &Objects, verifier: &mut Verifier, head: Oid) -> Outcome<Judged> {
    let trust = trust(git, head)?;
    Ok(match verifier.introduce(objects, &trust)? {
        Ok(introduced) => Judged {
            trusted: Some(introduced),
            refusal: None,
        },
        Err(refusal) => Judged {
            trusted: None,
            refusal: Some((Some(trust.introduction), refusal)),
        },
    })
}

fn oid(text: &str) -> Outcome<Oid> {
    text.parse()
        .map_err(|error| Failure::new(format!("{error}; repositories with SHA-256 are not taken")))
}

/// Where trust begins here: git's `swarm.introduction`, else the first commit up to `head` that has a policy.toml.
///
/// A box pins it in `[trust]`; here, a person looks at their own clone, or a server at its own repository.
pub fn introduction(git: &Git, head: &str) -> Outcome<String> {
    if let Some(told) = git.config("swarm.introduction")? {
        return git.line(["rev-parse", "--verify", &format!("{told}^{{commit}}")]);
    }
    let log = git.line([
        "log",
        "--first-parent",
        "-m",
        "--diff-filter=A",
        "--format=%H",
        head,
        "--",
        "policy.toml",
    ])?;
    log.lines().last().map(str::to_string).ok_or_else(|| {
        Failure::new("no commit of this branch has a policy.toml: there is no introduction")
            .hint("swarm-pack init makes one")
    })
}

fn trust(git: &Git, head: Oid) -> Outcome<Trust> {
    let introduction = introduction(git, &head.to_string())?;
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
