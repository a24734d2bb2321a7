//! What is around the content: head, title, the figures at the top. Pure.

use super::{STYLE, words};
use crate::{
    fleet::{BoxState, Fleet},
    shown::shown,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cg fill='%232f7d6b'%3E%3Ccircle cx='4' cy='5' r='2.4'/%3E%3Ccircle cx='11.5' cy='4' r='2'/%3E%3Ccircle cx='8.5' cy='11.5' r='2.8'/%3E%3C/g%3E%3C/svg%3E";

/// The whole page around its content.
pub fn whole(title: &str, content: &Markup) -> Markup {
    let title = if title == "Swarmlet" {
        "Swarmlet map".to_owned()
    } else {
        format!("{} · Swarmlet map", shown(title))
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
                noscript { meta http-equiv="refresh" content="30"; }
                script src="/page.js" defer {}
            }
            body {
                header.top {
                    a.brand href="/" { (mark()) span { "Swarmlet" } span.quiet { "map" } }
                    p #link .live role="status" hidden { "live" }
                }
                main #live { (content) }
                footer { p.quiet { "Boxes decide for themselves what they run. This page only shows what they say." } }
            }
        }
    }
}

fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 16 16" width="18" height="18" aria-hidden="true" focusable="false" {
            circle cx="4" cy="5" r="2.4" {}
            circle cx="11.5" cy="4" r="2" {}
            circle cx="8.5" cy="11.5" r="2.8" {}
        }
    }
}

/// A page with one sentence.
pub fn nothing(text: &str) -> Markup {
    html! { section { h1 { "Swarmlet map" } p.empty { (shown(text)) } p { a href="/" { "The whole fleet" } } } }
}

/// The title of a part, and the way back.
pub fn way_back(name: &str, kind: &str) -> Markup {
    html! {
        nav.back aria-label="Breadcrumb" { a href="/" { "Fleet" } span.quiet aria-hidden="true" { "/" } span.quiet { (kind) } }
        h1 { (shown(name)) }
    }
}

/// The figures at the top.
pub fn summary(fleet: &Fleet, workflows: usize) -> Markup {
    let count = |state: BoxState| {
        fleet
            .boxes
            .iter()
            .filter(|view| view.state == state)
            .count()
    };
    let running: usize = fleet.boxes.iter().map(|view| view.running).sum();
    let wrong: usize = fleet.boxes.iter().map(|view| view.wrong).sum();
    html! {
        h1.unseen { "The fleet" }
        dl.figures {
            div { dt { "Boxes" } dd { (fleet.boxes.len()) } }
            @for state in [BoxState::Online, BoxState::Stale, BoxState::Late, BoxState::Offline, BoxState::Pending] {
                @if count(state) > 0 || state == BoxState::Online {
                    div { dt { (words::state(state.as_str())) } dd { (count(state)) } }
                }
            }
            div.gap { dt { "Workflows" } dd { (workflows) } }
            div { dt { (words::state("running")) } dd { (running) } }
            @if wrong > 0 { div { dt { span.state.bad { "wrong" } } dd { (wrong) } } }
        }
    }
}
