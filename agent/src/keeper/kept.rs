//! What the keeper keeps over a restart: how far the trunk was followed, and what ran before what runs.
//!
//! Touches two small files of the agent's own. Neither is trusted with anything: their loss costs a longer look.

use crate::trust;
use std::{collections::BTreeMap, path::Path};
use swarm_manifests::{id::Digest, name::Name};

/// What ran before what runs; nothing where that is not known.
pub fn previous(own: &Path) -> BTreeMap<Name, Digest> {
    let text = std::fs::read(own.join("previous.json")).ok();
    text.and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// Keeps it.
pub fn keep_previous(own: &Path, previous: &BTreeMap<Name, Digest>) {
    let kept = serde_json::to_vec(previous)
        .map_err(Into::into)
        .and_then(|text| trust::replace(&own.join("previous.json"), &text));
    if let Err(error) = kept {
        tracing::warn!(%error, "cannot keep what ran before");
    }
}

/// Up to which position the trunk was followed in full.
pub fn followed(own: &Path) -> Option<u64> {
    std::fs::read_to_string(own.join("followed"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Keeps it.
pub fn keep_followed(own: &Path, position: u64) {
    let file = own.join("followed");
    if let Err(error) = trust::replace(&file, format!("{position}\n").as_bytes()) {
        tracing::warn!(%error, "cannot keep how far the trunk was followed");
    }
}
