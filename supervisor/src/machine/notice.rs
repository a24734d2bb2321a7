//! What a program says of itself (`sd_notify(3)`): how it is, that it ends, that it needs longer. Pure.

use super::{Going, Phase, Readiness, Turn, wellness::ready_by};
use std::time::Duration;

/// A program may extend its start and its end to so many times what its bundle says, and no further: a kill ends.
pub(super) const LONGEST: u32 = 10;
/// The longest status that is kept, in characters.
const STATUS: usize = 200;

impl Turn {
    pub(super) fn status(&mut self, at: usize, text: &str) {
        if let Phase::Alive(alive) = &mut self.state.instances[at].phase {
            let text: String = text.trim().chars().take(STATUS).collect();
            alive.status = Some(text).filter(|text| !text.is_empty());
        }
    }

    /// It ends by itself: it is asked nothing any more, and has its grace.
    pub(super) fn going(&mut self, at: usize) {
        let grace = self.spec().map_or(Duration::ZERO, |spec| spec.stop.grace);
        let now = self.now.boot;
        let Phase::Alive(alive) = &self.state.instances[at].phase else {
            return;
        };
        if alive.going.is_some() {
            return;
        }
        let mut alive = alive.clone();
        alive.probe = None;
        alive.going = Some(Going {
            until: now + grace,
            latest: now + grace.saturating_mul(LONGEST),
        });
        self.enter(at, Phase::Alive(alive));
    }

    /// It said that it ends, and did not.
    pub(super) fn stays(&mut self, at: usize) {
        let reason = "it said STOPPING=1, and its grace is over".into();
        self.give_up(at, reason, false);
    }

    /// It needs `long` from now, for its start or its end. What it has already is not taken from it.
    pub(super) fn extend(&mut self, at: usize, long: Duration) {
        let wanted = self.now.boot + long;
        let ready = self.spec().and_then(|spec| spec.ready.clone());
        match &mut self.state.instances[at].phase {
            Phase::Stopping { until, latest, .. } => *until = wanted.min(*latest).max(*until),
            Phase::Alive(alive) => {
                if let Some(going) = &mut alive.going {
                    going.until = wanted.min(going.latest).max(going.until);
                } else if let Some(ready) = ready.filter(|_| alive.ready == Readiness::Awaited) {
                    let latest = alive.started + ready.timeout.saturating_mul(LONGEST);
                    let by = ready_by(alive, &ready);
                    alive.patience = Some(wanted.min(latest).max(by));
                }
            }
            _ => {}
        }
    }
}
