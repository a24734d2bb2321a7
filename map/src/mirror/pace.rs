//! When the mirror looks: at each webhook, at the next poll, sooner after a webhook that found nothing, later after failures. Pure.

use std::time::Duration;

/// A forge may say "pushed" before its servers agree: so long, and so often, one looks again after a webhook that found nothing.
const PROMISED_FOR: Duration = Duration::from_secs(30);
const PROMISED_EVERY: Duration = Duration::from_secs(2);
/// The first pause after a failure, and the longest where the poll is not longer still.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);
/// The pause after a look that found nothing, whatever webhooks say: a thousand of them make a handful of looks.
const SPACE: Duration = Duration::from_millis(250);

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The head is where it was.
    Same,
    /// It moved.
    Moved,
    /// Remote or disk failed.
    Failed,
}

/// Times are since any one moment, by a clock that does not go back.
#[derive(Debug)]
pub struct Pace {
    poll: Duration,
    failures: u32,
    found_nothing: bool,
    promised_until: Option<Duration>,
}

impl Pace {
    /// Looks every `poll`.
    pub fn new(poll: Duration) -> Self {
        Self {
            poll,
            failures: 0,
            found_nothing: false,
            promised_until: None,
        }
    }

    /// A webhook said that there is something new.
    pub fn promised(&mut self, now: Duration) {
        self.promised_until = Some(now + PROMISED_FOR);
    }

    /// A look ended.
    pub fn looked(&mut self, outcome: Outcome) {
        self.found_nothing = outcome != Outcome::Moved;
        match outcome {
            Outcome::Failed => self.failures = self.failures.saturating_add(1),
            Outcome::Same => self.failures = 0,
            Outcome::Moved => (self.failures, self.promised_until) = (0, None),
        }
    }

    /// How long nothing at all makes it look again.
    pub fn space(&self) -> Duration {
        if self.found_nothing {
            SPACE
        } else {
            Duration::ZERO
        }
    }

    /// How long to wait for the next look without a webhook; `dice` is from 0 to 1.
    pub fn until_poll(&self, now: Duration, dice: f64) -> Duration {
        if self.failures > 0 {
            let doubled = FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(16));
            return doubled
                .min(LAST_RETRY.max(self.poll))
                .mul_f64(0.5 + dice / 2.0);
        }
        if self.promised_until.is_some_and(|until| now < until) {
            return PROMISED_EVERY.min(self.poll);
        }
        self.poll.mul_f64(0.9 + dice / 5.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn failures_back_off_and_a_success_forgives_them() {
        let mut pace = Pace::new(MINUTE);
        let mut waits = Vec::new();
        for _ in 0..11 {
            pace.looked(Outcome::Failed);
            waits.push(pace.until_poll(at(0), 1.0).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        pace.looked(Outcome::Same);
        assert_eq!(pace.until_poll(at(0), 0.5), MINUTE);
    }

    #[test]
    fn after_a_webhook_that_found_nothing_it_looks_again_soon_but_not_for_ever() {
        let mut pace = Pace::new(MINUTE);
        pace.promised(at(10));
        pace.looked(Outcome::Same);
        assert_eq!(pace.until_poll(at(11), 0.5), PROMISED_EVERY);
        assert_eq!(pace.until_poll(at(40), 0.5), MINUTE);
        pace.promised(at(50));
        pace.looked(Outcome::Moved);
        assert_eq!(pace.until_poll(at(51), 0.5), MINUTE, "it was kept");
    }

    #[test]
    fn only_a_look_that_found_something_may_be_followed_at_once() {
        let mut pace = Pace::new(MINUTE);
        assert_eq!(pace.space(), Duration::ZERO);
        pace.looked(Outcome::Same);
        assert_eq!(pace.space(), SPACE);
        pace.looked(Outcome::Moved);
        assert_eq!(pace.space(), Duration::ZERO);
    }
}
