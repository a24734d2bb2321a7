//! `list`: the workflows, a row an instance.

use super::{Context, Outcome, ask, fleet, table, text};
use crate::cli::Fleet;
use std::time::Duration;
use swarm_manifests::status::Row;
use swarm_supervisor::protocol::Request;

/// Prints the rows of this box, or of the fleet.
pub fn list(context: &Context, narrowed: &Fleet) -> Outcome {
    let from_map = narrowed.is_asked_for();
    let rows = if from_map {
        fleet::rows(context, narrowed)?
    } else {
        ask::rows(context, &Request::List { full: context.json })?
    };
    if context.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&rows).map_err(anyhow::Error::from)?
        );
    } else if rows.is_empty() && from_map {
        eprintln!(
            "No workflow is on the boxes that are meant. swarm-agent status --map shows the boxes."
        );
    } else if rows.is_empty() {
        eprintln!(
            "No workflow is here. swarm-agent status says what this box trusts; swarm-agent sync looks at the repository now."
        );
    } else {
        print!("{}", lay_out(&rows, from_map, text::width()));
        remarks(&rows);
    }
    Ok(0)
}

fn lay_out(rows: &[Row], with_box: bool, width: Option<usize>) -> String {
    let mut heads = vec![
        "WORKFLOW", "VERSION", "STATE", "PID", "UP", "RESTARTS", "MEMORY", "BY",
    ];
    if with_box {
        heads.insert(0, "BOX");
    }
    let many = |row: &Row| {
        row.instance > 0
            || rows.iter().any(|other| {
                other.instance > 0
                    && other.workflow == row.workflow
                    && other.box_name == row.box_name
            })
    };
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let name = if many(row) {
                format!("{}/{}", row.workflow, row.instance)
            } else {
                row.workflow.clone()
            };
            let mut cells = vec![
                name,
                row.version.clone().unwrap_or_else(dash),
                row.state.as_str().to_string(),
                row.pid.map_or_else(dash, |pid| pid.to_string()),
                row.up_s.map_or_else(dash, |up| {
                    text::rough(Duration::from_secs_f64(up.clamp(0.0, 1e10)))
                }),
                row.restarts.to_string(),
                row.memory_bytes.map_or_else(dash, text::rough_bytes),
                row.by.clone().unwrap_or_else(dash),
            ];
            if with_box {
                cells.insert(0, row.box_name.clone());
            }
            cells
        })
        .collect();
    table::table(&heads, &cells, width)
}

fn dash() -> String {
    "-".into()
}

/// Below the table, as talk: why something is not as wanted.
fn remarks(rows: &[Row]) {
    let mut said = Vec::new();
    for line in rows.iter().flat_map(remarks_of) {
        // What holds for a workflow is said once, not for each instance.
        if !said.contains(&line) {
            eprintln!("{line}");
            said.push(line);
        }
    }
}

fn remarks_of(row: &Row) -> Vec<String> {
    use swarm_manifests::status::State::{Blocked, Failed, Refused, Waiting};
    let mut out = Vec::new();
    let place = format!("{} on {}", row.workflow, row.box_name);
    if matches!(row.state, Refused | Blocked | Failed | Waiting)
        && let Some(reason) = &row.reason
    {
        out.push(text::one_line(&format!(
            "{place}: {}: {reason}{}",
            row.state.as_str(),
            rule(row.rule.as_deref())
        )));
    }
    if let Some(next) = &row.next {
        let version = next.version.as_deref().unwrap_or("the next");
        out.push(text::one_line(&format!(
            "{place}: {version} is {}: {}{}",
            next.state.as_str(),
            next.reason,
            rule(next.rule.as_deref())
        )));
    }
    out
}

fn rule(id: Option<&str>) -> String {
    id.map_or_else(String::new, |id| format!(" [{id}]"))
}
