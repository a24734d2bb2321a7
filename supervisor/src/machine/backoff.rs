//! How long to wait before the next start (SPEC §3.3 `[restart]`). Pure.

use std::time::Duration;
use swarm_manifests::manifest::Restart;

/// What a delay doubles from, at least.
const FLOOR: Duration = Duration::from_millis(100);
/// Between two looks whether what blocks a start has passed.
const BLOCKED_FROM: Duration = Duration::from_millis(500);
const BLOCKED_TO: Duration = Duration::from_secs(60);

/// The wait before the restart that follows `streak` earlier exits before `settled`.
///
/// The first is `delay` itself; then it doubles, up to `max-delay`, less up to a quarter by the dice. With `max-delay = "0s"` it is
/// always `delay`.
pub fn delay(policy: &Restart, streak: u32, dice: u32) -> Duration {
    if policy.max_delay.is_zero() {
        return policy.delay;
    }
    let mut wait = policy.delay.min(policy.max_delay);
    if streak == 0 {
        return wait;
    }
    for _ in 0..streak {
        wait = wait.saturating_mul(2).max(FLOOR);
        if wait >= policy.max_delay {
            wait = policy.max_delay;
            break;
        }
    }
    jitter(wait, dice)
}

/// The wait before a start that something else blocks is tried again.
pub fn blocked(streak: u32, dice: u32) -> Duration {
    jitter(
        BLOCKED_FROM
            .saturating_mul(1 << streak.min(10))
            .min(BLOCKED_TO),
        dice,
    )
}

fn jitter(wait: Duration, dice: u32) -> Duration {
    wait.saturating_sub(wait / 4 * (dice % 1000) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(delay: u64, max: u64) -> Restart {
        Restart {
            delay: Duration::from_millis(delay),
            max_delay: Duration::from_millis(max),
            settled: Duration::from_secs(10),
        }
    }

    #[test]
    fn the_dice_take_up_to_a_quarter_of_a_wait_and_nothing_of_the_first() {
        let policy = policy(1_000, 60_000);
        assert_eq!(delay(&policy, 0, 999), Duration::from_secs(1));
        let thrown = [0, 1, 500, 999, 1000, u32::MAX];
        let waits = thrown.map(|dice| delay(&policy, 3, dice).as_millis());
        assert_eq!(waits, [8000, 7998, 7000, 6002, 8000, 7410]);
        let range = Duration::from_millis(45_001)..=Duration::from_secs(60);
        for dice in 0..1000 {
            let wait = delay(&policy, 20, dice);
            assert!(range.contains(&wait), "{dice}: {wait:?}");
        }
    }

    fn waits(policy: &Restart) -> Vec<u128> {
        (0..6)
            .map(|streak| delay(policy, streak, 0).as_millis())
            .collect()
    }

    #[test]
    fn the_first_restart_waits_delay_and_then_it_doubles_from_100_ms_up_to_max_delay() {
        assert_eq!(waits(&policy(0, 1000)), [0, 100, 200, 400, 800, 1000]);
        assert_eq!(waits(&policy(30, 300_000)), [30, 100, 200, 400, 800, 1600]);
        assert_eq!(
            waits(&policy(1000, 300_000)),
            [1000, 2000, 4000, 8000, 16_000, 32_000]
        );
    }

    #[test]
    fn with_max_delay_zero_the_delay_does_not_grow() {
        assert_eq!(waits(&policy(0, 0)), [0; 6]);
        assert_eq!(waits(&policy(500, 0)), [500; 6]);
    }

    #[test]
    fn what_is_blocked_is_looked_at_each_minute_at_least() {
        assert!(blocked(u32::MAX, 0) == BLOCKED_TO && blocked(0, 0) == BLOCKED_FROM);
    }
}
