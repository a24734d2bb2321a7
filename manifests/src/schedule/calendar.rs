//! What both syntaxes mean: fields that a local time matches or not, and the next one that does. Pure.

use super::part::{Field, Part};
use jiff::civil::{Date, DateTime};

/// The last year that is looked at, as with systemd.
pub(super) const LAST_YEAR: i16 = 2199;

/// Which local times are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Calendar {
    /// From Monday, 0.
    pub(super) weekdays: Field,
    pub(super) years: Field,
    pub(super) months: Field,
    pub(super) days: Field,
    /// Days are counted from the month's end, its last day being 1 (`~`).
    pub(super) from_end: bool,
    /// Day or weekday is enough (cron, where both are given).
    pub(super) either: bool,
    pub(super) hours: Field,
    pub(super) minutes: Field,
    pub(super) seconds: Field,
}

impl Calendar {
    /// The first local time after `after`.
    pub(super) fn next(&self, after: DateTime) -> Option<DateTime> {
        let from = after.checked_add(jiff::Span::new().seconds(1)).ok()?;
        let mut date = from.date();
        if self.has_day(date)
            && let Some(time) = self.time_from(from.hour(), from.minute(), from.second())
        {
            return Some(at(date, time));
        }
        loop {
            date = date.tomorrow().ok()?;
            while !self.has_month(date) {
                if date.year() > LAST_YEAR {
                    return None;
                }
                date = date.last_of_month().tomorrow().ok()?;
            }
            if date.year() > LAST_YEAR {
                return None;
            }
            if self.has_day(date) {
                return Some(at(date, self.time_from(0, 0, 0)?));
            }
        }
    }

    fn has_month(&self, date: Date) -> bool {
        self.years.has(date.year()) && self.months.has(date.month().into())
    }

    fn has_day(&self, date: Date) -> bool {
        let month_end = i16::from(date.days_in_month());
        let day = i16::from(date.day());
        let day = if self.from_end {
            self.days.0.is_empty()
                || self
                    .days
                    .0
                    .iter()
                    .any(|part| counted_back(*part, month_end, day))
        } else {
            self.days.has(day)
        };
        let weekday = self
            .weekdays
            .has(date.weekday().to_monday_zero_offset().into());
        let fits = if self.either {
            day || weekday
        } else {
            day && weekday
        };
        fits && self.has_month(date)
    }

    /// The first time of a day that is not before this one.
    fn time_from(&self, hour: i8, minute: i8, second: i8) -> Option<(i16, i16, i16)> {
        let (hour, minute, second) = (hour.into(), minute.into(), second.into());
        let starts = [
            (hour, minute, second),
            (hour, minute + 1, 0),
            (hour + 1, 0, 0),
        ];
        starts.into_iter().find_map(|(hour, minute, second)| {
            let found_hour = self.hours.first_in(hour..=23)?;
            let from = if found_hour == hour { minute } else { 0 };
            let found_minute = self.minutes.first_in(from..=59)?;
            let exact = found_hour == hour && found_minute == minute;
            let from = if exact { second } else { 0 };
            let found_second = self.seconds.first_in(from..=59)?;
            Some((found_hour, found_minute, found_second))
        })
    }
}

/// `~7/1`: the seventh last day and each one after it.
fn counted_back(part: Part, month_end: i16, day: i16) -> bool {
    let (first, last) = (month_end - part.start + 1, month_end - part.stop + 1);
    let (first, last) = (first.min(last), first.max(last));
    (first..=last).contains(&day) && (day - first) % part.step == 0
}

fn at(date: Date, (hour, minute, second): (i16, i16, i16)) -> DateTime {
    let small = |value: i16| i8::try_from(value).unwrap_or(0);
    date.at(small(hour), small(minute), small(second), 0)
}
