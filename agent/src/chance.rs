//! Randomness of the kernel: for keys, names that nobody can guess, and jitter.

use std::io;

/// Random bytes.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// A number from 0 to 1, for jitter; without randomness there is none, and nothing worse.
pub fn dice() -> f64 {
    bytes().map_or(0.5, |random| {
        f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX)
    })
}
