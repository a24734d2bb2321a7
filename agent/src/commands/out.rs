//! Data for whoever asked, on stdout: what cannot be written is a failure, not a panic and not silence. Touches stdout.

use anyhow::{Context as _, Result};
use serde::Serialize;
use std::{fmt::Display, io::Write as _};

/// Prints text as it is.
pub fn raw(text: impl Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "{text}")
        .and_then(|()| out.flush())
        .context("what stands on stdout is not complete: it cannot be written")
}

/// Prints a line.
pub fn line(text: impl Display) -> Result<()> {
    raw(format_args!("{text}\n"))
}

/// Prints JSON for people and programs.
pub fn json(value: &(impl Serialize + ?Sized)) -> Result<()> {
    line(serde_json::to_string_pretty(value)?)
}
