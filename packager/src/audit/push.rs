//! One push: the trunk from where it is to where it would be, judged as every box judges it. Reads objects.
//!
//! What was wrong with single manifests and bundles before the push is not the push's: only what is new is found.

use super::{
    repository::{Report, of_trunk, published},
    trunk,
};
use crate::{
    deploy_repository::DeployRepository,
    failure::{Finding, Outcome},
    folder::of_refusal,
};
use std::collections::BTreeSet;
use swarm_manifests::name::Name;
use swarm_repository::{objects::Objects, trusted::Trusted, verifier::Verifier};

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
            Some(trusted) => inside(&objects, &mut verifier, &trusted)?,
            None => Vec::new(),
        },
        None => Vec::new(),
    };
    let known: BTreeSet<_> = before.into_iter().map(|(_, identity)| identity).collect();
    let found = inside(&objects, &mut verifier, &trusted)?;
    let new = found
        .into_iter()
        .filter(|(_, identity)| !known.contains(identity));
    report.findings.extend(new.map(|(finding, _)| finding));
    Ok(report)
}

/// What makes a finding the same at another head: its words, but for the head's id.
type Identity = (String, &'static str, String);

fn identified(finding: Finding, head: &str) -> (Finding, Identity) {
    let problem = &finding.problem;
    let words = problem.message.replace(head, "");
    let identity = (problem.file.clone(), problem.rule.id, words);
    (finding, identity)
}

/// What is wrong with single manifests and bundles at a good head.
fn inside(
    objects: &Objects,
    verifier: &mut Verifier,
    trusted: &Trusted,
) -> Outcome<Vec<(Finding, Identity)>> {
    let snapshot = verifier.snapshot(objects, trusted)?;
    let mut findings: Vec<_> = snapshot.problems.into_iter().map(Finding::bare).collect();
    let mut seen: BTreeSet<(Name, String)> = BTreeSet::new();
    for found in snapshot.workflows {
        match &found.manifest {
            Err(problems) => findings.extend(problems.iter().cloned().map(Finding::bare)),
            Ok(manifest) => {
                let wanted = (manifest.bundle.clone(), manifest.version.to_string());
                if seen.insert(wanted.clone()) {
                    let refusal = published(objects, verifier, trusted, &wanted)?;
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
    Ok(findings.map(|finding| identified(finding, &head)).collect())
}
