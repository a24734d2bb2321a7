//! One push: the trunk from where it is to where it would be, judged as every box judges it. Reads objects.
//!
//! What was wrong with single manifests and bundles before the push is not the push's: only what is new is found. What the push
//! revokes is a note: the commit that takes a stolen key out of use gets in, whatever that key left behind.

use super::{
    removed,
    repository::{Report, of_trunk, published},
    trunk,
};
use crate::{
    deploy_repository::DeployRepository,
    failure::{Finding, Outcome},
    folder::of_refusal,
};
use anyhow::Context as _;
use std::{collections::BTreeSet, convert::Infallible};
use swarm_manifests::{
    id::Oid,
    name::Name,
    problem::Problem,
    rules::{bundle::MISSING, trunk::TREE},
};
use swarm_repository::{
    allowed,
    changes::{Change, changes},
    commit::Commit,
    objects::Objects,
    rights,
    trusted::Trusted,
    verifier::Verifier,
};

/// Looks at `new` alone, as a box that stands at `old` (none: at the introduction) would, were it pushed.
pub fn check(repository: &DeployRepository, old: Option<&str>, new: &str) -> Outcome<Report> {
    let mut report = Report::default();
    let objects = trunk::objects(&repository.git)?;
    let mut verifier = Verifier::new();
    let judged = trunk::judge_step(repository, &objects, &mut verifier, old, new)?;
    report.findings.extend(judged.refusal.map(of_trunk));
    let Some(trusted) = judged.trusted else {
        return Ok(report);
    };
    let before = match old {
        Some(old) => match trunk::judge(repository, &objects, &mut verifier, old)?.trusted {
            Some(trusted) => inside(repository, &objects, &mut verifier, &trusted)?.findings,
            None => Vec::new(),
        },
        None => Vec::new(),
    };
    report.findings.extend(unclonable(&objects, old, &trusted)?);
    let known: BTreeSet<_> = before.into_iter().map(|(_, identity)| identity).collect();
    let found = inside(repository, &objects, &mut verifier, &trusted)?;
    report.warnings.extend(found.warnings);
    let new = found
        .findings
        .into_iter()
        .filter(|(_, identity)| !known.contains(identity));
    report.findings.extend(new.map(|(finding, _)| finding));
    report.note_the_void();
    Ok(report)
}

/// What the push brings into bundles that no clone could check out: boxes refuse such a bundle alone, here it never gets in.
fn unclonable(objects: &Objects, old: Option<&str>, trusted: &Trusted) -> Outcome<Vec<Finding>> {
    let tree = |id: Oid| -> Outcome<Oid> {
        let commit = Commit::parse(&objects.commit(id)?).context("a commit that was judged")?;
        Ok(commit.tree)
    };
    let old = old.map(|old| old.parse().context("not a commit id"));
    let old = old.transpose()?.map(tree).transpose()?;
    let mut found = Vec::new();
    let mut note = |change: Change<'_>| {
        let why = change
            .new
            .and_then(|(mode, _)| allowed::why_not(change.path, mode));
        found.extend(why.map(|why| {
            let path = rights::plain(change.path);
            Finding::bare(Problem::whole(&path, &TREE, format!("it {why}")).hint(TREE.remedy))
        }));
        Ok::<_, Infallible>(())
    };
    changes(objects, "", old, Some(tree(trusted.head)?), &mut note)
        .map_err(|error| anyhow::anyhow!("what the push changes: {error}"))?;
    Ok(found)
}

/// What makes a finding the same at another head: its words, but for the head's id.
type Identity = (String, &'static str, String);

fn identified(finding: Finding, head: &str) -> (Finding, Identity) {
    let problem = &finding.problem;
    let words = problem.message.replace(head, "");
    let identity = (problem.file.clone(), problem.rule.id, words);
    (finding, identity)
}

/// What a good head holds that is not as it should be.
struct Inside {
    findings: Vec<(Finding, Identity)>,
    /// What a new box could not get.
    warnings: Vec<String>,
}

/// What is wrong with single manifests and bundles at a good head, and what a new box could not get.
fn inside(
    repository: &DeployRepository,
    objects: &Objects,
    verifier: &mut Verifier,
    trusted: &Trusted,
) -> Outcome<Inside> {
    let mut warnings = Vec::new();
    let snapshot = verifier.snapshot(objects, trusted)?;
    let mut findings: Vec<_> = snapshot.problems.into_iter().map(Finding::bare).collect();
    let mut seen: BTreeSet<(Name, String)> = BTreeSet::new();
    for found in snapshot.workflows {
        match &found.manifest {
            Err(problems) => findings.extend(problems.iter().cloned().map(Finding::bare)),
            Ok(manifest) => {
                let wanted = (manifest.bundle.clone(), manifest.version.to_string());
                if seen.insert(wanted.clone()) {
                    let mut refusal = published(objects, verifier, trusted, &wanted)?;
                    let path = &found.brought.path;
                    if refusal.as_ref().is_some_and(|it| it.rule == &MISSING) {
                        let head = trusted.head.to_string();
                        let removed = removed::find(&repository.git, &head, path, manifest)?;
                        if let Some(removed) = removed {
                            warnings.push(removed.warning(path));
                            refusal = None;
                        }
                    }
                    findings
                        .extend(refusal.map(|refusal| {
                            Finding::bare(of_refusal(&found.brought.path, refusal))
                        }));
                }
            }
        }
    }
    let head = trusted.head.short();
    let findings = findings.into_iter();
    let identified = findings.map(|finding| identified(finding, &head));
    Ok(Inside {
        findings: identified.collect(),
        warnings,
    })
}
