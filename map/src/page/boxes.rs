//! The boxes: a table, on a phone a list of cards; and one box in full. Pure.

use super::words;
use crate::{
    fleet::{BoxView, Fleet},
    shown::shown,
};
use jiff::Timestamp;
use maud::{Markup, html};
use std::collections::BTreeMap;
use swarm_manifests::facts::Value;

/// The section of all boxes.
pub fn section(fleet: &Fleet, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="boxes" {
            h2 #boxes { "Boxes " span.count { (fleet.boxes.len()) } }
            @if fleet.boxes.is_empty() {
                p.empty { "No box yet. " code { "swarm-map token --box NAME" } " makes a token that lets one in." }
            } @else {
                table role="table" {
                    thead role="rowgroup" { tr role="row" {
                        @for title in ["Box", "State", "Position", "Commit", "Running", "Labels", "Seen"] { th role="columnheader" scope="col" { (title) } }
                    } }
                    tbody role="rowgroup" { @for view in &fleet.boxes { (line(view, now)) } }
                }
            }
        }
    }
}

fn line(view: &BoxView, now: Timestamp) -> Markup {
    html! {
        tr role="row" {
            th.name role="rowheader" scope="row" { (words::link("box", view.name.as_str())) }
            td role="cell" data-title="State" { (words::state(view.state.as_str())) }
            td.number role="cell" data-title="Position" { @match view.position { Some(position) => (position), None => span.quiet { "–" } } }
            td role="cell" data-title="Commit" { (words::commit(view.commit.as_ref())) }
            td role="cell" data-title="Running" {
                (view.running) span.quiet { " of " (view.rows.len()) }
                @if view.wrong > 0 { " " span.state.bad { (view.wrong) " wrong" } }
            }
            td role="cell" data-title="Labels" { (chips(&view.labels)) }
            td role="cell" data-title="Seen" { (words::ago(view.last_seen, now)) }
        }
    }
}

fn chips(values: &BTreeMap<String, Value>) -> Markup {
    html! {
        @if values.is_empty() { span.quiet { "–" } }
        @for (name, value) in values {
            span.chip { span.quiet { (shown(name)) } " " (value_text(value)) }
        }
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => shown(text),
    }
}

/// A fact as people read it: memory in bytes is unreadable.
fn fact_text(name: &str, value: &Value) -> String {
    match value {
        Value::Number(bytes) if name == "memory" => words::size(u64::try_from(*bytes).unwrap_or(0)),
        value => value_text(value),
    }
}

/// One box in full.
pub fn detail(view: &BoxView, now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="about" {
            h2 #about { "About this box" }
            dl.facts {
                dt { "State" } dd { (words::state(view.state.as_str())) @if let Some(since) = view.since { " " span.quiet { "since " (words::ago(Some(since), now)) } } }
                dt { "Seen" } dd { (words::ago(view.last_seen, now)) }
                dt { "Trusts" } dd { (words::commit(view.commit.as_ref())) @if let Some(position) = view.position { " " span.quiet { "position " (position) } } }
                dt { "Remote is at" } dd { (words::commit(view.remote_head.as_ref())) }
                dt { "Labels" } dd { (chips(&view.labels)) }
                @for (name, value) in &view.facts { dt { (shown(name)) } dd { (fact_text(name, value)) } }
                @if let Some((latitude, longitude)) = view.location { dt { "Location" } dd { (format!("{latitude:.4}, {longitude:.4}")) } }
                dt { "Agent" } dd { (words::or_dash(view.agent_version.as_ref())) }
                dt { "Protections" } dd { @if view.protections.is_empty() { span.quiet { "–" } } @for protection in &view.protections { span.chip { (shown(protection)) } } }
            }
        }
    }
}
