//! What is wrong with something a person wrote, said so that they can mend it. Pure.

use crate::rules::Rule;
use serde::Serialize;
use std::{
    fmt::{self, Write as _},
    ops::Range,
};

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the person knows it.
    pub file: String,
    /// The bytes of the file to underline.
    pub span: Option<Range<usize>>,
    /// From 1; 0 where the whole file is meant.
    pub line: usize,
    /// From 1, in characters; 0 where the whole line or file is meant.
    pub column: usize,
    /// The rule that it breaks.
    pub rule: &'static Rule,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem with a place in `text`.
    pub fn at(
        file: &str,
        text: &str,
        span: Range<usize>,
        rule: &'static Rule,
        message: impl Into<String>,
    ) -> Self {
        let start = span.start.min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            file: file.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            span: Some(span),
            rule,
            message: message.into(),
            hint: None,
        }
    }

    /// A problem of a file as a whole.
    pub fn whole(file: &str, rule: &'static Rule, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            span: None,
            line: 0,
            column: 0,
            rule,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.file.chars() {
            // A file may have a line's end in its name: it is shown, and makes no second line.
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {} [{}]", self.message, self.rule.id)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

impl Serialize for Problem {
    /// As `swarm-pack check --json` prints it (SPEC §7).
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = to.serialize_struct("Problem", 6)?;
        out.serialize_field("file", &self.file)?;
        out.serialize_field("line", &self.line)?;
        out.serialize_field("column", &self.column)?;
        out.serialize_field("rule", self.rule.id)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("hint", &self.hint)?;
        out.end()
    }
}

/// A refusal of something that was asked for: which rule, and why in words that name commit, person and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule.
    pub rule: &'static Rule,
    /// Why, in words.
    pub reason: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal without advice of its own; the rule's page has the general one.
    pub fn new(rule: &'static Rule, reason: impl Into<String>) -> Self {
        Self {
            rule,
            reason: reason.into(),
            hint: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.reason, self.rule.id)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_s_end_in_the_name_of_a_file_makes_no_second_line() {
        let rule = &crate::rules::file::BAD_VALUE;
        let problem = Problem::whole("manifests/a\n\u{1b}.toml", rule, "is wrong");
        assert_eq!(
            problem.to_string(),
            format!("manifests/a\\n\\u{{1b}}.toml: is wrong [{}]", rule.id)
        );
    }
}
