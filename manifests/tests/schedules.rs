//! Whether our calendar is systemd's, judged by `systemd-analyze calendar` itself.
#![allow(clippy::expect_used)]

use jiff::{Timestamp, tz::TimeZone};
use std::process::Command;
use swarm_manifests::schedule::Schedule;

/// What systemd says: the next times in seconds since 1970, or nothing where it does not take the text.
fn judged(text: &str, zone: &str, after: Timestamp, count: usize) -> Option<Vec<i64>> {
    let base = after.strftime("%F %T UTC").to_string();
    let output = Command::new("systemd-analyze")
        .args([
            "calendar",
            "--base-time",
            &base,
            "--iterations",
            &count.to_string(),
            "--",
            text,
        ])
        .env("TZ", zone)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("systemd-analyze is there: apt-get install systemd");
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let line = |line: &str| {
        let (what, when) = line.split_once(": ")?;
        let moment = || {
            let civil = when.trim().strip_suffix(" UTC")?.split_once(' ')?.1;
            let timestamp = format!("{}Z", civil.replace(' ', "T")).parse::<Timestamp>();
            Some(timestamp.ok()?.as_second())
        };
        let what = what.trim();
        let is_time = what.starts_with("Iter.") || what == "Next elapse" || what == "(in UTC)";
        is_time.then(moment).flatten()
    };
    Some(text.lines().filter_map(line).collect())
}

fn ours(text: &str, zone: &str, after: Timestamp, count: usize) -> Option<Vec<i64>> {
    let schedule = Schedule::parse(text).ok()?;
    let zone = TimeZone::get(zone).expect("a zone");
    let mut times = Vec::new();
    let mut at = after;
    while times.len() < count
        && let Some(next) = schedule.next(at, &zone)
    {
        times.push(next.as_second());
        at = next;
    }
    Some(times)
}

fn same(text: &str, zone: &str, after: &str, count: usize) -> Option<Vec<i64>> {
    let after: Timestamp = after.parse().expect("a time");
    let (judged, ours) = (
        judged(text, zone, after, count),
        ours(text, zone, after, count),
    );
    assert_eq!(
        ours, judged,
        "{text:?} in {zone} after {after}: ours, systemd's"
    );
    judged
}

/// A linear congruential generator: the same schedules everywhere.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        let at = self.throw(words.len() as u64);
        words[usize::try_from(at).expect("small")]
    }

    fn field(&mut self, min: u64, max: u64) -> String {
        let span = max - min + 1;
        let value = min + self.throw(span);
        match self.throw(8) {
            0..=2 => "*".into(),
            3 => format!("{value}/{}", 1 + self.throw(span)),
            4 => format!("{}..{value}", min + self.throw(value - min + 1)),
            5 => format!(
                "{}..{value}/{}",
                min + self.throw(value - min + 1),
                1 + self.throw(4)
            ),
            6 => format!("{value},{}", min + self.throw(span)),
            _ => value.to_string(),
        }
    }

    fn schedule(&mut self) -> String {
        let mut text = String::new();
        if self.throw(3) == 0 {
            text += self.one_of(&["Mon ", "Mon..Fri ", "sat,Sunday ", "Tue..Thu,Sun "]);
        }
        let day = if self.throw(5) == 0 {
            format!("~{}", self.field(1, 28).replace('*', "1"))
        } else {
            format!("-{}", self.field(1, 31))
        };
        match self.throw(3) {
            0 => text += &format!("{}-{}{day} ", self.field(2026, 2034), self.field(1, 12)),
            1 => text += &format!("{}{day} ", self.field(1, 12)),
            _ => {}
        }
        text += &format!("{}:{}", self.field(0, 23), self.field(0, 59));
        if self.throw(3) == 0 {
            // Not 1..1, which systemd refuses here and nowhere else.
            let seconds = ["*", "5", "10..40", "0/20", "3..30/7", "1,59"];
            text += &format!(":{}", self.one_of(&seconds));
        }
        if self.throw(6) == 0 {
            text += self.one_of(&[" UTC", " America/New_York"]);
        }
        text
    }
}

const ZONES: [&str; 4] = [
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Australia/Lord_Howe",
];

#[test]
fn what_systemd_takes_we_take_and_mean_the_same() {
    let mut dice = Dice(7);
    let mut compared = 0;
    for round in 0..300 {
        let text = dice.schedule();
        let day = 1 + dice.throw(28);
        let after = format!(
            "2026-{:02}-{day:02}T{:02}:17:42Z",
            1 + dice.throw(12),
            dice.throw(24)
        );
        compared += same(&text, ZONES[round % 4], &after, 3).map_or(0, |times| times.len());
    }
    assert!(compared > 500, "hardly anything was compared: {compared}");
}

#[test]
fn around_changes_of_the_clocks_we_are_systemd() {
    for text in [
        "02:30",
        "*:0/20",
        "hourly",
        "*-*-* 0/2:15",
        "01:59:59",
        "*:*:00",
        "Sun 1..3:30",
    ] {
        for (zone, after) in [
            ("Europe/Berlin", "2026-03-28T21:00:00Z"),
            ("Europe/Berlin", "2026-10-24T21:00:00Z"),
            ("America/New_York", "2026-03-08T04:00:00Z"),
            ("America/New_York", "2026-11-01T03:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T12:00:00Z"),
            ("America/St_Johns", "2026-11-01T01:00:00Z"),
        ] {
            same(text, zone, after, 12).expect("systemd takes it");
        }
    }
}

#[test]
fn what_systemd_refuses_we_refuse() {
    for text in [
        "*/5",
        "*:*/5",
        "Fri..Mon",
        "Mon-Fri",
        "mon,tuesday 9:00",
        "0/4:0",
        "5..3:00",
        "~01",
        "*-*~01",
        "02~03",
        "26-01-02",
        "99-01-02",
        "2026-02-30",
        "weekly",
        "biannually",
        "@1780000000",
        "*:0:60",
        "24:00",
        "1..5-1",
        "9",
        "9:",
        "*-* 3:00",
        "*-*~7/1",
        "*-*~03..01",
        "Sun..Sat",
        "Mon,*-*-01",
        "0..10/3:00",
        "*:5/0",
        "Mon..Wed,Fri 5:0",
        "5:0 utc",
        "",
        "3/2-1",
        "2026/2-1-1",
        "12:00 Nowhere/Land",
        "12:00 Europe/Berlin",
        "minutely",
        "monthly",
        "quarterly",
        "Daily",
        "daily UTC",
        "Mon",
        "Mon, 5:00",
        "5:00 5:00",
        "*-*-* *-*-*",
        "0:0:0:0",
        "-1:00",
        "+1:00",
        "1:00 Mon",
        "13-1",
        "*-0-1",
        "*-1-0",
        "*-*-1..7 18:00",
        "Mon *-*~7/1",
        "1:1:1..5",
        "1,2,:00",
        "hourly daily",
        "@x",
        "@",
        "*-*-1/40",
        "5..5:00",
        "0..10/30:00",
        "0..10/300:00",
        "*-*~28/1",
        "*-*~1/1",
        "*-*~5..5",
        "Mon..Mon",
        "1969-01-01",
        "2200-01-01",
    ] {
        same(text, "Europe/Berlin", "2026-03-27T00:00:00Z", 3);
    }
}
