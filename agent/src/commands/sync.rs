//! `sync`: looks now, and waits until each changed workflow has settled.

use super::{Context, Failure, Outcome, ask, out, text};
use serde_json::Value;
use swarm_manifests::units::parse_duration;
use swarm_supervisor::protocol::{Query, Request};

/// Exit code 1 where anything was refused, 5 where the remote cannot be reached.
pub fn sync(context: &Context, timeout: &str) -> Outcome {
    let timeout =
        parse_duration(timeout).map_err(|error| Failure::with(2, format!("--timeout: {error}")))?;
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let (exit, body) = ask::body(context, &Request::Ask(Query::Sync { timeout_ms }))?;
    if context.json {
        out::json(&body)?;
        return Ok(exit);
    }
    for line in lines(&body) {
        out::line(line)?;
    }
    for line in complaints(&body) {
        eprintln!("{line}");
    }
    Ok(exit)
}

fn lines(body: &Value) -> Vec<String> {
    let word =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(text::one_line);
    let mut out = Vec::new();
    if let Some(commit) = word(body, "commit") {
        let position = body
            .get("position")
            .and_then(Value::as_u64)
            .map_or_else(String::new, |at| format!(" (position {at})"));
        out.push(format!(
            "at {}{position}",
            commit.get(..10).unwrap_or(&commit)
        ));
    }
    out
}

/// What was refused and what could not be reached, each with what to do; who has not settled yet.
pub fn complaints(body: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let refused = body.get("refused").and_then(Value::as_array);
    let standing = ["trouble", "failure"]
        .into_iter()
        .filter_map(|key| body.get(key).filter(|value| value.is_object()));
    for one in standing.chain(refused.into_iter().flatten()) {
        let word = |key: &str| one.get(key).and_then(Value::as_str).map(text::one_line);
        let who = word("workflow").map_or_else(String::new, |name| format!("{name}: "));
        let rule = word("rule").map_or_else(String::new, |rule| format!(" [{rule}]"));
        let line = format!("{who}{}{rule}", word("reason").unwrap_or_default());
        if out.contains(&line) {
            continue;
        }
        out.push(line);
        out.extend(word("hint").map(|hint| format!("  hint: {hint}")));
    }
    out.extend(held(body));
    let moving = body.get("moving").and_then(Value::as_array);
    for name in moving.into_iter().flatten().filter_map(Value::as_str) {
        out.push(format!("{}: not settled yet", text::one_line(name)));
    }
    if out.is_empty() && body.get("timed_out").and_then(Value::as_bool) == Some(true) {
        out.push("the look was not over in time; it goes on (--timeout gives it longer)".into());
    }
    out
}

/// A mass removal that waits: whose, why, and how it is allowed. Nothing was refused by that.
fn held(body: &Value) -> Vec<String> {
    let Some(held) = body.get("held").filter(|held| held.is_object()) else {
        return Vec::new();
    };
    let word = |key: &str| held.get(key).and_then(Value::as_str).map(text::one_line);
    let names = held.get("workflows").and_then(Value::as_array);
    let names: Vec<String> = names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(text::one_line)
        .collect();
    let removals = if names.len() == 1 {
        "1 removal is".to_string()
    } else {
        format!("{} removals are", names.len())
    };
    let line = format!(
        "{removals} held ({}): {} [{}]",
        text::some_of(&names),
        word("reason").unwrap_or_default(),
        word("rule").unwrap_or_default()
    );
    let hint = word("hint").map(|hint| format!("  hint: {hint}"));
    [line].into_iter().chain(hint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_removal_is_one_line_with_how_to_allow_it() {
        let held = serde_json::json!({"workflows": ["a", "b", "c", "d", "e"], "reason": "5 of the 6 were deleted", "rule": "S-REMOVE-01", "hint": "say so"});
        let told = complaints(&serde_json::json!({"held": held}));
        let line =
            "5 removals are held (a, b, c and 2 more): 5 of the 6 were deleted [S-REMOVE-01]";
        assert_eq!(told, [line, "  hint: say so"]);
        assert!(complaints(&serde_json::json!({"held": null})).is_empty());
    }
}
