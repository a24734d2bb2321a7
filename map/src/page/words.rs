//! Times, sizes and small marks as people read them. Pure.

use crate::shown::shown;
use jiff::Timestamp;
use maud::{Markup, html};
use std::fmt::Write as _;

/// `12.4 MB`, for people.
pub fn size(bytes: u64) -> String {
    let mut text = String::new();
    #[allow(
        clippy::cast_precision_loss,
        reason = "one digit behind the point is shown"
    )]
    let bytes = bytes as f64;
    let _ = match bytes {
        b if b >= 1e9 => write!(text, "{:.1} GB", b / 1e9),
        b if b >= 1e6 => write!(text, "{:.1} MB", b / 1e6),
        b if b >= 1e3 => write!(text, "{:.0} kB", b / 1e3),
        b => write!(text, "{b:.0} B"),
    };
    text
}

/// `45 s`, `12 min`, `3 h`, `5 d`.
pub fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// A moment, as how long ago it was; the exact time is beneath.
pub fn ago(time: Option<Timestamp>, now: Timestamp) -> Markup {
    let Some(time) = time else {
        return html! { span.quiet { "never" } };
    };
    let seconds = now.duration_since(time).as_secs();
    let text = if seconds < 5 {
        "just now".to_owned()
    } else {
        format!("{} ago", span(seconds))
    };
    let exact = format!("{time:.0}");
    html! { time datetime=(exact) title=(exact) { (text) } }
}

/// A commit, short; the whole one is beneath.
pub fn commit(id: Option<&String>) -> Markup {
    let Some(id) = id else {
        return html! { span.quiet { "–" } };
    };
    let short: String = id.chars().take(10).collect();
    html! { code title=(shown(id)) { (shown(&short)) } }
}

/// Text, or a dash.
pub fn or_dash(text: Option<&String>) -> Markup {
    if let Some(text) = text {
        html! { (shown(text)) }
    } else {
        html! { span.quiet { "–" } }
    }
}

/// How a state looks: good, busy, bad, or neither.
pub fn tone(state: &str) -> &'static str {
    match state {
        "online" | "running" | "ready" => "good",
        "fetching" | "installing" | "starting" | "stopping" | "waiting" | "pending" => "busy",
        "late" | "stale" | "backoff" | "interrupted" | "blocked" | "dropped" | "warning"
        | "mirror" => "warn",
        "forked" | "offline" | "failed" | "refused" | "stopped" => "bad",
        _ => "still",
    }
}

/// A state with its mark: never by colour alone.
pub fn state(state: &str) -> Markup {
    html! { span class={ "state " (tone(state)) } { (state) } }
}

/// A link to a box or a workflow; only what is a name becomes an address.
pub fn link(kind: &str, name: &str) -> Markup {
    if let Ok(name) = swarm_manifests::name::Name::new(name) {
        html! { a href={ "/?" (kind) "=" (name) } { (name) } }
    } else {
        html! { (shown(name)) }
    }
}
