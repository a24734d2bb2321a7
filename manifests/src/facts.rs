//! Facts and labels of a box: what selectors and requirements are held against. Pure.

pub use crate::value::Value;

use crate::{
    compare::{self, Sign},
    units::ByteSize,
};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap};

/// What a box is: its name, its labels, its facts.
///
/// Facts: `arch` (`x86_64`), `os` (linux), `kernel`, `hostname`, `cpus`, `memory` (bytes), `engine.NAME` (version).
/// In a selector a bare name is a label first, then a fact.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Facts {
    pub name: String,
    pub labels: BTreeMap<String, Value>,
    pub facts: BTreeMap<String, Value>,
}

/// Whether a name is one that a box finds out about itself.
pub fn is_fact(name: &str) -> bool {
    matches!(
        name,
        "arch" | "os" | "kernel" | "hostname" | "cpus" | "memory"
    ) || name.starts_with("engine.")
}

impl Facts {
    /// The label, or else the fact, of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.labels.get(name).or_else(|| self.facts.get(name))
    }

    /// The same, and the box's own name for `box` and `name`.
    pub fn lookup(&self, name: &str) -> Option<Value> {
        match name {
            "box" | "name" => Some(Value::Text(self.name.clone())),
            _ => self.get(name).cloned(),
        }
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
    requires
        .iter()
        .filter_map(|(name, wanted)| unmet_one(name, wanted, facts))
        .collect()
}

fn unmet_one(name: &str, wanted: &str, facts: &Facts) -> Option<Unmet> {
    let engine = format!("engine.{name}");
    let (fact, found) = match (facts.facts.get(name), facts.facts.get(&engine)) {
        (Some(found), _) => (name.to_string(), Some(found)),
        (None, Some(found)) => (engine, Some(found)),
        (None, None) if name.contains('.') || KNOWN_FACTS.contains(&name) => {
            (name.to_string(), None)
        }
        (None, None) => (engine, None),
    };
    let is_met = found.is_some_and(|found| {
        Requirement::parse(wanted).is_ok_and(|requirement| requirement.is_met(found))
    });
    (!is_met).then(|| Unmet {
        fact,
        wanted: wanted.into(),
        found: found.map(|found| compare::show(found, Some(&Value::Text(operand(wanted).into())))),
    })
}

/// The facts that are not engines.
const KNOWN_FACTS: &[&str] = &["arch", "os", "kernel", "hostname", "cpus", "memory"];

/// A value of `[requires]`: `*`, or comparisons joined by commas that must all hold.
///
/// `>=18`, `>18`, `<=18`, `<18`; `=18.2` and plain `18.2` (the parts given are equal: 18.2.7 meets them); `^18.2` (not below, and the
/// same first part that is not zero); `~18.2` (not below, and the same first two parts); for sizes `>=1G` and the like; for a
/// text such as an `arch` the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    comparisons: Vec<(Operator, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Sign(Sign),
    Caret,
    Tilde,
}

const OPERATORS: [(&str, Operator); 7] = [
    (">=", Operator::Sign(Sign::GreaterOrEqual)),
    ("<=", Operator::Sign(Sign::LessOrEqual)),
    (">", Operator::Sign(Sign::Greater)),
    ("<", Operator::Sign(Sign::Less)),
    ("=", Operator::Sign(Sign::Equal)),
    ("^", Operator::Caret),
    ("~", Operator::Tilde),
];

impl Requirement {
    /// Reads a requirement; an error goes on after its text: `is empty`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self {
                comparisons: Vec::new(),
            });
        }
        if text.len() > 200 {
            return Err("is longer than 200 characters".into());
        }
        Ok(Self {
            comparisons: text.split(',').map(comparison).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a fact of this value meets it.
    pub fn is_met(&self, found: &Value) -> bool {
        self.comparisons
            .iter()
            .all(|(operator, wanted)| match operator {
                Operator::Sign(Sign::Equal) => is_same(found, wanted),
                Operator::Sign(sign) => {
                    sign.compare(found, &Value::Text(wanted.clone())) == Some(true)
                }
                Operator::Caret | Operator::Tilde => is_compatible(*operator, found, wanted),
            })
    }
}

fn comparison(text: &str) -> Result<(Operator, String), String> {
    let text = text.trim();
    let found = OPERATORS
        .iter()
        .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)));
    let (operator, wanted) = found.unwrap_or((Operator::Sign(Sign::Equal), text));
    let wanted = wanted.trim();
    let plain = wanted
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c));
    if wanted.is_empty() || !plain {
        return Err("is not a comparison such as >=18, ^1.2, =3 or *".into());
    }
    let ordered = compare::version(wanted).is_some()
        || (operator != Operator::Caret
            && operator != Operator::Tilde
            && ByteSize::parse(wanted).is_ok());
    if operator != Operator::Sign(Sign::Equal) && !ordered {
        return Err(format!(
            "compares with {wanted:?}, which is neither a version nor a size"
        ));
    }
    Ok((operator, wanted.into()))
}

/// The text without the sign in front, of the first comparison.
fn operand(wanted: &str) -> &str {
    wanted
        .split(',')
        .next()
        .unwrap_or_default()
        .trim_start_matches(['>', '<', '=', '^', '~', ' '])
        .trim_end()
}

/// Equal, or a version that begins with the parts that are asked.
fn is_same(found: &Value, wanted: &str) -> bool {
    let parts = match found {
        Value::Text(text) => compare::version(text).zip(compare::version(wanted)),
        _ => None,
    };
    parts.is_some_and(|(found, wanted)| begins(&found, &wanted))
        || Sign::Equal.compare(found, &Value::Text(wanted.into())) == Some(true)
}

/// Whether the parts of `found`, missing ones zero, begin with these.
fn begins(found: &[u64], parts: &[u64]) -> bool {
    parts
        .iter()
        .enumerate()
        .all(|(at, part)| found.get(at).copied().unwrap_or(0) == *part)
}

fn is_compatible(operator: Operator, found: &Value, wanted: &str) -> bool {
    let found = match found {
        Value::Text(text) => compare::version(text),
        Value::Number(number) => u64::try_from(*number).ok().map(|number| vec![number]),
        Value::Bool(_) => None,
    };
    let (Some(found), Some(wanted)) = (found, compare::version(wanted)) else {
        return false;
    };
    let kept = match operator {
        Operator::Tilde => wanted.len().min(2),
        _ => wanted
            .iter()
            .position(|part| *part != 0)
            .map_or(wanted.len(), |at| at + 1),
    };
    compare::compare_versions(&found, &wanted) != Ordering::Less && begins(&found, &wanted[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_met(found: &str, wanted: &str) -> bool {
        Requirement::parse(wanted)
            .expect(wanted)
            .is_met(&Value::Text(found.into()))
    }

    #[test]
    fn versions_meet_requirements_as_people_expect() {
        for (found, wanted) in [
            ("20.20.2", ">=18"),
            ("20.20.2", "*"),
            ("18", ">=18.0.0"),
            ("1.9.0", "^1.2"),
            ("3.11.2", "=3"),
            ("18.7.1", "18"),
            ("18.7.1", "18.7"),
            ("0.2.9", "^0.2.3"),
            ("1.2.9", "~1.2.3"),
            ("18.1", ">=18, <21"),
            ("x86_64", "x86_64"),
            ("2G", ">=1G"),
            ("512M", "<1G"),
            ("20.1.0", "^20"),
        ] {
            assert!(is_met(found, wanted), "{found} should meet {wanted}");
        }
        for (found, wanted) in [
            ("16.1", ">=18"),
            ("2.0.0", "^1.2"),
            ("1.1.9", "^1.2"),
            ("4.0", "=3"),
            ("0.3.0", "^0.2.3"),
            ("1.3.0", "~1.2.3"),
            ("21", ">=18, <21"),
            ("aarch64", "x86_64"),
            ("512M", ">=1G"),
            ("unknown", ">=18"),
            ("180.1", "18"),
        ] {
            assert!(!is_met(found, wanted), "{found} should not meet {wanted}");
        }
    }

    #[test]
    fn what_is_no_requirement_is_refused() {
        for text in [
            "",
            " ",
            ">=",
            ">= x",
            "^berkeley",
            "1.2 || 3",
            ">=18,",
            "^1G",
            "a b",
            "=\n",
        ] {
            assert!(Requirement::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_bare_engine_name_means_the_engine() {
        let requires =
            |name: &str, wanted: &str| BTreeMap::from([(name.to_string(), wanted.to_string())]);
        let facts = Facts {
            facts: BTreeMap::from([
                ("engine.node".into(), Value::Text("20.20.2".into())),
                ("memory".into(), Value::Number(512 << 20)),
            ]),
            ..Facts::default()
        };
        assert_eq!(unmet(&requires("node", ">=18"), &facts), []);
        assert_eq!(unmet(&requires("engine.node", ">=18"), &facts), []);
        let one = |fact: &str, wanted: &str, found: Option<&str>| {
            vec![Unmet {
                fact: fact.into(),
                wanted: wanted.into(),
                found: found.map(Into::into),
            }]
        };
        assert_eq!(
            unmet(&requires("node", ">=22"), &facts),
            one("engine.node", ">=22", Some("20.20.2"))
        );
        assert_eq!(
            unmet(&requires("java", "*"), &facts),
            one("engine.java", "*", None)
        );
        assert_eq!(
            unmet(&requires("memory", ">=1G"), &facts),
            one("memory", ">=1G", Some("512M"))
        );
    }
}
