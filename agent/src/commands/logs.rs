//! `logs`: what a workflow prints.

use super::{Context, Failure, Outcome, ask, out, request, text};
use crate::cli::Fleet;
use jiff::Timestamp;
use std::io::Write;
use swarm_manifests::units::parse_duration;
use swarm_supervisor::protocol::{LogLine, Request, Response};

/// Which lines.
pub struct Wanted {
    /// Of this workflow.
    pub name: String,
    /// And those to come.
    pub follow: bool,
    /// Only the last so many.
    pub lines: Option<usize>,
    /// Only newer ones.
    pub since: Option<String>,
}

/// Prints the lines.
pub fn logs(context: &Context, wanted: &Wanted, narrowed: &Fleet) -> Outcome {
    if narrowed.is_asked_for() {
        return request::logs(context, wanted, narrowed);
    }
    let since = wanted
        .since
        .as_deref()
        .map(|text| moment(text, Timestamp::now()))
        .transpose()?;
    let request = Request::Logs {
        workflow: wanted.name.clone(),
        follow: wanted.follow,
        lines: wanted.lines,
        since_unix_ms: since,
    };
    let are_several = !context.json && {
        let rows = ask::rows(context, &Request::List { full: false })?;
        let mut own = rows.iter().filter(|row| row.workflow == wanted.name);
        own.any(|row| row.instance > 0)
    };
    let mut out = std::io::stdout().lock();
    let mut kept = Vec::new();
    let exit = ask::each(context, &request, |response| {
        let Some(line) = line(response) else {
            return Ok(());
        };
        match (context.json, wanted.follow) {
            (true, true) => writeln!(out, "{}", serde_json::to_string(&line)?)?,
            (true, false) => kept.push(line),
            (false, _) => {
                let are_several = are_several || line.instance > 0;
                writeln!(out, "{}", written(&line, are_several))?;
            }
        }
        out.flush()?;
        Ok(())
    })?;
    if context.json && !wanted.follow {
        out::json(&kept)?;
    }
    Ok(exit)
}

/// The line that is answered, if it is one.
pub fn line(response: Response) -> Option<LogLine> {
    match response {
        Response::Log(line) => Some(line),
        _ => None,
    }
}

/// A line as people read it; of which instance, where there are several.
pub fn written(line: &LogLine, are_several: bool) -> String {
    format!("{} {}", line.head(are_several), text::shown(&line.text))
}

/// Milliseconds since 1970 of `10m` ago, or of an RFC 3339 time.
fn moment(text: &str, now: Timestamp) -> Result<i64, Failure> {
    if let Ok(ago) = parse_duration(text) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(now.as_millisecond().saturating_sub(ago));
    }
    let wrong = || {
        Failure::with(
            2,
            format!("--since {text:?} is neither a duration nor a time"),
        )
        .hint("write 10m, 1h30m, or 2026-11-23T10:00:00Z")
    };
    text.parse::<Timestamp>()
        .map(Timestamp::as_millisecond)
        .map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_a_duration_or_a_time() {
        let now = Timestamp::from_millisecond(1_000_000).expect("in range");
        assert_eq!(moment("10s", now).expect("a duration"), 990_000);
        assert_eq!(moment("1970-01-01T00:00:01Z", now).expect("a time"), 1000);
        assert_eq!(moment("yesterday", now).expect_err("neither").exit, 2);
    }
}
