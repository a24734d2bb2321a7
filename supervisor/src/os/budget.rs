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

    pub(super) fn takes(&mut self, size: usize, now: BootTime) -> bool {
        if let Some(left) = self.left.checked_sub(size as u64) {
            self.left = left;
            return true;
        }
        self.lose(1, size as u64, now);
        false
    }

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
