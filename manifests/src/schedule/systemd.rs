//! systemd's calendar events (systemd.time(7)): `Mon..Fri 02:00`, `*-*-01 04:00:00 Europe/Berlin`, `daily`. Pure.
//!
//! As there, but for fractions of seconds, which are refused.

use super::{
    Zone,
    calendar::{Calendar, LAST_YEAR},
    part::{Field, Grammar, Part, number},
};
use jiff::{Timestamp, tz::TimeZone};

const SHORT: [(&str, &str); 11] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
    ("anually", "*-01-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("biannually", "*-01,07-01 00:00:00"),
];

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// The calendar, and the zone that stands after it.
pub(super) fn parse(text: &str) -> Result<(Calendar, Zone), String> {
    let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
    if let [epoch] = words[..]
        && let Some(seconds) = epoch.strip_prefix('@')
    {
        return moment(seconds).map(|calendar| (calendar, Zone::Utc));
    }
    let zone = match words.last().copied() {
        Some(word) if word.eq_ignore_ascii_case("utc") => Zone::Utc,
        Some(word) if is_zone(word) => Zone::Named(word.to_owned()),
        _ => Zone::Local,
    };
    if zone != Zone::Local {
        words.pop();
    }
    let short = |word: &str| {
        SHORT
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
    };
    if let [word] = words[..]
        && let Some((_, long)) = short(word)
    {
        words = long.split_ascii_whitespace().collect();
    }
    if words.is_empty() {
        return Err("says no time".into());
    }
    let mut calendar = Calendar::default();
    let mut rest = &words[..];
    if let [word, more @ ..] = rest
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        calendar.weekdays = weekdays(word)?;
        rest = more;
    }
    if let [word, more @ ..] = rest
        && !word.contains(':')
    {
        date(word, &mut calendar)?;
        rest = more;
    }
    match rest {
        [] => time("00:00:00", &mut calendar)?,
        [word] => time(word, &mut calendar)?,
        [_, more @ ..] => {
            return Err(format!(
                "has {:?} after the time; neither UTC nor a time zone",
                more.join(" ")
            ));
        }
    }
    Ok((calendar, zone))
}

/// Names have a slash, or are in the database as they are; never something that is a part of a calendar.
fn is_zone(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && weekdays(word).is_err()
        && TimeZone::get(word).is_ok()
}

/// `@1780000000`
fn moment(seconds: &str) -> Result<Calendar, String> {
    let wrong = || format!("has {seconds:?} where seconds since 1970 belong");
    let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
    let moment = Timestamp::from_second(seconds).map_err(|_| wrong())?;
    let civil = TimeZone::UTC.to_datetime(moment);
    let only = |value: i16| {
        Field(vec![Part {
            start: value,
            stop: value,
            step: 1,
        }])
    };
    Ok(Calendar {
        years: only(civil.year()),
        months: only(civil.month().into()),
        days: only(civil.day().into()),
        hours: only(civil.hour().into()),
        minutes: only(civil.minute().into()),
        seconds: only(civil.second().into()),
        ..Calendar::default()
    })
}

/// `Mon..Fri`, `Mon,Wed`, `Mon-Fri`.
fn weekdays(text: &str) -> Result<Field, String> {
    let day = |word: &str| {
        let word = word.to_ascii_lowercase();
        let found = WEEKDAYS
            .iter()
            .position(|day| word == *day || word == day[..3])?;
        i16::try_from(found).ok()
    };
    let text = text.strip_suffix(',').unwrap_or(text).replace('-', "..");
    if text.contains('/') {
        return Err(format!("has {text:?} where weekdays belong"));
    }
    Field::read(&text, &grammar("a weekday", 0, 6), day)
}

/// `Y-M-D`, `M-D`; `~` before the day counts from the month's end.
fn date(text: &str, calendar: &mut Calendar) -> Result<(), String> {
    let wrong =
        || format!("has {text:?} where a date such as *-*-01 or a time such as 02:00 belongs");
    let at = text.rfind(['-', '~']).ok_or_else(wrong)?;
    let (before, day) = (&text[..at], &text[at + 1..]);
    calendar.from_end = text[at..].starts_with('~');
    let (year, month) = before.rsplit_once('-').unwrap_or(("*", before));
    calendar.years = Field::read(year, &grammar("a year", 1970, LAST_YEAR), |word| {
        number(word).map(|year| match year {
            0..70 => year + 2000,
            70..100 => year + 1900,
            _ => year,
        })
    })?;
    calendar.months = Field::read(month, &grammar("a month", 1, 12), number)?;
    // Counted back, no month is shorter than this.
    let last = if calendar.from_end { 28 } else { 31 };
    let grammar = Grammar {
        backwards: calendar.from_end,
        ..grammar("a day", 1, last)
    };
    calendar.days = Field::read(day, &grammar, number)?;
    Ok(())
}

/// `H:M`, `H:M:S`.
fn time(text: &str, calendar: &mut Calendar) -> Result<(), String> {
    let fields: Vec<&str> = text.split(':').collect();
    let (hour, minute, second) = match fields[..] {
        [hour, minute] => (hour, minute, "0"),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(format!("has {text:?} where a time such as 02:00 belongs")),
    };
    calendar.hours = Field::read(hour, &grammar("an hour", 0, 23), number)?;
    calendar.minutes = Field::read(minute, &grammar("a minute", 0, 59), number)?;
    calendar.seconds = Field::read(second, &grammar("a second", 0, 59), number)?;
    Ok(())
}

fn grammar(what: &str, first: i16, last: i16) -> Grammar<'_> {
    Grammar {
        what,
        bounds: first..=last,
        apart: "..",
        steps_count: true,
        backwards: false,
    }
}
