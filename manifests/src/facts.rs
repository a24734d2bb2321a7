//! Facts and labels of a box: what selectors and requirements are held against. Pure.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One value of a label or fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Value {
    Bool(bool),
    Number(i64),
    Text(String),
}

/// What a box is: its name, its labels, its facts.
///
/// Facts: `arch` (x86_64), `os` (linux), `kernel`, `hostname`, `cpus`, `memory` (bytes), `engine.NAME` (version).
/// In a selector a bare name is a label first, then a fact.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Facts {
    pub name: String,
    pub labels: BTreeMap<String, Value>,
    pub facts: BTreeMap<String, Value>,
}

impl Facts {
    /// The label, or else the fact, of this name; `box` is the box's own name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.labels.get(name).or_else(|| self.facts.get(name))
    }
}

/// Why a requirement of `[requires]` is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The fact's whole name, such as `engine.node`.
    pub fact: String,
    /// What is asked.
    pub wanted: String,
    /// What there is.
    pub found: Option<String>,
}

/// Holds `[requires]` against the facts; a bare engine name means `engine.NAME`.
pub fn unmet(requires: &BTreeMap<String, String>, facts: &Facts) -> Vec<Unmet> {
    let _ = (requires, facts);
    todo!()
}
