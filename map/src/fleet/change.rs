//! What is different between two looks at the fleet. Pure.

use super::{
    BoxView, Fleet,
    trunk::{self, Trunk},
};
use crate::feed::Change;
use std::collections::BTreeMap;
use swarm_manifests::status::Row;

/// The changes from `old` to `new`, box by box. That a box was seen again, and figures that grow by themselves, are none.
pub fn changes(old: &Fleet, new: &Fleet) -> Vec<Change> {
    let mut changes = Vec::new();
    if let (true, Some(trunk)) = (trunk::differ(&old.trunk, &new.trunk), &new.trunk) {
        changes.push(Change::Trunk(Box::new(Trunk::clone(trunk))));
    }
    let before: BTreeMap<_, _> = old.boxes.iter().map(|view| (&view.name, view)).collect();
    for view in &new.boxes {
        let was = before.get(&view.name).copied();
        if was.is_none_or(|was| essence(was) != essence(view)) {
            changes.push(Change::Box(Box::new(view.clone())));
        }
        row_changes(was, Some(view), &mut changes);
    }
    for was in old.boxes.iter().filter(|was| {
        new.boxes
            .binary_search_by(|view| view.name.cmp(&was.name))
            .is_err()
    }) {
        row_changes(Some(was), None, &mut changes);
    }
    changes
}

fn row_changes(old: Option<&BoxView>, new: Option<&BoxView>, changes: &mut Vec<Change>) {
    let keyed = |view: Option<&BoxView>| -> BTreeMap<(String, u16), Row> {
        let rows = view.map(|view| view.rows.as_slice()).unwrap_or_default();
        rows.iter()
            .map(|row| ((row.workflow.clone(), row.instance), row.clone()))
            .collect()
    };
    if let (Some(old), Some(new)) = (old, new)
        && std::sync::Arc::ptr_eq(&old.rows, &new.rows)
    {
        return;
    }
    let mut before = keyed(old);
    for (key, row) in keyed(new) {
        if before
            .remove(&key)
            .is_none_or(|was| still(&was) != still(&row))
        {
            changes.push(Change::Row(Box::new(row)));
        }
    }
    for ((workflow, instance), row) in before {
        changes.push(Change::Gone {
            box_name: row.box_name,
            workflow,
            instance,
        });
    }
}

fn essence(view: &BoxView) -> BoxView {
    BoxView {
        last_seen: None,
        rows_at: None,
        rows: std::sync::Arc::default(),
        ..view.clone()
    }
}

fn still(row: &Row) -> Row {
    Row {
        up_s: None,
        time_left_s: None,
        memory_bytes: None,
        cpu_s: None,
        ..row.clone()
    }
}
