//! Rows of `list`, of one box or of one workflow. Pure.

use super::words;
use crate::shown::shown;
use maud::{Markup, html};
use swarm_manifests::status::{LastExit, Row};

/// What differs from row to row, and stands first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The rows are of one box.
    Workflow,
    /// The rows are of one workflow.
    Box,
}

/// The section of these rows.
pub fn section(rows: impl Iterator<Item = Row>, first: Column) -> Markup {
    let rows: Vec<_> = rows.collect();
    let (title, name) = if first == Column::Workflow {
        ("Workflows", "Workflow")
    } else {
        ("Boxes", "Box")
    };
    html! {
        section aria-labelledby="rows" {
            h2 #rows { (title) " " span.count { (rows.len()) } }
            @if rows.is_empty() {
                p.empty { "None." }
            } @else {
                table role="table" {
                    thead role="rowgroup" { tr role="row" {
                        @for title in [name, "Version", "State", "Up", "Restarts", "Memory", "By", "Commit"] { th role="columnheader" scope="col" { (title) } }
                    } }
                    @for row in &rows { tbody role="rowgroup" { (line(row, first)) } }
                }
            }
        }
    }
}

fn line(row: &Row, first: Column) -> Markup {
    let because = row.reason.as_ref().or(row.rule.as_ref()).is_some()
        || row.next.is_some()
        || row.last_exit.is_some();
    html! {
        tr role="row" .has-more[because] {
            th.name role="rowheader" scope="row" {
                @match first { Column::Workflow => (words::link("workflow", &row.workflow)), Column::Box => (words::link("box", &row.box_name)) }
                @if row.instance > 0 { span.quiet { " #" (row.instance) } }
            }
            td role="cell" data-title="Version" { (words::or_dash(row.version.as_ref())) }
            td role="cell" data-title="State" { (words::state(row.state.as_str())) }
            td.number role="cell" data-title="Up" { (up(row.up_s)) }
            td.number role="cell" data-title="Restarts" { (row.restarts) }
            td.number role="cell" data-title="Memory" { @match row.memory_bytes { Some(bytes) => (words::size(bytes)), None => span.quiet { "–" } } }
            td role="cell" data-title="By" { (words::or_dash(row.by.as_ref())) }
            td role="cell" data-title="Commit" { (words::commit(row.commit.as_ref())) }
        }
        @if because { tr.more role="row" { td role="cell" colspan="8" { (more(row)) } } }
    }
}

fn up(seconds: Option<f64>) -> Markup {
    #[allow(clippy::cast_possible_truncation, reason = "whole seconds are shown")]
    if let Some(seconds) = seconds {
        html! { (words::span(seconds as i64)) }
    } else {
        html! { span.quiet { "–" } }
    }
}

fn more(row: &Row) -> Markup {
    html! {
        @if let Some(reason) = &row.reason { span.why { (shown(reason)) } " " }
        @if let Some(rule) = &row.rule { code.rule { (shown(rule)) } " " }
        @if let Some(exit) = &row.last_exit { span.quiet { "last exit: " (exit_text(exit)) } " " }
        @if let Some(next) = &row.next {
            span.next { "next: " (words::or_dash(next.version.as_ref())) " " (words::state(next.state.as_str())) " " (shown(&next.reason)) }
            @if let Some(rule) = &next.rule { " " code.rule { (shown(rule)) } }
        }
    }
}

/// How a process ended, in words.
pub fn exit_text(exit: &LastExit) -> String {
    match exit {
        LastExit::Code { code } => format!("code {code}"),
        LastExit::Signal { signal } => shown(signal),
        LastExit::Unseen { .. } => "not seen".into(),
    }
}
