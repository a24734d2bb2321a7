//! `boxes/<box>.toml`: the roster (SPEC §3). Pure.
//!
//! ```toml
//! key = "ssh-ed25519 AAAA… swarmbox-3"       # the box's own key, from `swarm-agent join` or Ansible
//! labels = { site = "berkeley", rack = 2 }
//! ```

use crate::{
    document::{self, Item, Table},
    facts::{Facts, Value},
    forms::{KEY, LABEL, LINE},
    key,
    name::Name,
    problem::Problem,
    rules::file::{BAD_NAME, BAD_VALUE, MISSING_KEY},
    shape::{Key, Kind, Shape},
};
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

impl Entry {
    /// The box as far as the roster knows it: name and labels, no facts.
    pub fn known(&self) -> Facts {
        Facts {
            name: self.name.to_string(),
            labels: self.labels.clone(),
            ..Facts::default()
        }
    }
}

/// `boxes/<box>.toml`
pub static SHAPE: Shape = Shape {
    title: "the roster entry",
    keys: &[
        Key::new("key", Kind::Text(&KEY), "the box's own SSH public key"),
        Key::new("keys", Kind::List(1, &Kind::Text(&KEY)), "several of them"),
        Key::new("labels", LABELS, "the box's labels"),
    ],
};

/// What a table of labels takes, here and in agent.toml.
pub(crate) const LABELS: Kind = Kind::Map(
    &LABEL,
    &Kind::Either(&[
        Kind::Text(&LINE),
        Kind::Integer {
            min: i64::MIN,
            max: i64::MAX,
        },
        Kind::Bool,
    ]),
);

/// Reads a roster entry; the stem of `file` is the box's name. Takes `key = "…"` or `keys = ["…"]`.
pub fn read(file: &str, text: &[u8]) -> (Option<Entry>, Vec<Problem>) {
    let stem = file.rsplit('/').next().unwrap_or(file);
    let name = Name::new(stem.strip_suffix(".toml").unwrap_or(stem));
    let (entry, mut problems) = document::read(file, text, &SHAPE, |root| {
        Some(build(root, name.as_ref().ok()))
    });
    if let Err(error) = name {
        let problem = Problem::whole(
            file,
            &BAD_NAME,
            format!("the file's name is the box's name: {error}"),
        );
        problems.insert(0, problem.hint(BAD_NAME.remedy));
    }
    (entry.flatten().filter(|_| problems.is_empty()), problems)
}

fn build(root: &Table<'_>, name: Option<&Name>) -> Option<Entry> {
    let keys = match (root.get("key"), root.get("keys")) {
        (Some(one), Some(_)) => {
            one.report(
                &BAD_VALUE,
                "key and keys are both given",
                "keep one of them",
            );
            Vec::new()
        }
        (None, None) => {
            root.report(
                &MISSING_KEY,
                "the roster entry lacks the box's key",
                "add key = \"ssh-ed25519 AAAA…\"",
            );
            Vec::new()
        }
        (one, several) => one.or(several).map(|item| item.items()).unwrap_or_default(),
    };
    let keys = keys
        .iter()
        .filter_map(|item| key::read(item.text()?).ok())
        .collect();
    Some(Entry {
        name: name?.clone(),
        keys,
        labels: labels(root),
    })
}

/// Reads `labels` of a table.
pub(crate) fn labels(root: &Table<'_>) -> BTreeMap<String, Value> {
    let value = |item: &Item<'_>| {
        let text = item.text().map(|text| Value::Text(text.into()));
        text.or_else(|| item.integer().map(Value::Number))
            .or_else(|| item.bool().map(Value::Bool))
    };
    root.entries("labels")
        .into_iter()
        .filter_map(|(name, _, item)| Some((name.into(), value(&item)?)))
        .collect()
}
