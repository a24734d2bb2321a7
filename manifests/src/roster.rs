//! boxes/<box>.toml: the roster (SPEC §3). Pure.
//!
//! ```toml
//! key = "ssh-ed25519 AAAA… swarmbox-3"       # the box's own key, from `swarm-agent join` or Ansible
//! labels = { site = "berkeley", rack = 2 }
//! ```

use crate::{facts::Value, name::Name, problem::Problem};
use ssh_key::PublicKey;
use std::collections::BTreeMap;

/// What the repository knows of a box.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Entry {
    pub name: Name,
    pub keys: Vec<PublicKey>,
    pub labels: BTreeMap<String, Value>,
}

/// Reads a roster entry; the stem of `file` is the box's name. Takes `key = "…"` or `keys = ["…"]`.
pub fn read(file: &str, text: &[u8]) -> (Option<Entry>, Vec<Problem>) {
    let _ = (file, text);
    todo!()
}
