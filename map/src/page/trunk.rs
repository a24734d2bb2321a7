//! Where the trunk stands, in a line. Pure.

use super::words;
use crate::{fleet::trunk::Known, shown::shown};
use jiff::Timestamp;
use maud::{Markup, html};

/// The line; nothing where this map mirrors no repository.
pub fn line(known: &Known, now: Timestamp) -> Markup {
    let Some(trunk) = known else {
        return html! {};
    };
    html! {
        p.trunk {
            span { "Trunk " strong { (shown(&trunk.branch)) } }
            @match &trunk.head {
                Some(head) => {
                    span { "position " strong { (head.position) } }
                    span { "commit " (words::commit(Some(&head.commit))) }
                    span { "verified " (words::ago(Some(head.since), now)) }
                }
                None => span { "not verified yet" },
            }
            span.from { "from " (shown(&trunk.repository)) @if trunk.looked.is_some() { ", looked " (words::ago(trunk.looked, now)) } }
        }
    }
}
