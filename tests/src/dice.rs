//! Chance that a seed says everything about: the same throws for the same seed. Pure.

/// xorshift64 (Marsaglia).
#[derive(Debug)]
pub struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// From a seed; none of them is 0, from which nothing follows.
    pub fn new(seed: u64) -> Self {
        let seed = seed.max(1);
        Self { seed, state: seed }
    }

    /// What it was made from, for whoever wants the same throws again.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// From 0 up to `sides`, which is never thrown.
    pub fn throw(&mut self, sides: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % sides
    }
}
