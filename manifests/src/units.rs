//! Durations and sizes as people write them (SPEC §2). Pure.

use serde::{Deserialize, Serialize};
use std::{
    fmt::{self, Write as _},
    time::Duration,
};

/// Why some text is not a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not of the form at all.
    #[error("{text:?} is not {what}")]
    Form {
        /// What stood there.
        text: String,
        /// What should stand there, with an example.
        what: &'static str,
    },
    /// Too large to count.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

/// Reads `250ms`, `6s`, `1h30m`; the units are d, h, m, s, ms, each at most once, in falling order. `0s` is read as zero.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    const UNITS: [(&str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    let form = || UnitError::Form {
        text: text.chars().take(80).collect(),
        what: "a duration such as \"250ms\", \"6s\" or \"1h30m\"",
    };
    let large = || UnitError::TooLarge(text.chars().take(80).collect());
    let mut rest = text;
    let mut total: u64 = 0;
    let mut next_unit = 0;
    if text.is_empty() {
        return Err(form());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..]
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let unit = &rest[digits..digits + letters];
        let at = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .filter(|at| *at >= next_unit)
            .ok_or_else(form)?;
        if digits == 0 {
            return Err(form());
        }
        let number: u64 = rest[..digits].parse().map_err(|_| large())?;
        total = number
            .checked_mul(UNITS[at].1)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(large)?;
        next_unit = at + 1;
        rest = &rest[digits + letters..];
    }
    // A hundred years: no deadline may overflow when it is added to a clock.
    if total > 100 * 366 * 86_400_000 {
        return Err(large());
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration so that [`parse_duration`] reads the same one again (down to milliseconds).
pub fn format_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, size) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ] {
        if left >= size {
            // Writing into a String cannot fail.
            let _ = write!(text, "{}{unit}", left / size);
            left %= size;
        }
    }
    text
}

/// A number of bytes, written `64K`, `256M`, `1G` (powers of 1024) or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// Reads `64K`, `256M`, `1G`, `2T` or a plain number of bytes.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let form = || UnitError::Form {
            text: text.chars().take(80).collect(),
            what: "a size such as \"64K\", \"256M\" or \"1G\"",
        };
        let (digits, shift) = match text.as_bytes().last().ok_or_else(form)? {
            b'K' => (&text[..text.len() - 1], 10),
            b'M' => (&text[..text.len() - 1], 20),
            b'G' => (&text[..text.len() - 1], 30),
            b'T' => (&text[..text.len() - 1], 40),
            _ => (text, 0),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(form());
        }
        let large = || UnitError::TooLarge(text.chars().take(80).collect());
        let number: u64 = digits.parse().map_err(|_| large())?;
        number
            .checked_mul(1 << shift)
            .filter(|n| i64::try_from(*n).is_ok())
            .map(Self)
            .ok_or_else(large)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = [(40, "T"), (30, "G"), (20, "M"), (10, "K")]
            .into_iter()
            .find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift)
            .map_or((self.0, ""), |(shift, unit)| (self.0 >> shift, unit));
        f.pad(&format!("{number}{unit}"))
    }
}
