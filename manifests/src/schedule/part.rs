//! One field of a calendar: `5`, `1..5`, `0/15`, and lists of them. Pure.

use std::ops::RangeInclusive;

/// Values that a field may have; an empty list: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Field(pub(super) Vec<Part>);

/// From `start` to `stop`, each `step`-th.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: i16,
    pub(super) stop: i16,
    pub(super) step: i16,
}

impl Field {
    pub(super) fn has(&self, value: i16) -> bool {
        self.0.is_empty() || self.0.iter().any(|part| part.has(value))
    }

    /// The first of `range` that it has.
    pub(super) fn first_in(&self, range: RangeInclusive<i16>) -> Option<i16> {
        range.into_iter().find(|value| self.has(*value))
    }

    /// `5,7..9,0/15`.
    pub(super) fn read(
        text: &str,
        grammar: &Grammar<'_>,
        value: impl Fn(&str) -> Option<i16>,
    ) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::default());
        }
        let parts = text.split(',').map(|part| {
            Part::read(part, grammar, &value)
                .ok_or_else(|| format!("has {part:?} where {} belongs", grammar.what))
        });
        parts.collect::<Result<Vec<Part>, String>>().map(Self)
    }
}

/// How a field is written.
pub(super) struct Grammar<'a> {
    /// What it is, for people.
    pub(super) what: &'a str,
    pub(super) bounds: RangeInclusive<i16>,
    /// Stands between the ends of a range.
    pub(super) apart: &'a str,
    /// An open step has to lead to another value.
    pub(super) steps_count: bool,
    /// An open step leads down to the first value.
    pub(super) backwards: bool,
}

impl Part {
    fn has(self, value: i16) -> bool {
        (self.start..=self.stop).contains(&value) && (value - self.start) % self.step == 0
    }

    fn read(
        text: &str,
        grammar: &Grammar<'_>,
        value: &impl Fn(&str) -> Option<i16>,
    ) -> Option<Self> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
            None => (text, None),
        };
        let bounds = &grammar.bounds;
        let inside = |text: &str| value(text).filter(|value| bounds.contains(value));
        let closed = range.split_once(grammar.apart);
        let (start, stop) = match closed {
            Some((start, stop)) => (inside(start)?, inside(stop)?),
            None if step.is_none() => (inside(range)?, inside(range)?),
            None if grammar.backwards => (inside(range)?, *bounds.start()),
            None => (inside(range)?, *bounds.end()),
        };
        let rising = start <= stop || (closed.is_none() && grammar.backwards);
        let reached = closed.is_some() || step.is_none_or(|step| step <= (stop - start).abs());
        (rising && (reached || !grammar.steps_count)).then_some(Self {
            start,
            stop,
            step: step.unwrap_or(1),
        })
    }
}

/// Digits and nothing else.
pub(super) fn number(text: &str) -> Option<i16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
