//! `GET /v1/boxes`, `/v1/workflows` and one of each; `/v1/trunk`.

use super::query::{Query, Takes};
use crate::{
    app::App,
    fleet::{
        BoxView,
        select::{self, Filter, Page, WorkflowView},
        trunk::Trunk,
    },
    http::problem::Problem,
};
use axum::{
    Json,
    extract::{Path, Query as Asked, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::Serialize;
use swarm_manifests::status::Row;

/// A box with its rows.
#[derive(Debug, Serialize)]
pub struct WithRows {
    #[serde(flatten)]
    view: BoxView,
    rows: Vec<Row>,
}

/// What axum made of the query.
pub type Asking = Result<Asked<Query>, QueryRejection>;

/// The query, or why it is not understood.
pub fn query(asking: Asking) -> Result<Query, Problem> {
    asking
        .map(|Asked(query)| query)
        .map_err(|error| Problem::malformed(error.body_text()))
}

/// `GET /v1/boxes`
pub async fn boxes(State(app): State<App>, asking: Asking) -> Result<Json<Page<BoxView>>, Problem> {
    let query = query(asking)?;
    query.only(&Takes(&["where", "state", "box"]))?;
    let (filter, limit) = (query.filter(true)?, query.limit()?);
    let fleet = app.fleet.borrow().clone();
    let page = select::page(
        select::boxes(&fleet, &filter),
        |view| view.name.to_string(),
        query.cursor.as_deref(),
        limit,
    );
    Ok(Json(Page {
        items: page.items.into_iter().cloned().collect(),
        next: page.next,
    }))
}

/// `GET /v1/boxes/{box}`
pub async fn one_box(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<WithRows>, Problem> {
    let fleet = app.fleet.borrow().clone();
    let view = fleet
        .boxes
        .iter()
        .find(|view| view.name.as_str() == name)
        .cloned();
    let view = view
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no box of this name is known here"))?;
    Ok(Json(WithRows {
        rows: view.rows.iter().map(|row| view.by_now(row)).collect(),
        view,
    }))
}

/// `GET /v1/workflows`
pub async fn workflows(
    State(app): State<App>,
    asking: Asking,
) -> Result<Json<Page<WorkflowView>>, Problem> {
    let query = query(asking)?;
    query.only(&Takes(&["where", "state", "mode", "box"]))?;
    let (filter, limit) = (query.filter(false)?, query.limit()?);
    let fleet = app.fleet.borrow().clone();
    let found = select::workflows(&fleet, &filter);
    Ok(Json(select::page(
        found.into_iter(),
        |view| view.workflow.clone(),
        query.cursor.as_deref(),
        limit,
    )))
}

/// `GET /v1/workflows/{workflow}`
pub async fn one_workflow(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<WorkflowView>, Problem> {
    let fleet = app.fleet.borrow().clone();
    let found = select::workflows(&fleet, &Filter::default())
        .into_iter()
        .find(|view| view.workflow == name);
    found
        .map(Json)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no box has a workflow of this name"))
}

/// The trunk, and the id in its policy.toml: what requests are signed for.
#[derive(Debug, Serialize)]
pub struct WithId {
    #[serde(flatten)]
    trunk: Trunk,
    repository_id: Option<String>,
}

/// `GET /v1/trunk`
pub async fn trunk(State(app): State<App>) -> Result<Json<WithId>, Problem> {
    let known = app.fleet.borrow().trunk.clone();
    known
        .map(|trunk| {
            let policy = trunk.policy.as_ref();
            Json(WithId {
                repository_id: policy.map(|policy| policy.repository.clone()),
                trunk: Trunk::clone(&trunk),
            })
        })
        .ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_FOUND,
                "this map mirrors no repository (--repository, --introduction, --policy-sha256)",
            )
        })
}
