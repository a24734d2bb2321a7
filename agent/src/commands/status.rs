//! `status`: this box, or the boxes of the fleet.

use super::{Context, Outcome, ask, fleet, out, text};
use crate::cli::Fleet;
use serde_json::Value;
use swarm_supervisor::protocol::{Query, Request};

/// Prints it.
pub fn status(context: &Context, narrowed: &Fleet) -> Outcome {
    let (exit, body) = if narrowed.is_asked_for() {
        (0, fleet::boxes(context, narrowed)?)
    } else {
        let (exit, mut body) = match ask::body(context, &Request::Ask(Query::Status)) {
            Err(failure) if !context.json => {
                out::raw(outline(&failure.known, 0))?;
                return Err(failure);
            }
            answered => answered?,
        };
        let warnings = body.get_mut("warnings").and_then(Value::as_array_mut);
        if let (Some(warnings), Some(wrong)) = (warnings, ask::wrong_settings(context)) {
            warnings.push(wrong.into());
        }
        (exit, body)
    };
    if context.json {
        out::json(&body)?;
        return Ok(exit);
    }
    match &body {
        Value::Array(boxes) => boxes
            .iter()
            .try_for_each(|one| out::line(outline(one, 0)))?,
        one => out::raw(outline(&spoken(one), 0))?,
    }
    Ok(exit)
}

/// What a person looks for stands there, also where there is none of it.
fn spoken(body: &Value) -> Value {
    let mut body = body.clone();
    for key in ["map", "refusals", "warnings"] {
        let Some(value) = body.get_mut(key) else {
            continue;
        };
        if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
            *value = "none".into();
        }
    }
    body
}

/// A value as indented `key: value` lines; what is null or empty is left out.
fn outline(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    let mut out = String::new();
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (key, value) in map {
                let key = text::one_line(key);
                match value {
                    Value::Null => {}
                    Value::Object(inner) if inner.is_empty() => {}
                    Value::Array(inner) if inner.is_empty() => {}
                    Value::Object(_) | Value::Array(_) => {
                        out += &format!("{indent}{key}:\n{}", outline(value, depth + 1));
                    }
                    plain => out += &format!("{indent}{key}: {}\n", scalar(plain)),
                }
            }
        }
        Value::Array(list) => {
            for item in list {
                match item {
                    Value::Object(_) => out += &format!("{indent}-\n{}", outline(item, depth + 1)),
                    plain => out += &format!("{indent}- {}\n", scalar(plain)),
                }
            }
        }
        plain => out += &format!("{indent}{}\n", scalar(plain)),
    }
    out
}

fn scalar(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), text::one_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_said_to_be_absent() {
        let body = serde_json::json!({"box": "b", "map": null, "failure": null, "refusals": ["x"], "warnings": []});
        assert_eq!(
            outline(&spoken(&body), 0),
            "box: b\nmap: none\nrefusals:\n  - x\nwarnings: none\n"
        );
    }

    #[test]
    fn nulls_and_empty_lists_are_left_out() {
        let body = serde_json::json!({"box": "b", "map": null, "warnings": [], "facts": {"os": "linux"}, "refusals": [{"rule": "S"}, "x"]});
        assert_eq!(
            outline(&body, 0),
            "box: b\nfacts:\n  os: linux\nrefusals:\n  -\n    rule: S\n  - x\n"
        );
    }
}
