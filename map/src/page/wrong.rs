//! What is wrong, the worst first. Pure.

use super::words;
use crate::{
    fleet::{
        Fleet,
        wrong::{Wrong, wrongs},
    },
    shown::shown,
};
use maud::{Markup, html};

/// How many boxes of one trouble are named.
const NAMED: usize = 6;

/// The section; where nothing is wrong it says so.
pub fn section(fleet: &Fleet) -> Markup {
    let wrongs = wrongs(fleet);
    html! {
        section aria-labelledby="wrong" {
            h2 #wrong { "Wrong now" @if !wrongs.is_empty() { " " span.count { (wrongs.len()) } } }
            @if wrongs.is_empty() {
                p.calm { (tick()) "Nothing. Everything that should run, runs." }
            } @else {
                ul.wrongs { @for wrong in &wrongs { (item(wrong)) } }
            }
        }
    }
}

fn item(wrong: &Wrong) -> Markup {
    html! {
        li class={ "wrong " (words::tone(wrong.kind.as_str())) } {
            p.what {
                (words::state(wrong.kind.as_str()))
                @if let Some(workflow) = &wrong.workflow { strong { (words::link("workflow", workflow)) } }
                span.where {
                    @if wrong.boxes.is_empty() { "this map's mirror" }
                    @for (at, name) in wrong.boxes.iter().take(NAMED).enumerate() {
                        @if at > 0 { ", " }
                        (words::link("box", name))
                    }
                    @if wrong.boxes.len() > NAMED { " and " (wrong.boxes.len() - NAMED) " more" }
                }
            }
            p.why { (shown(&wrong.reason)) }
            @if wrong.rule.is_some() || wrong.commit.is_some() || wrong.hint.is_some() {
                p.meta {
                    @if let Some(rule) = &wrong.rule { code.rule { (shown(rule)) } }
                    @if let Some(hint) = &wrong.hint { span.hint { (shown(hint)) } }
                    @if let Some(commit) = &wrong.commit { span.at { "commit " (words::commit(Some(commit))) } }
                }
            }
        }
    }
}

fn tick() -> Markup {
    html! { svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" { path d="M3 8.5l3.2 3.2L13 5" {} } }
}
