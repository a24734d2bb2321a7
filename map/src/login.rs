//! How a person's browser gets in: a link that opens a session once, and keeps it in a cookie for reading only.

use crate::{
    app::App,
    http::problem::Problem,
    page,
    people::{self, Person},
    store::people as kept,
};
use axum::{
    Extension, Json,
    extract::{Query, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The cookie that holds a session.
pub const COOKIE: &str = "swarm-session";

/// What `POST /v1/session/link` answers.
#[derive(Debug, Serialize)]
pub struct Link {
    path: String,
    expires_in_s: u64,
}

/// `POST /v1/session/link`: a link for the person's own browser.
pub async fn link(
    State(app): State<App>,
    Extension(person): Extension<Person>,
) -> Result<Json<Link>, Problem> {
    let link = app
        .store
        .ask(move |ledger| kept::link(&mut ledger.db, &person.key, Timestamp::now()))
        .await?;
    Ok(Json(Link {
        path: format!("/login?once={link}"),
        expires_in_s: kept::LINK_LASTS.as_secs(),
    }))
}

/// The query of a link.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Once {
    once: String,
}

/// `GET /login?once=…`: a cookie for the secret, and on to the page.
pub async fn login(
    State(app): State<App>,
    Query(Once { once }): Query<Once>,
) -> Result<Response, Problem> {
    let opened = app
        .store
        .ask(move |ledger| kept::follow(&mut ledger.db, &once, Timestamp::now()))
        .await?;
    let trunk = app.fleet.borrow().trunk.clone();
    let known = opened.filter(|(key, _)| people::person(&trunk, key).is_some());
    let Some((_, session)) = known else {
        return Ok(page::refused(&Problem::new(
            StatusCode::UNAUTHORIZED,
            "This link was used, or is too old. Make a new one: swarm-agent login --web",
        )));
    };
    let is_https = app.settings.tls.is_some()
        || app
            .settings
            .urls
            .iter()
            .any(|url| url.starts_with("https://"));
    let cookie = format!(
        "{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}",
        kept::LASTS.as_secs(),
        if is_https { "; Secure" } else { "" }
    );
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_static("/"));
    let cookie = HeaderValue::try_from(cookie)
        .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no cookie"))?;
    headers.insert(header::SET_COOKIE, cookie);
    Ok(response)
}
