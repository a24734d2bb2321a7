//! `list`: the workflows, a row an instance.

use super::{Context, Outcome, ask, fleet, out, table, text};
use crate::cli::Fleet;
use std::{collections::BTreeSet, time::Duration};
use swarm_manifests::{rules::trunk::MASS_REMOVAL, status::Row};
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
        out::json(&rows)?;
    } else if rows.is_empty() && from_map {
        eprintln!(
            "No workflow is on the boxes that are meant. swarm-agent status --map shows the boxes."
        );
    } else if rows.is_empty() {
        eprintln!(
            "No workflow is here. swarm-agent status says what this box trusts; swarm-agent sync looks at the repository now."
        );
    } else {
        out::raw(lay_out(&rows, from_map, text::width()))?;
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
    let place = |row: &Row| (row.box_name.clone(), row.workflow.clone());
    let further = rows.iter().filter(|row| row.instance > 0);
    let many: BTreeSet<_> = further.map(place).collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let name = if !many.is_empty() && many.contains(&place(row)) {
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
    for line in remarked(rows) {
        eprintln!("{line}");
    }
}

/// What holds for several workflows of a box alike is said once, for all of them; so is what holds for several instances.
fn remarked(rows: &[Row]) -> Vec<String> {
    let mut groups: Vec<(&str, String, Vec<String>)> = Vec::new();
    for row in rows {
        for said in remarks_of(row) {
            let same = |(place, text, _): &&mut (&str, String, Vec<String>)| {
                *place == row.box_name && *text == said
            };
            match groups.iter_mut().find(same) {
                Some((_, _, names)) if names.contains(&row.workflow) => {}
                Some((_, _, names)) => names.push(row.workflow.clone()),
                None => groups.push((&row.box_name, said, vec![row.workflow.clone()])),
            }
        }
    }
    groups
        .into_iter()
        .map(|(place, said, names)| {
            text::one_line(&format!("{} on {place}: {said}", text::some_of(&names)))
        })
        .collect()
}

fn remarks_of(row: &Row) -> Vec<String> {
    use swarm_manifests::status::State::{Blocked, Failed, Refused, Waiting};
    let mut out = Vec::new();
    if matches!(row.state, Refused | Blocked | Failed | Waiting)
        && let Some(reason) = &row.reason
    {
        out.push(format!(
            "{}: {reason}{}",
            row.state.as_str(),
            rule(row.rule.as_deref())
        ));
    }
    if let Some(next) = &row.next {
        let version = match &next.version {
            Some(version) => format!("{version} is "),
            // No version is to follow: what waits is the removal.
            None if next.rule.as_deref() == Some(MASS_REMOVAL.id) => "removal ".into(),
            None => "the next is ".into(),
        };
        out.push(format!(
            "{version}{}: {}{}",
            next.state.as_str(),
            next.reason,
            rule(next.rule.as_deref())
        ));
    }
    out
}

fn rule(id: Option<&str>) -> String {
    id.map_or_else(String::new, |id| format!(" [{id}]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_manifests::status::{Next, State};

    fn row(workflow: &str, instance: u16, reason: &str) -> Row {
        let row = serde_json::json!({"box": "b1", "workflow": workflow, "state": "running", "instance": instance, "restarts": 0});
        let row: Row = serde_json::from_value(row).expect("a row");
        let next = Next {
            version: None,
            commit: None,
            state: State::Waiting,
            reason: reason.into(),
            rule: Some("S-REMOVE-01".into()),
        };
        Row {
            next: Some(next),
            ..row
        }
    }

    #[test]
    fn what_holds_for_many_workflows_is_one_line() {
        let mut rows: Vec<Row> = ["a", "b", "c", "d", "e", "f"]
            .map(|name| row(name, 0, "6 were deleted"))
            .into();
        rows.push(row("a", 1, "6 were deleted"));
        rows.push(row("g", 0, "other"));
        assert_eq!(
            remarked(&rows),
            [
                "a, b, c and 3 more on b1: removal waiting: 6 were deleted [S-REMOVE-01]",
                "g on b1: removal waiting: other [S-REMOVE-01]"
            ]
        );
    }
}
