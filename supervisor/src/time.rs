//! The two clocks: one that nobody can set, for deciding, and one for people. Pure: values only, nobody looks at a clock here.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::Add, time::Duration};

/// Time since the box booted, suspend included (`CLOCK_BOOTTIME`); means nothing after a reboot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BootTime(pub Duration);

impl BootTime {
    /// How long ago `earlier` was; zero if it is yet to come.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootTime {
    type Output = Self;
    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later))
    }
}

/// Wall time in milliseconds since 1970: for people only, nothing is decided by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wall(pub i64);

impl fmt::Display for Wall {
    /// RFC 3339 with milliseconds, UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or_default();
        write!(f, "{time:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_written_as_rfc_3339() {
        assert_eq!(
            Wall(1_795_429_294_007).to_string(),
            "2026-11-23T10:21:34.007Z"
        );
        assert_eq!(Wall(i64::MAX).to_string(), "1970-01-01T00:00:00.000Z");
    }
}
