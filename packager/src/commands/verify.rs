//! `verify DIR`: lock, files and signature, from the files alone; and whose key it is, where a policy says so.

use crate::{
    audit::bundle,
    deploy_repository::DeployRepository,
    failure::{Failure, Finding, Outcome},
    talk,
};
use anyhow::Context;
use std::path::Path;
use swarm_manifests::policy::{self, Policy};

/// Checks the folder.
pub fn run(dir: &Path, policy: Option<&Path>, json: bool) -> Outcome {
    let shown = dir.to_string_lossy().trim_end_matches('/').to_string();
    let mut audit = bundle::audit(dir, &shown)?;
    let person = match policy {
        Some(path) => audit.publisher(&shown, &read_policy(path)?),
        None => neighbour(dir, &audit),
    };
    let name = audit.lock.as_ref().map(|lock| lock.name().to_string());
    let version = audit.lock.as_ref().map(|lock| lock.version().to_string());
    let digest = audit.lock.as_ref().map(swarm_manifests::lock::Lock::digest);
    let key = audit
        .signature
        .as_ref()
        .map(swarm_manifests::signature::Signature::fingerprint);
    if json {
        let problems: Vec<_> = audit
            .findings
            .iter()
            .map(|finding| &finding.problem)
            .collect();
        talk::json(
            &serde_json::json!({"name": name, "version": version, "digest": digest, "key": key, "by": person, "problems": problems}),
        );
    }
    if !audit.findings.is_empty() {
        let count = audit.findings.len();
        return Err(Failure {
            message: format!(
                "{shown} does not verify: {count} {}",
                if count == 1 { "problem" } else { "problems" }
            ),
            ..Failure::findings(audit.findings)
        });
    }
    if let (Some(name), Some(version), Some(digest), Some(key), false) =
        (name, version, digest, key, json)
    {
        let by = person
            .map(|person| format!(" ({person})"))
            .unwrap_or_default();
        talk::say(format!(
            "{name} {version} verifies: every file is as listed, signed with {key}{by}"
        ));
        talk::data(digest);
    }
    Ok(())
}

fn read_policy(path: &Path) -> Outcome<Policy> {
    let text =
        std::fs::read(path).with_context(|| format!("{} could not be read", path.display()))?;
    let (policy, problems) = policy::read(&path.to_string_lossy(), &text);
    policy.ok_or_else(|| Failure::findings(Finding::of(problems, &text)))
}

/// In a deploy repository, whose key it is; that they may not publish is said, and is no failure of the files.
fn neighbour(dir: &Path, audit: &bundle::Audit) -> Option<String> {
    let policy = DeployRepository::find(dir).ok()??.policy().ok()?;
    let signature = audit.signature.as_ref()?;
    let person = policy.person_of(&signature.key());
    match (person, audit.lock.as_ref()) {
        (None, _) => talk::warn(format!(
            "{} belongs to nobody in this repository's policy: boxes would refuse it",
            signature.fingerprint()
        )),
        (Some(person), Some(lock)) if !policy.may_publish(person, lock.name().as_str()) => {
            talk::warn(format!(
                "{person} may not publish {} here: boxes would refuse it",
                lock.name()
            ));
        }
        _ => {}
    }
    person.map(ToString::to_string)
}
