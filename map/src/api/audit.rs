//! `GET /v1/audit`: newest first, in portions.

use super::{
    fleet::{Asking, query},
    query::Takes,
};
use crate::{
    app::App,
    fleet::select::Page,
    http::problem::Problem,
    store::audit::{Entry, Filter, page},
};
use axum::{Json, extract::State};

/// `GET /v1/audit`
pub async fn audit(State(app): State<App>, asking: Asking) -> Result<Json<Page<Entry>>, Problem> {
    let query = query(asking)?;
    query.only(&Takes(&["box", "workflow", "action", "by"]))?;
    let limit = query.limit()?;
    let before = query
        .cursor
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|_| Problem::malformed("cursor is not one that was given out here"))?;
    let filter = Filter {
        box_name: query.box_name,
        workflow: query.workflow,
        action: query.action,
        by: query.by,
        before,
    };
    // One more than asked for tells whether there is a next portion.
    let most = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut items = app
        .store
        .ask(move |ledger| page(&ledger.db, &filter, most))
        .await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items
        .last()
        .filter(|_| more)
        .map(|entry| entry.id.to_string());
    Ok(Json(Page { items, next }))
}
