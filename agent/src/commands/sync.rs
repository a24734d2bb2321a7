//! `sync`: looks now, and waits until each changed workflow has settled.

use super::{Context, Failure, Outcome, ask, text};
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
        println!(
            "{}",
            serde_json::to_string_pretty(&body).map_err(anyhow::Error::from)?
        );
        return Ok(exit);
    }
    for line in lines(&body) {
        println!("{line}");
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
    for row in body
        .get("workflows")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let reason = word(row, "reason").map_or_else(String::new, |reason| format!(": {reason}"));
        let rule = word(row, "rule").map_or_else(String::new, |rule| format!(" [{rule}]"));
        let version = word(row, "version").unwrap_or_else(|| "-".into());
        out.push(format!(
            "{} {version} {}{reason}{rule}",
            word(row, "workflow").unwrap_or_default(),
            word(row, "state").unwrap_or_default()
        ));
    }
    if let Some(trouble) = body.get("trouble").filter(|trouble| trouble.is_object()) {
        out.push(format!(
            "refused: {} [{}]",
            word(trouble, "reason").unwrap_or_default(),
            word(trouble, "rule").unwrap_or_default()
        ));
        if let Some(hint) = word(trouble, "hint") {
            out.push(format!("  hint: {hint}"));
        }
    }
    out
}
