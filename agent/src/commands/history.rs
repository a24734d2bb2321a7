//! `history`: the box's own journal, or the map's audit.

use super::{Context, Failure, Outcome, ask, fleet, out, text};
use crate::cli::Fleet;
use serde_json::Value;
use swarm_manifests::report::Event;
use swarm_supervisor::protocol::{Request, Response};

/// Prints the records, newest first.
pub fn history(
    context: &Context,
    workflow: Option<String>,
    verify: bool,
    narrowed: &Fleet,
) -> Outcome {
    if narrowed.is_asked_for() {
        let body = fleet::audit(context, workflow.as_deref(), narrowed)?;
        if context.json {
            out::json(&body)?;
        } else {
            for row in &body {
                out::line(of_the_fleet(row))?;
            }
        }
        return Ok(0);
    }
    let mut kept = Vec::new();
    let mut any = false;
    let request = Request::History {
        workflow: workflow.clone(),
        verify,
    };
    let exit = ask::each(context, &request, |response| {
        match response {
            Response::Record(event) if context.json => kept.push(event),
            Response::Record(event) => out::line(written(&event))?,
            _ => return Ok(()),
        }
        any = true;
        Ok(())
    })
    .map_err(|failure| match failure.exit {
        1 if verify => failure.knowing(serde_json::json!({"whole": false})),
        _ => failure,
    })?;
    if let Some(name) = workflow.filter(|_| !any && !verify) {
        return Err(Failure::with(
            3,
            format!("the journal has no record of a workflow {name:?}"),
        )
        .hint("swarm-agent history shows them all"));
    }
    if verify && context.json {
        out::line(serde_json::json!({"whole": exit == 0}))?;
    } else if context.json {
        out::json(&kept)?;
    } else if !any && !verify {
        eprintln!("The journal has no such record.");
    }
    Ok(exit)
}

/// A row of the map's audit: as a record of the journal, with its box.
fn of_the_fleet(row: &Value) -> String {
    let place = row.get("box").and_then(Value::as_str).unwrap_or("the map");
    serde_json::from_value::<Event>(row.clone()).map_or_else(
        |_| text::one_line(&row.to_string()),
        |event| format!("{} {}", text::one_line(place), written(&event)),
    )
}

fn written(event: &Event) -> String {
    let mut words = vec![event.time.clone(), event.action.clone()];
    words.extend(event.workflow.clone());
    words.extend(event.version.clone());
    words.extend(event.by.as_ref().map(|by| format!("by {by}")));
    words.extend(
        event
            .commit
            .as_ref()
            .map(|commit| format!("commit {}", commit.get(..10).unwrap_or(commit))),
    );
    words.extend(
        event
            .exit
            .as_ref()
            .and_then(|exit| serde_json::to_string(exit).ok()),
    );
    words.extend(event.reason.as_ref().map(|reason| format!("- {reason}")));
    words.extend(event.rule.as_ref().map(|rule| format!("[{rule}]")));
    text::one_line(&words.join(" "))
}
