//! `check [PATH]`: everything a box would check, every problem at once.

use super::here;
use crate::{
    audit::{bundle, file, repository},
    deploy_repository::{DeployRepository, shown_path},
    failure::{Failure, Finding, Outcome},
    folder::{self, Ignoring},
    pack, talk,
};
use std::{io::BufRead, path::Path};

/// Checks a file, a bundle, a folder of files, or the repository.
pub fn run(path: Option<&Path>, pushed: bool, json: bool) -> Outcome {
    let report = match path {
        _ if pushed => of_push()?,
        None => repository::check(&here()?)?,
        Some(path) => of_path(path)?,
    };
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
        0 if json || pushed => Ok(()),
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
        return Err(Failure::new(format!("there is no {}", path.display()))
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
        file::check(&real, &shown)?
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
        Ok(_) => Ok(Vec::new()),
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

/// What git tells a pre-push hook: the commits that go to the deploy branch, and nothing else.
fn of_push() -> Outcome<repository::Report> {
    let repository = here()?;
    let branch = repository
        .git
        .config("swarm.branch")?
        .unwrap_or_else(|| "main".into());
    let mut report = repository::Report::default();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, commit, to, _] = words.as_slice() else {
            continue;
        };
        let is_removal = commit.bytes().all(|byte| byte == b'0');
        if *to == format!("refs/heads/{branch}") && !is_removal {
            let found = repository::check_commit(&repository, commit)?;
            report.findings.extend(found.findings);
            report.warnings.extend(found.warnings);
        }
    }
    Ok(report)
}
