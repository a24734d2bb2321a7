//! A line of crontab(5) without its command: `30 2 * * 1-5`, `@daily`. Pure.
//!
//! Where both day and weekday are given, either is enough, as there. A field that begins with `*` is not given.

use super::{
    calendar::Calendar,
    part::{Field, Grammar, Part, number},
};

const SHORT: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Whether it is meant to be one: five fields without a colon, or `@` and a letter.
pub(super) fn looks_so(text: &str) -> bool {
    let text = text.trim();
    let is_short = text
        .strip_prefix('@')
        .is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
    is_short || (text.split_ascii_whitespace().count() == 5 && !text.contains(':'))
}

pub(super) fn parse(text: &str) -> Result<Calendar, String> {
    let text = text.trim();
    let short = SHORT.into_iter().find(|(name, _)| *name == text);
    let long = short.map_or(text, |(_, long)| long);
    let fields: Vec<&str> = long.split_ascii_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields[..] else {
        return Err(format!(
            "is none of {}",
            SHORT.map(|(name, _)| name).join(", ")
        ));
    };
    Ok(Calendar {
        weekdays: weekdays(weekday)?,
        months: field(month, "a month", 1, 12, &MONTHS)?,
        days: field(day, "a day", 1, 31, &[])?,
        either: !day.starts_with('*') && !weekday.starts_with('*'),
        hours: field(hour, "an hour", 0, 23, &[])?,
        minutes: field(minute, "a minute", 0, 59, &[])?,
        seconds: Field(vec![Part {
            start: 0,
            stop: 0,
            step: 1,
        }]),
        ..Calendar::default()
    })
}

/// `*/n` is each n-th from the first on.
fn field(text: &str, what: &str, min: i16, max: i16, names: &[&str]) -> Result<Field, String> {
    let named = |word: &str| {
        let found = names
            .iter()
            .position(|name| word.eq_ignore_ascii_case(name));
        let named = found.and_then(|at| i16::try_from(at).ok());
        named.map(|at| at + min).or_else(|| number(word))
    };
    let text = text.replace("*/", &format!("{min}-{max}/"));
    let grammar = Grammar {
        what,
        bounds: min..=max,
        apart: "-",
        steps_count: false,
        backwards: false,
    };
    Field::read(&text, &grammar, named)
}

/// Sunday is 0 and 7 here.
fn weekdays(text: &str) -> Result<Field, String> {
    let sunday_first = field(text, "a weekday", 0, 7, &WEEKDAYS)?;
    if sunday_first.0.is_empty() {
        return Ok(sunday_first);
    }
    let days = (0..=7).filter(|day| sunday_first.has(*day));
    let mut days: Vec<i16> = days.map(|day| (day + 6) % 7).collect();
    days.dedup();
    Ok(Field(
        days.into_iter()
            .map(|day| Part {
                start: day,
                stop: day,
                step: 1,
            })
            .collect(),
    ))
}
