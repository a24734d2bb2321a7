//! When to look: at each nudge, at the next poll, sooner after a promise, later after failures. Pure.

use std::time::Duration;

/// How long, and how often, one looks again when somebody promised something new.
const PROMISED_FOR: Duration = Duration::from_secs(30);
const PROMISED_EVERY: Duration = Duration::from_secs(2);
/// The first pause after a failure, and the longest where the poll is not longer still.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);
/// The first and the longest pause between nudged looks that find nothing.
const FIRST_SPACE: Duration = Duration::from_millis(20);
const LAST_SPACE: Duration = Duration::from_secs(2);

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The head is where it was.
    Same,
    /// It moved, and all that was needed was had.
    Moved,
    /// The remote, the disk or the object store failed: try again.
    Failed,
}

/// Times are since any one moment, by a clock that does not go back.
#[derive(Debug, Clone)]
pub struct Pace {
    poll: Duration,
    failures: u32,
    /// Nudged looks in a row that found nothing.
    idle: u32,
    looked: Option<Duration>,
    promised_until: Option<Duration>,
}

impl Pace {
    /// Looks every `poll`.
    pub fn new(poll: Duration) -> Self {
        Self {
            poll,
            failures: 0,
            idle: 0,
            looked: None,
            promised_until: None,
        }
    }

    /// Another interval; the rest stays.
    pub fn set_poll(&mut self, poll: Duration) {
        self.poll = poll;
    }

    /// Somebody says that there is something new.
    pub fn promised(&mut self, now: Duration) {
        self.promised_until = Some(now + PROMISED_FOR);
    }

    /// A look ended.
    pub fn looked(&mut self, now: Duration, outcome: Outcome) {
        // A pause that is longer than any space forgives what came before.
        let quiet = self
            .looked
            .is_none_or(|before| now.saturating_sub(before) > 2 * LAST_SPACE);
        self.looked = Some(now);
        match outcome {
            Outcome::Failed => self.failures = self.failures.saturating_add(1),
            Outcome::Moved => (self.failures, self.idle, self.promised_until) = (0, 0, None),
            Outcome::Same => {
                (self.failures, self.idle) = (
                    0,
                    if quiet {
                        1
                    } else {
                        self.idle.saturating_add(1)
                    },
                );
            }
        }
        if self.promised_until.is_some_and(|until| until <= now) {
            self.promised_until = None;
        }
    }

    /// How long to wait for the next look without a nudge; `dice` is from 0 to 1.
    pub fn until_poll(&self, dice: f64) -> Duration {
        if self.failures > 0 {
            let longest = LAST_RETRY.max(self.poll);
            let doubled = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(16));
            // Half of it to all of it: boxes that failed together do not come back together.
            return doubled.min(longest).mul_f64(0.5 + dice / 2.0);
        }
        if self.promised_until.is_some() {
            return PROMISED_EVERY.min(self.poll);
        }
        self.poll.mul_f64(0.9 + dice / 5.0)
    }

    /// How long a nudge that came now has to wait, so that a thousand in a row make a handful of looks.
    pub fn until_nudged(&self, now: Duration) -> Duration {
        let Some(looked) = self.looked.filter(|_| self.idle + self.failures > 0) else {
            return Duration::ZERO;
        };
        let doubled = FIRST_SPACE.saturating_mul(1 << (self.idle + self.failures - 1).min(16));
        (looked + doubled.min(LAST_SPACE)).saturating_sub(now)
    }

    /// How often in a row it failed.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn failures_back_off_and_a_success_forgives_them() {
        let mut pace = Pace::new(MINUTE);
        let mut waits = Vec::new();
        for n in 0..12 {
            pace.looked(at(n), Outcome::Failed);
            waits.push(pace.until_poll(1.0).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        pace.looked(at(20), Outcome::Same);
        assert_eq!(pace.until_poll(0.5), MINUTE);
    }

    #[test]
    fn jitter_keeps_within_a_tenth() {
        let pace = Pace::new(MINUTE);
        assert_eq!(
            (
                pace.until_poll(0.0).as_secs(),
                pace.until_poll(1.0).as_secs()
            ),
            (54, 66)
        );
    }

    #[test]
    fn after_a_promise_one_looks_every_two_seconds_for_thirty() {
        let mut pace = Pace::new(MINUTE);
        let mut now = at(0);
        pace.promised(now);
        let mut looks = 0;
        loop {
            pace.looked(now, Outcome::Same);
            looks += 1;
            let wait = pace.until_poll(0.5);
            if wait == MINUTE {
                break;
            }
            now += wait;
        }
        assert_eq!((looks, now), (16, Duration::from_secs(30)));
    }

    #[test]
    fn a_thousand_nudges_in_a_row_make_a_handful_of_looks() {
        let mut pace = Pace::new(MINUTE);
        let (mut looks, mut free) = (0, at(0));
        for n in 0..1000 {
            if free <= at(n) {
                pace.looked(at(n), Outcome::Same);
                looks += 1;
                free = at(n) + pace.until_nudged(at(n));
            }
        }
        assert!(looks <= 7, "{looks} looks");
    }

    #[test]
    fn pushes_that_come_after_one_another_do_not_wait() {
        let mut pace = Pace::new(MINUTE);
        for n in 0..10 {
            pace.looked(at(n), Outcome::Moved);
            assert_eq!(pace.until_nudged(at(n)), Duration::ZERO);
        }
    }
}
