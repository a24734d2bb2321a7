//! `why`: the chain from commit and signer through every check to the present state, or to the refusal; and what one that failed
//! printed last.

use super::{Context, Failure, Outcome, ask, fleet, logs, out, text};
use crate::cli::Fleet;
use serde_json::{Value, json};
use swarm_manifests::status::{Row, State};
use swarm_supervisor::protocol::{LogLine, Query, Request, Response};

/// Lines of one that failed for good.
const MOST: usize = 200;
/// Lines of one that ended badly, and may go on.
const SOME: usize = 10;

/// Prints the chain.
pub fn why(context: &Context, name: &str, narrowed: &Fleet) -> Outcome {
    let (exit, body) = if narrowed.is_asked_for() {
        (0, fleet::workflow(context, name, narrowed)?)
    } else {
        here(context, name)?
    };
    if context.json {
        out::json(&body)?;
    } else if let Some(rows) = body.get("boxes").and_then(Value::as_array) {
        for row in rows {
            let place = row.get("box").and_then(Value::as_str).unwrap_or_default();
            out::raw(written(&format!("{name} on {place}"), row))?;
            out::raw(of_the_fleet(row))?;
        }
    } else {
        out::raw(written(name, &body))?;
    }
    Ok(exit)
}

/// The chain on this box, with what is measured and printed now.
fn here(context: &Context, name: &str) -> Result<(u8, Value), Failure> {
    let workflow = name.into();
    let (exit, mut body) = match ask::body(context, &Request::Ask(Query::Why { workflow })) {
        Err(failure) if failure.exit == 3 && was_here(context, name)? => {
            let message = format!("{name:?} is not here any more");
            return Err(Failure::with(3, message).hint(format!(
                "its past is kept: swarm-agent history {name}; swarm-agent logs {name}"
            )));
        }
        Err(failure) if !context.json => {
            let rows = failure.known.get("rows").and_then(Value::as_array);
            for row in rows.into_iter().flatten() {
                out::raw(written(name, row))?;
            }
            return Err(failure);
        }
        answered => answered?,
    };
    if body.get("rows").is_some_and(Value::is_array) {
        // What the agent heard last may be old: the supervisor measures now.
        body["rows"] = json!(live(context, name)?);
    }
    if let Some(count) = lines_wanted(&body) {
        body["output"] = json!(printed_last(context, name, count)?);
    }
    Ok((exit, body))
}

fn written(name: &str, body: &Value) -> String {
    let word = |key: &str| body.get(key).and_then(Value::as_str).map(text::shown);
    let mut out = text::shown(name);
    for part in ["state", "reason"].into_iter().filter_map(word) {
        out += &format!(": {part}");
    }
    if let Some(rule) = word("rule") {
        out += &format!(" [{rule}]");
    }
    out.push('\n');
    for step in body
        .get("steps")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let mark = match step.get("ok").and_then(Value::as_bool) {
            Some(true) => "ok",
            Some(false) => "NO",
            None => "--",
        };
        let part = |key: &str| {
            step.get(key)
                .and_then(Value::as_str)
                .map(text::shown)
                .unwrap_or_default()
        };
        out += &format!(
            "  {mark}  {}: {}\n",
            part("what"),
            part("detail").replace('\n', "\n        ")
        );
    }
    if let Some(hint) = word("hint") {
        out += &format!("  hint: {hint}\n");
    }
    out + &printed(body)
}

/// What the map knows of one instance; each check of the chain only its box does.
fn of_the_fleet(row: &Value) -> String {
    let Ok(row) = serde_json::from_value::<Row>(row.clone()) else {
        return String::new();
    };
    let version = [row.bundle, row.version]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    let short = |commit: String| commit.chars().take(10).collect::<String>();
    let exit = row
        .last_exit
        .and_then(|exit| serde_json::to_string(&exit).ok());
    let next = row.next.map(|next| {
        let rule = next.rule.map_or(String::new(), |rule| format!(" [{rule}]"));
        format!("{}: {}{rule}", next.state.as_str(), next.reason)
    });
    [
        (
            "bundle",
            Some(version).filter(|version| !version.is_empty()),
        ),
        ("digest", row.digest),
        ("commit", row.commit.map(short)),
        ("by", row.by),
        ("since", row.since),
        ("last exit", exit),
        ("next", next),
    ]
    .into_iter()
    .filter_map(|(what, detail)| Some(format!("  --  {what}: {}\n", text::one_line(&detail?))))
    .chain([format!(
        "  hint: on the box, swarm-agent why {} shows each check\n",
        row.workflow
    )])
    .collect()
}

/// How much of its output says why it is as it is.
fn lines_wanted(body: &Value) -> Option<usize> {
    match serde_json::from_value(body.get("state")?.clone()).ok()? {
        State::Failed => Some(MOST),
        State::Backoff | State::Expired | State::Interrupted => Some(SOME),
        _ => None,
    }
}

/// The rows of one workflow as `list --json` has them.
fn live(context: &Context, name: &str) -> Result<Vec<Row>, Failure> {
    let mut rows = ask::rows(context, &Request::List { full: true })?;
    rows.retain(|row| row.workflow == name);
    Ok(rows)
}

/// Whether the journal knows it.
fn was_here(context: &Context, name: &str) -> Result<bool, Failure> {
    let request = Request::History {
        workflow: Some(name.into()),
        verify: false,
    };
    let mut any = false;
    ask::each(context, &request, |response| {
        any |= matches!(response, Response::Record(_));
        Ok(())
    })?;
    Ok(any)
}

fn printed_last(context: &Context, name: &str, count: usize) -> Result<Vec<LogLine>, Failure> {
    let request = Request::Logs {
        workflow: name.into(),
        follow: false,
        lines: Some(count),
        since_unix_ms: None,
    };
    let mut lines = Vec::new();
    ask::each(context, &request, |response| {
        lines.extend(logs::line(response));
        Ok(())
    })?;
    Ok(lines)
}

fn printed(body: &Value) -> String {
    let lines = body.get("output").cloned().unwrap_or_default();
    let lines: Vec<LogLine> = serde_json::from_value(lines).unwrap_or_default();
    if lines.is_empty() {
        return String::new();
    }
    let are_several = lines.iter().any(|line| line.instance > 0);
    let lines = lines
        .iter()
        .map(|line| format!("    {}\n", logs::written(line, are_several)));
    format!("  it printed last:\n{}", lines.collect::<String>())
}
