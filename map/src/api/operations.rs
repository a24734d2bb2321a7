//! How the map itself is: `/healthz`, `/readyz`, `/metrics`; and the answer to what is not built yet.

use crate::{
    app::App,
    fleet::{BoxState, is_wrong},
    http::problem::Problem,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// `GET /healthz`
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`
pub async fn readyz(State(app): State<App>) -> Response {
    let asked = app
        .store
        .ask(|ledger| Ok(ledger.db.query_row("SELECT 1", [], |_| Ok(()))?));
    match tokio::time::timeout(std::time::Duration::from_secs(2), asked).await {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(error)) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the store does not answer: {error}"),
        )
        .into_response(),
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the store does not answer in time",
        )
        .into_response(),
    }
}

/// `GET /metrics`: figures without names.
pub async fn metrics(State(app): State<App>) -> Response {
    let fleet = app.fleet.borrow().clone();
    let mut boxes: BTreeMap<&str, usize> = [
        BoxState::Online,
        BoxState::Stale,
        BoxState::Forked,
        BoxState::Late,
        BoxState::Offline,
        BoxState::Pending,
    ]
    .map(|state| (state.as_str(), 0))
    .into();
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = 0;
    for view in &fleet.boxes {
        *boxes.entry(view.state.as_str()).or_default() += 1;
        wrong += view.rows.iter().filter(|row| is_wrong(row)).count();
        for row in view.rows.iter() {
            *rows.entry(row.state.as_str()).or_default() += 1;
        }
    }
    let mut text = String::new();
    family(
        &mut text,
        "swarm_map_boxes",
        "gauge",
        "Boxes by state.",
        boxes
            .iter()
            .map(|(state, n)| (format!("{{state=\"{state}\"}}"), *n as u64)),
    );
    family(
        &mut text,
        "swarm_map_instances",
        "gauge",
        "Instances of workflows by state.",
        rows.iter()
            .map(|(state, n)| (format!("{{state=\"{state}\"}}"), *n as u64)),
    );
    family(
        &mut text,
        "swarm_map_wrong_instances",
        "gauge",
        "Instances that are not as they should be.",
        [(String::new(), wrong as u64)],
    );
    family(
        &mut text,
        "swarm_map_changes",
        "counter",
        "Changes since the map started.",
        [("_total".into(), app.feed.watch().borrow().last())],
    );
    family(
        &mut text,
        "swarm_map_nudges",
        "counter",
        "Nudges to look at git since the map started.",
        [("_total".into(), app.nudges.count())],
    );
    text += "# EOF\n";
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

fn family(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl IntoIterator<Item = (String, u64)>,
) {
    let _ = writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}");
    for (suffix, value) in samples {
        let _ = writeln!(text, "{name}{suffix} {value}");
    }
}

/// What the contract describes and this version does not do.
pub async fn not_built() -> Problem {
    Problem::not_built("the transparency log")
}
