//! Placeholders (SPEC §3.5): `{box}`, `{label.site}` … in args, env, entry and engine commands become values. Pure.
//!
//! `{bundle}`, `{state}` and `{instance}` stay: only the supervisor knows them.

use std::collections::BTreeMap;
use swarm_manifests::{
    bundle::PortRange,
    facts::Value,
    placeholder::{Part, parts},
    problem::Refusal,
    rules,
};

/// What stays for the supervisor.
const LEFT: [&str; 3] = ["bundle", "state", "instance"];

/// The values of one workflow on this box.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Values<'a> {
    pub named: BTreeMap<&'static str, String>,
    pub labels: &'a BTreeMap<String, Value>,
    pub ports: &'a [PortRange],
}

impl Values<'_> {
    /// Fills in every placeholder of `text`; `place` says where it stands, for the refusal.
    pub fn fill(&self, text: &str, place: &str) -> Result<String, Refusal> {
        parts(text)
            .map(|part| match part {
                Part::Text(text) => Ok(text.to_owned()),
                Part::Placeholder(word) => self.value(word, place),
                // The supervisor would fill these in, did it not see both braces.
                Part::Literal(word) if LEFT.contains(&word) => Ok(format!("{{{{{word}}}}}")),
                Part::Literal(word) => Ok(format!("{{{word}}}")),
            })
            .collect()
    }

    fn value(&self, word: &str, place: &str) -> Result<String, Refusal> {
        if LEFT.contains(&word) {
            return Ok(format!("{{{word}}}"));
        }
        if let Some(value) = self.named.get(word) {
            return Ok(value.clone());
        }
        if let Some(label) = word.strip_prefix("label.") {
            return self.labels.get(label).map(shown).ok_or_else(|| {
                refusal(format!("{{{word}}} in {place}: this box has no label {label:?}"))
                    .hint(format!("give the box the label in agent.toml (labels = {{ {label} = … }}), or choose boxes that have it"))
            });
        }
        if let Some(number) = word.strip_prefix("port.") {
            let port = number.parse().ok().and_then(|at| self.port(at));
            return port.map(|port| port.to_string()).ok_or_else(|| {
                refusal(format!("{{{word}}} in {place}: the bundle's ports have no number {number} (the first is {{port.0}})"))
            });
        }
        Err(refusal(format!("{{{word}}} in {place} is no placeholder")))
    }

    /// The port with this number, counted from 0 through all ranges.
    fn port(&self, at: usize) -> Option<u16> {
        self.ports
            .iter()
            .flat_map(|range| range.first..=range.last)
            .nth(at)
    }
}

/// A label or fact as text.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(value) => value.clone(),
    }
}

fn refusal(reason: String) -> Refusal {
    Refusal::new(&rules::bundle::PLACEHOLDER, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, String> {
        let labels = BTreeMap::from([("rack".to_string(), Value::Number(2))]);
        let values = Values {
            named: BTreeMap::from([("box", "lab-1".to_string())]),
            labels: &labels,
            ports: &[
                PortRange {
                    first: 80,
                    last: 80,
                },
                PortRange {
                    first: 90,
                    last: 92,
                },
            ],
        };
        values
            .fill(text, "args")
            .map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn each_placeholder_becomes_its_value() {
        for (text, wanted) in [
            ("{box}:{label.rack}", "lab-1:2"),
            ("{port.0} {port.1} {port.3}", "80 90 92"),
            (
                "{bundle}/x {state} {instance}",
                "{bundle}/x {state} {instance}",
            ),
            ("{\"json\": {}}", "{\"json\": {}}"),
            ("{ box } {{box}} {{{box}", "{ box } {box} {{lab-1"),
            ("{{state}} ${{HOME}}", "{{state}} ${HOME}"),
            ("{box", "{box"),
            ("", ""),
        ] {
            assert_eq!(fill(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_has_no_value_is_refused_by_name() {
        for (text, wanted) in [
            ("{label.room}", "no label \"room\""),
            ("{port.4}", "no number 4"),
            ("{home}", "no placeholder"),
            ("{port.x}", "no number x"),
        ] {
            let error = fill(text).expect_err(text);
            assert!(
                error.contains(wanted) && error.contains("S-BUNDLE-14"),
                "{error}"
            );
        }
    }
}
