//! `POST /v1/boxes/{box}/report`: what a box says of itself comes in, is bounded, and goes to the store.

use crate::{
    app::App,
    http::{auth::Speaker, body, problem::Problem},
    store::requests,
};
use axum::{Extension, Json, body::Body, extract::State, http::StatusCode};
use jiff::Timestamp;
use swarm_manifests::{
    name::Name,
    report::{BoxStatus, Event, Report, ReportAnswer},
    status::Row,
};

/// The most rows, events and warnings of one report.
const MOST: usize = 10_000;
/// The longest text in a report that is kept whole, in bytes.
const TEXT: usize = 16 << 10;

/// Takes a report, and says when the next one is expected.
pub async fn report(
    State(app): State<App>,
    Extension(Speaker(name)): Extension<Speaker>,
    body: Body,
) -> Result<Json<ReportAnswer>, Problem> {
    let _seat = app
        .seats
        .reports
        .acquire()
        .await
        .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the map is ending"))?;
    let report: Report = body::json(body, body::LARGE, app.settings.patience).await?;
    let mut report = bounded(&name, report)?;
    let outcomes = std::mem::take(&mut report.outcomes);
    let speaking = name.clone();
    let (taken, is_news, requests) = app
        .store
        .ask(move |ledger| {
            let now = Timestamp::now();
            let taken = ledger.take(&speaking, report, now)?;
            let is_news = requests::answered(&ledger.db, &speaking, &outcomes)?;
            let waiting = requests::waiting(&ledger.db, &speaking, now)?;
            Ok((taken, is_news, waiting))
        })
        .await?;
    if is_news {
        app.nudges.answered();
    }
    let resend = taken
        .ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, format!("{name} is not enrolled")))?;
    Ok(Json(ReportAnswer {
        next_in_s: app.settings.heartbeat.as_secs().max(1),
        resend,
        witness: app
            .fleet
            .borrow()
            .trunk
            .as_ref()
            .and_then(|trunk| trunk.witness.clone()),
        requests,
    }))
}

/// The report with its texts cut to what is kept, or why it is not taken at all. Pure.
fn bounded(name: &Name, mut report: Report) -> Result<Report, Problem> {
    clip(&mut report.boot);
    clip(&mut report.agent_version);
    if let Some(status) = &mut report.status {
        if status.warnings.len() > MOST
            || status.protections.len() > MOST
            || status.facts.labels.len() + status.facts.facts.len() > MOST
        {
            return Err(Problem::malformed(format!(
                "a status has at most {MOST} warnings, protections, labels and facts"
            )));
        }
        clip_status(status);
        // Who it is, is what its session says.
        status.facts.name = name.to_string();
    }
    for row in report.rows.iter_mut().flatten() {
        if row.box_name != name.as_str() {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!(
                    "{name} may report only its own rows, not those of {:?}",
                    short(&row.box_name)
                ),
            ));
        }
        named("a row", &row.workflow)?;
        clip_row(row);
    }
    if report.rows.as_ref().is_some_and(|rows| rows.len() > MOST) || report.events.len() > MOST {
        return Err(Problem::malformed(format!(
            "a report has at most {MOST} rows and {MOST} events"
        )));
    }
    if report.outcomes.len() > MOST || report.measures.len() > MOST {
        return Err(Problem::malformed(format!(
            "a report has at most {MOST} outcomes and {MOST} measures"
        )));
    }
    for outcome in &mut report.outcomes {
        clip_all([&mut outcome.id, &mut outcome.message]);
        clip_all(outcome.rule.iter_mut().chain(&mut outcome.lines));
    }
    for event in &mut report.events {
        event
            .workflow
            .as_ref()
            .map_or(Ok(()), |workflow| named("an event", workflow))?;
        clip_event(event);
    }
    Ok(report)
}

fn named(what: &str, workflow: &str) -> Result<(), Problem> {
    Name::new(workflow)
        .map(drop)
        .map_err(|error| Problem::malformed(format!("{what} of {:?}: {error}", short(workflow))))
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

fn clip(text: &mut String) {
    if text.len() > TEXT {
        let cut = (0..=TEXT)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        let lost = text.len() - cut;
        text.truncate(cut);
        *text += &format!("… ({lost} bytes cut)");
    }
}

fn clip_all<'a>(texts: impl IntoIterator<Item = &'a mut String>) {
    texts.into_iter().for_each(clip);
}

fn clip_status(status: &mut BoxStatus) {
    let BoxStatus {
        facts,
        location: _,
        commit,
        position: _,
        remote,
        remote_head,
        trouble,
        freshness,
        warnings,
        protections,
    } = status;
    for value in facts.labels.values_mut().chain(facts.facts.values_mut()) {
        if let swarm_manifests::facts::Value::Text(text) = value {
            clip(text);
        }
    }
    clip_all([commit, remote, remote_head].into_iter().flatten());
    clip_all(warnings.iter_mut().chain(protections));
    for trouble in [trouble, freshness].into_iter().flatten() {
        clip_all([&mut trouble.rule, &mut trouble.reason]);
        clip_all(
            [&mut trouble.hint, &mut trouble.commit]
                .into_iter()
                .flatten(),
        );
    }
}

fn clip_row(row: &mut Row) {
    let Row {
        bundle,
        version,
        digest,
        mode,
        reason,
        rule,
        since,
        commit,
        by,
        next,
        protections,
        last_exit: _,
        ..
    } = row;
    protections.truncate(MOST);
    clip_all(protections.iter_mut());
    clip_all(
        [
            bundle, version, digest, mode, reason, rule, since, commit, by,
        ]
        .into_iter()
        .flatten(),
    );
    if let Some(next) = next {
        clip(&mut next.reason);
        clip_all(
            [&mut next.version, &mut next.commit, &mut next.rule]
                .into_iter()
                .flatten(),
        );
    }
}

fn clip_event(event: &mut Event) {
    let Event {
        time,
        action,
        version,
        digest,
        commit,
        by,
        key,
        rule,
        reason,
        ..
    } = event;
    clip_all([time, action]);
    clip_all(
        [version, digest, commit, by, key, rule, reason]
            .into_iter()
            .flatten(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let mut text = "é".repeat(TEXT);
        clip(&mut text);
        assert!(
            text.len() < TEXT + 40 && text.ends_with(&format!("… ({TEXT} bytes cut)")),
            "{}",
            &text[TEXT - 8..]
        );
    }
}
