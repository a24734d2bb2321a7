//! One push: the trunk from where it is to where it would be, judged as every box judges it. Reads objects.
//!
//! What was wrong with single manifests and bundles before the push is not the push's: only what is new is found. What the push
//! revokes is a note: the commit that takes a stolen key out of use gets in, whatever that key left behind. What was void already
//! when the push deploys it is found.

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
use std::{collections::BTreeSet, convert::Infallible, sync::Arc};
use swarm_manifests::{
    id::Oid,
    manifest::workflow_of,
    name::Name,
    problem::Problem,
    rules::{
        bundle::MISSING,
        trunk::{REVOKED, TREE},
    },
};
use swarm_repository::{
    allowed,
    changes::{Change, changes},
    commit::Commit,
    objects::Objects,
    rights,
    snapshot::Snapshot,
    trusted::Trusted,
    verifier::Verifier,
};

/// Looks at `new` alone, as a box that stands at `old` (none: at the introduction) would, were it pushed.
pub fn check(repository: &DeployRepository, old: Option<&str>, new: &str) -> Outcome<Report> {
    let mut report = Report::default();
    let objects = trunk::objects(&repository.git)?;
    let mut verifier = Verifier::new();
    let begin = match old {
        Some(old) => Some(trunk::judge(repository, &objects, &mut verifier, old)?),
        None => None,
    };
    let judged = match &begin {
        Some(begin) => trunk::step(&objects, &mut verifier, begin.clone(), new)?,
        None => trunk::judge(repository, &objects, &mut verifier, new)?,
    };
    report.findings.extend(judged.refusal.map(of_trunk));
    let Some(trusted) = judged.trusted else {
        return Ok(report);
    };
    let begin = begin.and_then(|begin| begin.trusted);
    let before = match &begin {
        Some(begin) => inside(repository, &objects, &mut verifier, begin)?.findings,
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
    let void = deployed_void(repository, &objects, &mut verifier, (begin, &trusted))?;
    let is_said = |finding: &Finding| {
        finding.problem.rule == &REVOKED && void.iter().any(|it| it.file == finding.problem.file)
    };
    report.findings.retain(|finding| !is_said(finding));
    report.note_the_void();
    report.findings.extend(void.into_iter().map(Finding::bare));
    Ok(report)
}

/// The manifests that the push brought though what they name counted as absent by then, and does still.
fn deployed_void(
    repository: &DeployRepository,
    objects: &Objects,
    verifier: &mut Verifier,
    (begin, trusted): (Option<Trusted>, &Trusted),
) -> Outcome<Vec<Problem>> {
    let known = begin.map_or(0, |begin| begin.position);
    let mut found = Vec::new();
    for (path, why) in void(&verifier.snapshot(objects, trusted)?, trusted) {
        let brought = trusted.manifests.get(path.as_str());
        let Some(brought) = brought.filter(|brought| brought.position > known) else {
            continue;
        };
        let then = brought.commit.to_string();
        let Some(then) = trunk::judge(repository, objects, verifier, &then)?.trusted else {
            continue;
        };
        let was_void = void(&verifier.snapshot(objects, &then)?, &then);
        if was_void.iter().any(|(it, _)| *it == path) {
            found.push(Problem::whole(&path, &REVOKED, why).hint(REVOKED.remedy));
        }
    }
    Ok(found)
}

/// The manifests that count as absent, and why.
fn void(snapshot: &Snapshot, trusted: &Trusted) -> Vec<(String, String)> {
    let replaced = snapshot.workflows.iter().filter_map(|found| {
        let why = found.instead_of.as_ref()?;
        let stands = |path: &&Arc<str>| workflow_of(path) == Some(found.workflow.as_str());
        let path = trusted.manifests.keys().find(stands)?;
        Some((path.to_string(), why.reason.clone()))
    });
    let beside = snapshot.problems.iter();
    let beside = beside.filter(|problem| problem.rule == &REVOKED);
    let beside = beside.map(|problem| (problem.file.clone(), problem.message.clone()));
    replaced.chain(beside).collect()
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
            .and_then(|(mode, _)| allowed::why_not(&change, mode));
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
