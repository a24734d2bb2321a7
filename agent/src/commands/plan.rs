//! `plan`: what a sync would do, without doing it.

use super::{Context, Outcome, ask, out, table, text};
use serde_json::Value;
use swarm_supervisor::protocol::{Query, Request};

/// Prints a line an action.
pub fn plan(context: &Context) -> Outcome {
    let (exit, body) = ask::body(context, &Request::Ask(Query::Plan))?;
    if context.json {
        out::json(&body)?;
        return Ok(exit);
    }
    let actions = body
        .get("actions")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let stands = super::sync::complaints(&body);
    for line in &stands {
        eprintln!("{line}");
    }
    if actions.is_empty() {
        if stands.is_empty() {
            eprintln!("Nothing would change.");
        }
        return Ok(exit);
    }
    let cell = |action: &Value, key: &str| {
        action
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_string()
    };
    let rows: Vec<Vec<String>> = actions
        .iter()
        .map(|action| {
            ["action", "workflow", "to", "reason"]
                .map(|key| cell(action, key))
                .to_vec()
        })
        .collect();
    out::raw(table::table(
        &["ACTION", "WORKFLOW", "VERSION", "REASON"],
        &rows,
        text::width(),
    ))?;
    Ok(exit)
}
