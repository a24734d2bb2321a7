//! `check [PATH]`: everything a box would check, every problem at once.

use super::here;
use crate::{
    audit::{bundle, file, push, repository, trunk},
    deploy_repository::{DeployRepository, shown_path},
    failure::{Failure, Finding, Outcome},
    folder::{self, Ignoring},
    git::Git,
    pack,
    proposed::{Base, FILE},
    talk,
};
use anyhow::Context;
use std::{io::BufRead, path::Path};
use swarm_manifests::rules::trunk::{NO_BRANCH, UNRELATED};

/// What is to be checked.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// A file, a bundle, a folder of files; none: the repository.
    Path(Option<&'a Path>),
    /// What git tells a pre-push hook on stdin, and as its first argument: the remote.
    Pushed(&'a str),
    /// What git tells a pre-receive hook on stdin.
    Received,
}

/// Checks it.
pub fn run(asked: &Asked<'_>, json: bool) -> Outcome {
    let report = match asked {
        Asked::Pushed(remote) => of_push(remote)?,
        Asked::Received => of_received()?,
        Asked::Path(None) => repository::check(&here()?)?,
        Asked::Path(Some(path)) => of_path(path)?,
    };
    let is_hook = !matches!(asked, Asked::Path(_));
    for warning in &report.warnings {
        talk::warn(warning);
    }
    if json {
        let problems: Vec<_> = report
            .findings
            .iter()
            .map(|finding| &finding.problem)
            .collect();
        talk::json(&problems);
    }
    match report.findings.len() {
        0 if json || is_hook => Ok(()),
        0 => {
            talk::say("all is well");
            Ok(())
        }
        _ if json => Err(Failure::findings(Vec::new())),
        1 => Err(Failure {
            message: "1 problem".into(),
            ..Failure::findings(report.findings)
        }),
        count => Err(Failure {
            message: format!("{count} problems"),
            ..Failure::findings(report.findings)
        }),
    }
}

fn of_path(path: &Path) -> Outcome<repository::Report> {
    if !path.exists() {
        return Err(Failure::usage(format!("there is no {}", path.display()))
            .hint("name a file, a bundle's folder, or a deploy repository"));
    }
    let real = path.canonicalize().unwrap_or_else(|_| path.into());
    let found = DeployRepository::find(if real.is_dir() {
        &real
    } else {
        real.parent().unwrap_or(&real)
    })?;
    if let Some(found) = found.as_ref().filter(|found| found.top() == real) {
        return repository::check(found);
    }
    let top = found.as_ref().map_or(Path::new(""), |found| found.top());
    let findings = if !real.is_dir() {
        let shown = if found.is_some() {
            shown_path(top, &real)
        } else {
            path.to_string_lossy().into_owned()
        };
        let mut findings = file::check(&real, &shown)?;
        if let Some(found) = found.as_ref().filter(|_| shown == FILE)
            && let Some(base) = Base::find(found)?
        {
            findings.extend(repository::policy_step(found, &base.commit)?);
        }
        findings
    } else if real.join("bundle.toml").exists() {
        of_bundle(path)?
    } else {
        of_folder(path, top)?
    };
    Ok(repository::Report {
        findings,
        warnings: Vec::new(),
    })
}

/// A bundle: where it lies published, lock and signature too.
fn of_bundle(dir: &Path) -> Outcome<Vec<Finding>> {
    if bundle::published_place(dir).is_some() {
        return Ok(bundle::audit(dir, dir.to_string_lossy().trim_end_matches('/'))?.findings);
    }
    match pack::pack(dir) {
        Ok(_) => {
            let file = dir.join("bundle.toml");
            file::check(&file, &file.to_string_lossy())
        }
        Err(failure) if !failure.findings.is_empty() => Ok(failure.findings),
        Err(failure) => Err(failure),
    }
}

/// Every file of a folder that is one of ours, such as manifests/.
fn of_folder(dir: &Path, top: &Path) -> Outcome<Vec<Finding>> {
    let mut findings = Vec::new();
    let items = folder::walk(dir, Ignoring::Nothing)?.items;
    let ours: Vec<_> = items
        .iter()
        .filter(|item| item.target.is_none() && file::is_toml(&item.path))
        .collect();
    if ours.is_empty() {
        return Err(Failure::new(format!(
            "{} holds nothing that swarm-pack knows",
            dir.display()
        ))
        .hint("name a bundle's folder (it has bundle.toml), manifests/, or a deploy repository"));
    }
    for item in ours {
        let real = item.at.canonicalize().unwrap_or_else(|_| item.at.clone());
        findings.extend(file::check(&item.at, &shown_path(top, &real))?);
    }
    Ok(findings)
}

/// The lines that git gives a hook, each as its words.
fn refs(count: usize) -> Outcome<Vec<Vec<String>>> {
    let mut found = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.context("the refs of this push cannot be read")?;
        let words: Vec<String> = line.split(' ').map(ToString::to_string).collect();
        if words.len() != count {
            return Err(Failure::usage(format!(
                "git tells a hook {count} words a line, not {line:?}"
            ))
            .hint("this is for git's hooks: swarm-pack hook install"));
        }
        found.push(words);
    }
    Ok(found)
}

/// A commit's id; none for the zeros that stand for a ref that is not there.
fn there(id: &str) -> Option<&str> {
    (!id.bytes().all(|byte| byte == b'0')).then_some(id)
}

/// The commits that go to the deploy branch, and nothing else.
fn of_push(remote: &str) -> Outcome<repository::Report> {
    let repository = here()?;
    let branch = trunk::branch(&repository.git)?;
    let mut report = repository::Report::default();
    for words in refs(4)? {
        let (Some(commit), true) = (there(&words[1]), words[2] == branch) else {
            continue;
        };
        let old = there(&words[3]);
        if let Some(old) = old {
            on_theirs(&repository.git, remote, (&branch, old), commit)?;
        }
        report.add(push::check(&repository, old, commit)?);
    }
    Ok(report)
}

/// Where the remote is at something that was never fetched, others pushed meanwhile: it is fetched, and only what comes upon
/// it may be pushed. Whatever else is wrong on the branch is judged from there, not by this push.
fn on_theirs(git: &Git, remote: &str, (branch, old): (&str, &str), new: &str) -> Outcome {
    let is_known = || {
        let found = git.ask(["cat-file", "-e", &format!("{old}^{{commit}}")]);
        found.map(|found| found.is_some())
    };
    if is_known()? {
        return Ok(());
    }
    git.ask(["fetch", "-q", remote, branch])?;
    if is_known()? && git.contains(new, old)? {
        return Ok(());
    }
    let message =
        format!("others pushed to {branch} of {remote} meanwhile: it is at {old:.10} now");
    Err(Failure::rule(&UNRELATED, message)
        .hint("git pull --rebase puts your commits upon theirs; then push again"))
}

/// On the server: what comes to the deploy branch.
fn of_received() -> Outcome<repository::Report> {
    let repository = DeployRepository {
        git: Git::receiving()?,
    };
    let branch = trunk::branch(&repository.git)?;
    let mut report = repository::Report::default();
    for words in refs(3)?.into_iter().filter(|words| words[2] == branch) {
        match there(&words[1]) {
            Some(commit) => report.add(push::check(&repository, there(&words[0]), commit)?),
            None => {
                return Err(Failure::rule(&NO_BRANCH, format!("{branch} is the deploy branch, and is not removed"))
                    .hint("boxes would go on with what they run; to begin anew, push to another repository"));
            }
        }
    }
    Ok(report)
}
