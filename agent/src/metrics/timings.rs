//! How long the steps of the walk took: each step adds up here. Pure.

use std::time::Duration;

/// All of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Timings {
    /// Waiting for the remote: history that is new.
    pub fetch: Timing,
    /// Judging what is new of the trunk.
    pub verify: Timing,
    /// From a picture to what the supervisor is told.
    pub plan: Timing,
}

/// One step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Timing {
    pub count: u64,
    pub total: Duration,
}

impl Timing {
    /// Once more.
    pub fn add(&mut self, took: Duration) {
        self.count += 1;
        self.total += took;
    }
}
