//! What happened lately. Pure.

use super::{rows, words};
use crate::{
    shown::shown,
    store::audit::{Entry, Source},
};
use jiff::Timestamp;
use maud::{Markup, html};

/// The section; `query` narrows the link to the rest.
pub fn section(entries: &[Entry], now: Timestamp, query: &str) -> Markup {
    html! {
        section aria-labelledby="audit" {
            h2 #audit { "Lately" }
            @if entries.is_empty() {
                p.empty { "Nothing yet." }
            } @else {
                ol.log reversed { @for entry in entries { (line(entry, now)) } }
                p.rest { a href={ "/v1/audit" (query) } { "The whole audit, as JSON" } }
            }
        }
    }
}

fn line(entry: &Entry, now: Timestamp) -> Markup {
    let event = &entry.body.event;
    html! {
        li {
            span.when { (words::ago(entry.body.received.parse().ok(), now)) }
            span.action { (shown(&event.action)) }
            span.what {
                @if let Some(workflow) = &event.workflow {
                    strong { (words::link("workflow", workflow)) }
                    @if let Some(version) = &event.version { " " (shown(version)) }
                    " on "
                }
                (words::link("box", entry.body.box_name.as_str()))
                @if let Some(by) = &event.by { " by " strong title=[event.key.as_deref().map(shown)] { (shown(by)) } }
                @if let Some(commit) = &event.commit { " " (words::commit(Some(commit))) }
                @if let Some(exit) = &event.exit { " " span.quiet { (rows::exit_text(exit)) } }
                @if let Some(rule) = &event.rule { " " code.rule { (shown(rule)) } }
                @if entry.body.source == Source::Map { " " span.quiet { "(this map)" } }
                @if let Some(reason) = &event.reason { span.why { (shown(reason)) } }
            }
        }
    }
}
