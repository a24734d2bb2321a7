//! One file's text and what is wrong with it so far: bytes come in, problems with their places go out. Pure.

use super::MAX_PROBLEMS;
use crate::{
    characters::is_bidirectional,
    problem::Problem,
    rules::{
        Rule,
        file::{CHARACTERS, MISSING_KEY, SYNTAX, TOO_LARGE},
    },
    shape::MAX_TEXT,
};
use std::{cell::RefCell, ops::Range};

pub(super) fn text_of<'t>(file: &str, bytes: &'t [u8]) -> Result<&'t str, Problem> {
    if bytes.len() > MAX_TEXT {
        return Err(Problem::whole(
            file,
            &TOO_LARGE,
            format!("the file has {} bytes, {MAX_TEXT} at most", bytes.len()),
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes
            .get(..error.valid_up_to())
            .and_then(|good| std::str::from_utf8(good).ok())
            .unwrap_or_default();
        Problem::at(
            file,
            good,
            good.len()..good.len() + 1,
            &SYNTAX,
            "the file is not UTF-8 from here on",
        )
        .hint("save it as UTF-8")
    })?;
    if text.starts_with('\u{feff}') {
        let problem = Problem::at(
            file,
            text,
            0..3,
            &CHARACTERS,
            "the file begins with a byte order mark",
        );
        return Err(problem.hint("save it as UTF-8 without a byte order mark"));
    }
    Ok(text)
}

/// One file that is being read, and what is wrong with it so far.
pub(crate) struct Sheet<'t> {
    pub(super) file: &'t str,
    pub(super) text: &'t str,
    pub(super) problems: RefCell<Vec<Problem>>,
}

impl Sheet<'_> {
    pub(super) fn report(
        &self,
        span: Option<Range<usize>>,
        rule: &'static Rule,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() > MAX_PROBLEMS {
            return;
        }
        let mut problem = if problems.len() == MAX_PROBLEMS {
            Problem::whole(
                self.file,
                rule,
                "there are more problems; these are the first ones",
            )
        } else {
            // What the file lacks as a whole is told at its first line.
            let first = || 0..self.text.find('\n').unwrap_or(self.text.len());
            match span.or_else(|| (rule == &MISSING_KEY && !self.text.is_empty()).then(first)) {
                Some(span) => Problem::at(self.file, self.text, span, rule, message),
                None => Problem::whole(self.file, rule, message),
            }
        };
        problem.hint = hint;
        problems.push(problem);
    }

    pub(super) fn check_characters(&self) {
        for (at, c) in self
            .text
            .char_indices()
            .filter(|(_, c)| is_bidirectional(*c))
        {
            self.report(
                Some(at..at + c.len_utf8()),
                &CHARACTERS,
                format!("the character {c:?} changes how the text is shown"),
                None,
            );
        }
    }

    /// Adds the errors of syntax; of the other problems keeps those that are not their consequence.
    pub(super) fn keep_beside(&self, errors: &[toml::de::Error]) {
        let mut found: Vec<Problem> = errors
            .iter()
            .map(|error| {
                let span = error.span().unwrap_or(self.text.len()..self.text.len());
                Problem::at(self.file, self.text, span, &SYNTAX, error.message())
            })
            .collect();
        // After a bracket that nobody closes everything is wrong, and on a line the first error makes the others.
        let unclosed = errors
            .iter()
            .any(|error| error.message().starts_with("unclosed"));
        found.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
        found.dedup_by_key(|problem| problem.line);
        found.truncate(if unclosed { 1 } else { MAX_PROBLEMS });
        let mut problems = self.problems.borrow_mut();
        problems.retain(|problem| {
            problem.rule != &MISSING_KEY
                && problem.line != 0
                && found.iter().all(|error| error.line != problem.line)
        });
        problems.extend(found);
    }

    pub(super) fn finish(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems
            .sort_by_key(|problem| problem.span.as_ref().map_or((1, 0), |span| (0, span.start)));
        problems
    }
}
