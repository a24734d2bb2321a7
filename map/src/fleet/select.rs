//! Which boxes and workflows are asked for, and in what portions. Pure.

use super::{BoxState, BoxView, Fleet};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use swarm_manifests::{
    name::Pattern,
    selector::{Selector, Verdict},
    status::{Row, State},
};

/// What is asked for; what is absent asks for everything.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Filter {
    pub selector: Option<Selector>,
    pub box_name: Option<Pattern>,
    pub box_state: Option<BoxState>,
    pub row_state: Option<State>,
    pub mode: Option<String>,
}

/// One workflow over all boxes, as `GET /v1/workflows` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkflowView {
    /// Its name.
    pub workflow: String,
    /// The bundle of its newest row.
    pub bundle: Option<String>,
    /// A row for each instance on each box.
    pub boxes: Vec<Row>,
    /// Every version that is there.
    pub versions: BTreeSet<String>,
    /// How many rows are in which state.
    pub states: BTreeMap<&'static str, usize>,
    /// Who brought what the newest row runs.
    pub by: Option<String>,
    /// With which commit.
    pub commit: Option<String>,
}

impl Filter {
    /// Whether the box is asked for.
    pub fn takes_box(&self, view: &BoxView) -> bool {
        self.box_name
            .as_ref()
            .is_none_or(|pattern| pattern.matches(view.name.as_str()))
            && self.box_state.is_none_or(|state| state == view.state)
            && self
                .selector
                .as_ref()
                .is_none_or(|selector| selector.choose(&view.selectable()) == Verdict::Chosen)
    }

    /// Whether the row, on a box that is asked for, is.
    pub fn takes_row(&self, row: &Row) -> bool {
        self.row_state.is_none_or(|state| state == row.state)
            && self
                .mode
                .as_ref()
                .is_none_or(|mode| row.mode.as_ref() == Some(mode))
    }
}

/// The boxes that are asked for, by name.
pub fn boxes<'a>(fleet: &'a Fleet, filter: &'a Filter) -> impl Iterator<Item = &'a BoxView> {
    fleet.boxes.iter().filter(|view| filter.takes_box(view))
}

/// The workflows of which some row is asked for, by name, with those rows.
pub fn workflows(fleet: &Fleet, filter: &Filter) -> Vec<WorkflowView> {
    let mut found: BTreeMap<&str, Vec<(&BoxView, &Row)>> = BTreeMap::new();
    for view in boxes(fleet, filter) {
        for row in view.rows.iter().filter(|row| filter.takes_row(row)) {
            found.entry(&row.workflow).or_default().push((view, row));
        }
    }
    found
        .into_iter()
        .map(|(workflow, rows)| gather(workflow, &rows))
        .collect()
}

fn gather(workflow: &str, rows: &[(&BoxView, &Row)]) -> WorkflowView {
    // The box that is furthest along the trunk says who is behind the workflow now.
    let newest = rows
        .iter()
        .max_by_key(|(view, row)| (row.commit.is_some(), view.position))
        .map(|(_, row)| *row);
    let mut states = BTreeMap::new();
    for (_, row) in rows {
        *states.entry(row.state.as_str()).or_default() += 1;
    }
    WorkflowView {
        workflow: workflow.to_owned(),
        bundle: newest.and_then(|row| row.bundle.clone()),
        boxes: rows.iter().map(|(view, row)| view.by_now(row)).collect(),
        versions: rows
            .iter()
            .filter_map(|(_, row)| row.version.clone())
            .collect(),
        states,
        by: newest.and_then(|row| row.by.clone()),
        commit: newest.and_then(|row| row.commit.clone()),
    }
}

/// A portion of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// The cursor that asks for the following ones; none at the end.
    pub next: Option<String>,
}

/// The portion after the cursor, of items that are sorted by `key`.
pub fn page<T>(
    items: impl Iterator<Item = T>,
    key: impl Fn(&T) -> String,
    cursor: Option<&str>,
    limit: usize,
) -> Page<T> {
    let mut rest = items.filter(|item| cursor.is_none_or(|cursor| key(item).as_str() > cursor));
    let items: Vec<T> = rest.by_ref().take(limit).collect();
    let next = if rest.next().is_some() {
        items.last().map(key)
    } else {
        None
    };
    Page { items, next }
}
