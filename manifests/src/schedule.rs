//! When a workflow runs by itself (`[run] schedule`): systemd's calendar events or a line of crontab come in, the next time goes out.
//! Pure: the moment and the box's own time zone are arguments; named zones come from the database that is compiled in.
//!
//! A local time that a change of the clocks leaves out is left out; one that comes twice counts the first time, as with systemd.

mod calendar;
mod cron;
mod part;
mod systemd;

use calendar::Calendar;
use jiff::{
    Timestamp,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest text of a schedule, in bytes.
const LONGEST: usize = 256;

/// A schedule as somebody wrote it, and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Schedule {
    text: String,
    calendar: Calendar,
    zone: Zone,
}

/// Where its times are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Zone {
    /// The box's own.
    Local,
    Utc,
    /// One of the database, by its name.
    Named(String),
}

impl Schedule {
    /// Reads a schedule; what is wrong with it otherwise, to follow its name: `is …`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        let (calendar, zone) = if cron::looks_so(text) {
            (cron::parse(text)?, Zone::Local)
        } else {
            systemd::parse(text)?
        };
        Ok(Self {
            text: text.to_owned(),
            calendar,
            zone,
        })
    }

    /// The first time after `after`; none: never again. `local` is the box's own zone.
    pub fn next(&self, after: Timestamp, local: &TimeZone) -> Option<Timestamp> {
        let zone = match &self.zone {
            Zone::Local => local.clone(),
            Zone::Utc => TimeZone::UTC,
            Zone::Named(name) => TimeZone::get(name).ok()?,
        };
        let mut from = zone.to_datetime(after);
        loop {
            let civil = self.calendar.next(from)?;
            if let Some(next) = first(civil, &zone).filter(|next| *next > after) {
                return Some(next);
            }
            from = civil;
        }
    }
}

/// The moment of a local time, the earlier one where it comes twice; none where it is left out.
fn first(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let moment = zone.to_ambiguous_timestamp(civil);
    match moment.offset() {
        AmbiguousOffset::Gap { .. } => None,
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => moment.earlier().ok(),
    }
}

impl TryFrom<String> for Schedule {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.text
    }
}

impl fmt::Display for Schedule {
    /// As it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests;
