//! How much a remote may send, and how long it may take. Pure, but for tokio's clock.

use std::time::Duration;
use tokio::time::Instant;

/// Bounds of one fetch.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Bounds {
    pub bytes: u64,
    pub time: Duration,
    /// The longest pause between two bytes.
    pub idle: Duration,
}

/// What is left of [`Bounds`] while something is read.
#[derive(Debug)]
pub struct Meter {
    bounds: Bounds,
    started: Instant,
    read: u64,
}

/// Which bound was hit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// Too much.
    #[error("sent more than {0} bytes")]
    Bytes(u64),
    /// Too slow on the whole.
    #[error("was not done after {0:?} ({1} bytes had come)")]
    Time(Duration, u64),
    /// Too slow at one place.
    #[error("sent nothing for {0:?} ({1} bytes had come)")]
    Idle(Duration, u64),
}

impl Meter {
    /// The clock runs from here on.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            bounds: bounds.clone(),
            started: Instant::now(),
            read: 0,
        }
    }

    /// The end of all.
    pub fn end(&self) -> Instant {
        self.started + self.bounds.time
    }

    /// When the next byte must be here.
    pub fn next(&self) -> Instant {
        self.end().min(Instant::now() + self.bounds.idle)
    }

    /// So many bytes have come.
    pub fn count(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.read += bytes as u64;
        if self.read > self.bounds.bytes {
            Err(Exceeded::Bytes(self.bounds.bytes))
        } else {
            Ok(())
        }
    }

    /// Which bound it was, after [`Meter::next`] or [`Meter::end`] has passed.
    pub fn late(&self) -> Exceeded {
        if Instant::now() >= self.end() {
            Exceeded::Time(self.bounds.time, self.read)
        } else {
            Exceeded::Idle(self.bounds.idle, self.read)
        }
    }
}
