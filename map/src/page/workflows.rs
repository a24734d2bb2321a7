//! The workflows over all boxes. Pure.

use super::words;
use crate::{fleet::select::WorkflowView, shown::shown};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// How many versions of one workflow are named.
const NAMED: usize = 3;

/// The section.
pub fn section(workflows: &[WorkflowView]) -> Markup {
    html! {
        section aria-labelledby="workflows" {
            h2 #workflows { "Workflows " span.count { (workflows.len()) } }
            @if workflows.is_empty() {
                p.empty { "No box runs anything yet. " code { "swarm-pack up DIR" } " puts something there." }
            } @else {
                table role="table" {
                    thead role="rowgroup" { tr role="row" {
                        @for title in ["Workflow", "Version", "Boxes", "States", "By", "Commit"] { th role="columnheader" scope="col" { (title) } }
                    } }
                    tbody role="rowgroup" { @for view in workflows { (line(view)) } }
                }
            }
        }
    }
}

fn line(view: &WorkflowView) -> Markup {
    let boxes: BTreeSet<_> = view.boxes.iter().map(|row| &row.box_name).collect();
    html! {
        tr role="row" {
            th.name role="rowheader" scope="row" { (words::link("workflow", &view.workflow)) }
            td role="cell" data-title="Version" { (versions(view)) }
            td.number role="cell" data-title="Boxes" { (boxes.len()) }
            td role="cell" data-title="States" {
                @for (state, count) in &view.states { span.pair { (words::state(state)) @if *count > 1 { " " span.quiet { (count) } } } }
            }
            td role="cell" data-title="By" { (words::or_dash(view.by.as_ref())) }
            td role="cell" data-title="Commit" { (words::commit(view.commit.as_ref())) }
        }
    }
}

fn versions(view: &WorkflowView) -> Markup {
    html! {
        @if view.versions.is_empty() { span.quiet { "–" } }
        @for (at, version) in view.versions.iter().rev().take(NAMED).enumerate() {
            @if at > 0 { ", " }
            (shown(version))
        }
        @if view.versions.len() > NAMED { " and " (view.versions.len() - NAMED) " more" }
    }
}
