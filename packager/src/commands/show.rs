//! `show [NAME]`: versions, digests, signers, and which workflows run them.

use super::here;
use crate::{
    failure::{Exit, Failure, Outcome},
    published, talk, words, workflow,
};
use serde_json::json;
use std::collections::BTreeMap;
use swarm_manifests::{
    manifest::{self, Manifest},
    name::Name,
    policy::Policy,
};

/// Prints what is published.
pub fn run(name: Option<&Name>, as_json: bool) -> Outcome {
    let repository = here()?;
    let policy = repository.policy().ok();
    let mut runs: BTreeMap<(String, String), Vec<Manifest>> = BTreeMap::new();
    for path in workflow::paths(&repository)? {
        let text = std::fs::read(repository.top().join(&path)).unwrap_or_default();
        if let (Some(manifest), _) = manifest::read(&path, &text) {
            runs.entry((manifest.bundle.to_string(), manifest.version.to_string()))
                .or_default()
                .push(manifest);
        }
    }
    let named = |bundle: &str, by: &[Manifest]| {
        name.is_none_or(|name| {
            bundle == name.as_str() || by.iter().any(|manifest| manifest.workflow == *name)
        })
    };
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for version in published::Head::of(&repository.git)?.all()? {
        let by = runs
            .remove(&(version.bundle.clone(), version.version.clone()))
            .unwrap_or_default();
        if !named(&version.bundle, &by) {
            continue;
        }
        let digest = version.lock.as_ref().map(|lock| lock.digest().to_string());
        let key = version
            .signature
            .as_ref()
            .map(swarm_manifests::signature::Signature::fingerprint);
        let person = version
            .signature
            .as_ref()
            .and_then(|signature| person(policy.as_ref()?, &signature.key()));
        let places: Vec<String> = by.iter().map(place).collect();
        rows.push(vec![
            version.bundle.clone(),
            version.version.clone(),
            digest.clone().unwrap_or_else(|| "unreadable".into()),
            person
                .clone()
                .or_else(|| key.clone())
                .unwrap_or_else(|| "nobody".into()),
            places.join("; "),
        ]);
        let workflows: Vec<_> = by.iter().map(|manifest| json!({"workflow": manifest.workflow, "mode": manifest.run.mode.as_str(), "on": words::on(&manifest.on)})).collect();
        values.push(json!({"name": version.bundle, "version": version.version, "digest": digest, "key": key, "by": person, "workflows": workflows}));
    }
    if let (Some(name), true) = (name, rows.is_empty()) {
        return Err(Failure::new(format!(
            "no bundle and no deployed workflow is called {name}"
        ))
        .exit(Exit::Unknown)
        .hint("swarm-pack show lists them all"));
    }
    if as_json {
        talk::json(&values);
    } else if rows.is_empty() {
        talk::say("nothing is published yet: swarm-pack publish DIR");
    } else {
        talk::table(
            &["BUNDLE", "VERSION", "DIGEST", "SIGNED BY", "RUNS AS"],
            &rows,
        );
    }
    Ok(())
}

fn person(policy: &Policy, key: &ssh_key::PublicKey) -> Option<String> {
    policy.person_of(key).map(ToString::to_string)
}

fn place(manifest: &Manifest) -> String {
    format!(
        "{} ({} on {})",
        manifest.workflow,
        manifest.run.mode.as_str(),
        words::on(&manifest.on)
    )
}
