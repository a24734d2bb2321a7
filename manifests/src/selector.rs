//! Selectors: `where = 'site == "berkeley" && engine.node >= "18"'` (SPEC §3.3). Pure.
//!
//! Grammar: `or := and ("||" and)*`, `and := unary ("&&" unary)*`, `unary := "!" unary | "(" or ")" | comparison`,
//! `comparison := name (("==" | "!=" | "<" | "<=" | ">" | ">=") literal)?`; a literal is a string, a number, true or false.
//! A bare name holds where the label is true, or is there and is neither false, 0 nor empty. A comparison with what the
//! box does not have does not hold (and its negation by `!` does). Strings that are sizes on both sides
//! compare as sizes, versions as versions, anything else only by == and != as text.

use crate::facts::Facts;
use std::ops::Range;

/// A selector that parses.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector {
    text: String,
    // The helper who fills this in replaces it by the parsed tree.
    tree: (),
}

/// Where and why a selector does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectorError {
    /// The bytes of the selector's text to underline.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
}

/// Whether a box is chosen, and if not, by which comparison: `memory 512M < 1G`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Chosen,
    /// It does not; in words.
    NotChosen(String),
}

impl Selector {
    /// Reads a selector; at most 4 KiB and 32 levels deep.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let _ = text;
        todo!()
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Holds it against a box.
    pub fn choose(&self, facts: &Facts) -> Verdict {
        let _ = (&self.tree, facts);
        todo!()
    }
}
