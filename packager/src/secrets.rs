//! Secrets in the working tree: whose boxes can read which, told by the files themselves. Touches files.
//!
//! The header of an age file names each recipient: for an SSH key by the first four bytes of its SHA-256
//! (C2SP age, and age's SSH recipients).

use crate::{deploy_repository::DeployRepository, failure::Outcome, pack::read_limited};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};
use ssh_key::PublicKey;
use swarm_manifests::{name::Name, roster, shape::MAX_TEXT};

/// A secret that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The workflow that has it.
    pub workflow: Name,
    /// Its name.
    pub name: Name,
    /// The boxes of the roster whose keys it is encrypted to.
    pub boxes: Vec<Name>,
}

impl Secret {
    /// Where it lies in the repository.
    pub fn file(&self) -> String {
        format!("secrets/{}/{}.age", self.workflow, self.name)
    }
}

/// The roster as it stands in the working tree, but for entries that do not parse: `check` says those.
pub fn roster(repository: &DeployRepository) -> Outcome<Vec<roster::Entry>> {
    let mut found = Vec::new();
    for path in repository.files(&["boxes"])? {
        let text = read_limited(&repository.top().join(&path), MAX_TEXT as u64 + 1)?;
        found.extend(roster::read(&path, &text).0);
    }
    Ok(found)
}

/// Every secret, and who reads it.
pub fn readers(repository: &DeployRepository) -> Outcome<Vec<Secret>> {
    let roster = roster(repository)?;
    let mut found = Vec::new();
    for path in repository.files(&["secrets"])? {
        let Some((workflow, name)) = parts(&path) else {
            continue;
        };
        let text = read_limited(&repository.top().join(&path), MAX_TEXT as u64 * 2)?;
        let tags = tags(&text);
        let reads = |entry: &&roster::Entry| entry.keys.iter().any(|key| tags.contains(&tag(key)));
        let boxes = roster
            .iter()
            .filter(reads)
            .map(|entry| entry.name.clone())
            .collect();
        found.push(Secret {
            workflow,
            name,
            boxes,
        });
    }
    Ok(found)
}

fn parts(path: &str) -> Option<(Name, Name)> {
    let (workflow, file) = path.strip_prefix("secrets/")?.split_once('/')?;
    Some((
        Name::new(workflow).ok()?,
        Name::new(file.strip_suffix(".age")?).ok()?,
    ))
}

/// The recipients' tags in an age file's header.
fn tags(text: &[u8]) -> Vec<String> {
    let end = text
        .windows(5)
        .position(|part| part == b"\n--- ")
        .unwrap_or(0);
    let head = String::from_utf8_lossy(&text[..end]);
    let stanzas = head.lines().filter_map(|line| line.strip_prefix("-> ssh-"));
    stanzas
        .filter_map(|line| line.split(' ').nth(1).map(ToString::to_string))
        .collect()
}

fn tag(key: &PublicKey) -> String {
    let wire = key.to_bytes().unwrap_or_default();
    STANDARD_NO_PAD.encode(&Sha256::digest(wire)[..4])
}
