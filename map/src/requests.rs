//! `POST /v1/requests`, `GET /v1/requests/{id}`: a person's signed request on its way to boxes, and what became of it on each.
//!
//! What is asked is looked at here so that who asks hears at once what cannot be; boxes believe none of it, and look again.

use crate::{
    app::App,
    http::{body, problem::Problem},
    people::Person,
    store::requests::{self, Taken, View},
};
use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use jiff::Timestamp;
use serde::Deserialize;
use std::time::Duration;
use swarm_manifests::{
    name::Name,
    problem::Refusal,
    request::{Request, Signed},
    rules::remote::REQUEST_RIGHT,
};

/// How long who asks is kept waiting for news.
const WAIT: Duration = Duration::from_secs(15);

/// Takes a request, and calls its boxes.
pub async fn take(
    State(app): State<App>,
    Extension(person): Extension<Person>,
    body: Body,
) -> Result<(StatusCode, Json<View>), Problem> {
    let signed: Signed = body::json(body, body::SMALL, app.settings.patience).await?;
    let refused = |refusal: Refusal| {
        let status = if refusal.rule == &REQUEST_RIGHT {
            StatusCode::FORBIDDEN
        } else {
            StatusCode::BAD_REQUEST
        };
        Problem::new(status, refusal.reason).with("rule", refusal.rule.id)
    };
    let request = Request::parse(&signed.statement).map_err(refused)?;
    let fleet = app.fleet.borrow().clone();
    let policy = fleet.trunk.as_ref().and_then(|trunk| trunk.policy.clone());
    let policy = policy.ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "this map has not verified the repository yet",
        )
    })?;
    let boxes: Vec<&Name> = request.boxes.iter().collect();
    let now = Timestamp::now();
    let by = request
        .check(&signed, &policy, &boxes, now)
        .map_err(refused)?;
    if by.name != person.name {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!(
                "it is signed by {}, and this is a session of {}",
                by.name, person.name
            ),
        ));
    }
    let known = |name: &&Name| fleet.boxes.iter().any(|view| view.name == **name);
    if let Some(name) = boxes.iter().find(|name| !known(name)) {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            format!("no box {name} is known here"),
        ));
    }
    let (id, called) = (request.id.clone(), request.boxes.clone());
    let taken = app
        .store
        .ask(move |ledger| ledger.take_request(&request, &signed, &by, now))
        .await?;
    match taken {
        Taken::Yes(_) => {}
        Taken::Known => {
            let why = "a request with this id is known already";
            return Err(Problem::new(StatusCode::CONFLICT, why));
        }
        Taken::TooMany => {
            let why = "too many requests of yours wait already";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, why));
        }
    }
    app.nudges.call(&called);
    let view = look(&app, &id, &person).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// What the query may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// So many boxes had answered when who asks looked last: waits for more, for a while.
    answered: Option<usize>,
}

/// What became of it.
pub async fn one(
    State(app): State<App>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<View>, Problem> {
    let Query(asked) = asked.map_err(|error| Problem::malformed(error.body_text()))?;
    let mut answers = app.nudges.answers();
    let until = tokio::time::Instant::now() + WAIT;
    loop {
        answers.mark_unchanged();
        let view = look(&app, &id, &person).await?;
        let answered = view.boxes.values().flatten().count();
        if asked.answered.is_none_or(|seen| answered != seen) || answered == view.boxes.len() {
            return Ok(Json(view));
        }
        let more = tokio::select! {
            () = app.stop.cancelled() => false,
            changed = answers.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(until) => false,
        };
        if !more {
            return Ok(Json(view));
        }
    }
}

async fn look(app: &App, id: &str, person: &Person) -> Result<View, Problem> {
    let (id, name) = (id.to_owned(), person.name.clone());
    let found = app
        .store
        .ask(move |ledger| requests::one(&ledger.db, &id, &name))
        .await?;
    found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no request of yours has this id"))
}
