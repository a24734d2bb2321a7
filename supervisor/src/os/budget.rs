//! How much an instance may log: bytes come in, whether they are kept, and a count of those that are not. Pure.

use crate::time::BootTime;

/// Bytes a second that an instance may log for long, and at once.
const RATE: u64 = 10 << 20;
const BURST: u64 = 20 << 20;

/// What may still be logged, and what was not.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
    filled: BootTime,
    lost_lines: u64,
    lost_bytes: u64,
    /// Lines and bytes, told or not.
    pub(super) lost_in_all: (u64, u64),
    /// Since when something is lost and was not told.
    pub(super) since: Option<BootTime>,
}

impl Budget {
    pub(super) fn full() -> Self {
        Self {
            left: BURST,
            filled: BootTime::default(),
            lost_lines: 0,
            lost_bytes: 0,
            lost_in_all: (0, 0),
            since: None,
        }
    }

    pub(super) fn has_less_than(&self, bytes: usize) -> bool {
        self.left < bytes as u64
    }

    pub(super) fn refill(&mut self, now: BootTime) {
        let gained = now
            .since(self.filled)
            .as_micros()
            .saturating_mul(RATE.into())
            / 1_000_000;
        self.left = self
            .left
            .saturating_add(u64::try_from(gained).unwrap_or(u64::MAX))
            .min(BURST);
        self.filled = now;
    }

    /// Whether a line is kept; `head` is what we put before the `printed` bytes.
    pub(super) fn takes(&mut self, head: usize, printed: usize, now: BootTime) -> bool {
        if let Some(left) = self.left.checked_sub((head + printed) as u64) {
            self.left = left;
            return true;
        }
        self.lose(1, printed as u64, now);
        false
    }

    /// Bytes as they were printed.
    pub(super) fn lose(&mut self, lines: u64, bytes: u64, now: BootTime) {
        self.lost_lines += lines;
        self.lost_bytes += bytes;
        self.lost_in_all.0 += lines;
        self.lost_in_all.1 += bytes;
        self.since.get_or_insert(now);
    }

    pub(super) fn take_loss(&mut self) -> Option<String> {
        self.since.take()?;
        let (lines, bytes) = (
            std::mem::take(&mut self.lost_lines),
            std::mem::take(&mut self.lost_bytes),
        );
        Some(format!(
            "dropped {lines} lines ({bytes} bytes): more than {} MB a second, or the disk is full",
            RATE >> 20
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_counted_as_it_was_printed() {
        let mut budget = Budget::full();
        let (head, printed) = (27, usize::try_from(BURST).expect("fits"));
        assert!(!budget.takes(head, printed, BootTime::default()));
        assert!(budget.takes(head, 100, BootTime::default()));
        let said = budget.take_loss().expect("a loss");
        let expected = format!("dropped 1 lines ({printed} bytes)");
        assert!(said.starts_with(&expected), "{said}");
    }
}
