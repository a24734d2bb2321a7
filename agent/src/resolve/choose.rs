//! Whether a manifest means this box: its selector, and `count` over the roster. Pure.

use crate::facts::Here;
use std::collections::BTreeMap;
use swarm_manifests::{facts::Facts, manifest::Manifest, selector::Verdict};
use swarm_repository::snapshot::Snapshot;

/// Whether this box is meant: by its own facts, and where `count` narrows, by the roster that every box reads alike.
pub fn choose(manifest: &Manifest, snapshot: &Snapshot, here: &Here) -> Verdict {
    let verdict = manifest.on.choose(&here.facts);
    let Some(count) = manifest.on.count.filter(|_| verdict == Verdict::Chosen) else {
        return verdict;
    };
    let candidates: Vec<&str> = snapshot
        .roster
        .values()
        .filter(|entry| {
            let known = Facts {
                name: entry.name.to_string(),
                labels: entry.labels.clone(),
                facts: BTreeMap::new(),
            };
            manifest.on.choose(&known) == Verdict::Chosen
        })
        .map(|entry| entry.name.as_str())
        .collect();
    let name = here.facts.name.as_str();
    if !candidates.contains(&name) {
        return Verdict::NotChosen(format!(
            "count = {count} counts the boxes that boxes/ and its labels choose, and {name} is not among them"
        ));
    }
    if manifest
        .on
        .narrow(&manifest.workflow, candidates.iter().copied())
        .contains(&name)
    {
        return Verdict::Chosen;
    }
    Verdict::NotChosen(format!(
        "count = {count} of {} boxes fell on others",
        candidates.len()
    ))
}
