//! Schedules: what is refused, and changes of the clocks. That times are systemd's is judged by systemd itself, in `tests/schedules.rs`.

use super::*;

fn times(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text).unwrap_or_else(|why| panic!("{text} {why}"));
    let zone = TimeZone::get(zone).expect("a zone");
    let mut at: Timestamp = after.parse().expect("a time");
    let mut times = Vec::new();
    while times.len() < count
        && let Some(next) = schedule.next(at, &zone)
    {
        times.push(
            next.to_zoned(zone.clone())
                .strftime("%a %F %T %Z")
                .to_string(),
        );
        at = next;
    }
    times
}

#[test]
fn a_time_that_the_clocks_leave_out_is_left_out_and_one_that_comes_twice_counts_once() {
    assert_eq!(
        times("02:30", "Europe/Berlin", "2026-03-28T00:00:00Z", 2),
        [
            "Sat 2026-03-28 02:30:00 CET",
            "Mon 2026-03-30 02:30:00 CEST"
        ]
    );
    assert_eq!(
        times("02:30", "Europe/Berlin", "2026-10-24T23:00:00Z", 2),
        [
            "Sun 2026-10-25 02:30:00 CEST",
            "Mon 2026-10-26 02:30:00 CET"
        ]
    );
    // In between the two: it was already.
    assert_eq!(
        times("02:30", "Europe/Berlin", "2026-10-25T00:45:00Z", 1),
        ["Mon 2026-10-26 02:30:00 CET"]
    );
}

#[test]
fn a_zone_of_its_own_and_utc_count_everywhere() {
    assert_eq!(
        times(
            "12:00 America/New_York",
            "Asia/Tokyo",
            "2026-07-01T00:00:00Z",
            1
        ),
        ["Thu 2026-07-02 01:00:00 JST"]
    );
    assert_eq!(
        times("12:00 UTC", "Asia/Tokyo", "2026-07-01T00:00:00Z", 1),
        ["Wed 2026-07-01 21:00:00 JST"]
    );
}

#[test]
fn cron_takes_day_or_weekday_where_both_are_given() {
    let both = times("0 6 13 * 5", "UTC", "2026-01-01T00:00:00Z", 4);
    assert_eq!(
        both,
        [
            "Fri 2026-01-02 06:00:00 UTC",
            "Fri 2026-01-09 06:00:00 UTC",
            "Tue 2026-01-13 06:00:00 UTC",
            "Fri 2026-01-16 06:00:00 UTC"
        ]
    );
    assert_eq!(
        times("*/20 8-9 * jan,jul mon", "UTC", "2026-01-06T00:00:00Z", 2),
        ["Mon 2026-01-12 08:00:00 UTC", "Mon 2026-01-12 08:20:00 UTC"]
    );
    assert_eq!(
        times("0 0 * * 7", "UTC", "2026-01-06T00:00:00Z", 1),
        times("@weekly", "UTC", "2026-01-06T00:00:00Z", 1)
    );
    assert_eq!(
        times("0 0 */10 * 1", "UTC", "2026-01-01T00:00:00Z", 1),
        ["Mon 2026-05-11 00:00:00 UTC"],
        "a field that begins with * is not given: both have to hold"
    );
}

#[test]
fn what_is_no_schedule_is_refused_with_the_part_that_is_wrong() {
    for (text, why) in [
        ("", "says no time"),
        ("sometimes", "\"sometimes\""),
        ("Mon 25:00", "\"25\""),
        ("*/5", "\"*/5\""),
        ("02:00 Nowhere/Land", "\"Nowhere/Land\""),
        ("60 * * * *", "\"60\""),
        ("* * * * mun", "\"mun\""),
        ("@reboot", "@daily"),
        ("12:00:00.5", "\"00.5\""),
        ("9", "\"9\""),
    ] {
        let wrong = Schedule::parse(text).expect_err(text);
        assert!(wrong.contains(why), "{text}: {wrong}");
    }
    assert!(Schedule::parse(&"1,".repeat(200)).is_err());
}

#[test]
fn what_never_comes_is_none() {
    assert!(times("2020-01-01", "UTC", "2026-01-01T00:00:00Z", 1).is_empty());
    assert!(times("02-30", "UTC", "2026-01-01T00:00:00Z", 1).is_empty());
}
