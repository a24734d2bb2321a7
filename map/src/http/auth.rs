//! Who may ask what: each route says which [`Access`] it has, and is wrapped in the guard of it when the router is made.

use super::problem::Problem;
use crate::{
    app::App,
    login::COOKIE,
    page,
    people::{self, Person},
    store::people as kept,
};
use axum::{
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use swarm_manifests::name::Name;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it tells nobody anything about the fleet.
    Public,
    /// What the caller sends proves itself: a token, a signed challenge, a webhook's signature.
    Proof,
    /// A person's session, or a map that was started with `--public-read`.
    Reader,
    /// A session of the very box that the path names.
    OwnBox,
    /// A person's session, whatever `--public-read` says.
    Person,
}

/// The box that the guard of [`Access::OwnBox`] found to be speaking, of itself.
#[derive(Debug, Clone)]
pub struct Speaker(pub Name);

/// The guard of all routes: lets through who may, with what was found out about them.
pub async fn guard(
    State((app, access)): State<(App, Access)>,
    path: Option<Path<BTreeMap<String, String>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let verdict = match access {
        Access::Public | Access::Proof => Ok(()),
        Access::Reader if app.settings.public_read => Ok(()),
        // A browser sends its cookie along by itself: with it one may read, and nothing else.
        Access::Reader => {
            let secret = bearer(request.headers()).or_else(|| cookie(request.headers()));
            person(&app, secret.map(str::to_owned)).await.map(|person| {
                request.extensions_mut().insert(person);
            })
        }
        Access::Person => person(&app, bearer(request.headers()).map(str::to_owned))
            .await
            .map(|person| {
                request.extensions_mut().insert(person);
            }),
        Access::OwnBox => own_box(
            &app,
            path.as_ref().and_then(|path| path.get("box")),
            request.headers(),
        )
        .await
        .map(|name| {
            request.extensions_mut().insert(Speaker(name));
        }),
    };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(problem) if request.uri().path() == "/" => page::refused(&problem),
        Err(problem) => problem.into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// Whose session this is, if the policy still knows them.
async fn person(app: &App, secret: Option<String>) -> Result<Person, Problem> {
    let refused = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "this needs the session of a person of policy.toml: swarm-agent login; for a browser: swarm-agent login --web",
        )
    };
    let secret = secret.ok_or_else(refused)?;
    let now = Timestamp::now();
    let key = app
        .store
        .ask(move |ledger| kept::owner(&ledger.db, &secret, now))
        .await?
        .ok_or_else(refused)?;
    let trunk = app.fleet.borrow().trunk.clone();
    people::person(&trunk, &key).ok_or_else(refused)
}

async fn own_box(app: &App, named: Option<&String>, headers: &HeaderMap) -> Result<Name, Problem> {
    let unknown = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "this needs the session of a box: POST /v1/session",
        )
    };
    let token = bearer(headers).ok_or_else(unknown)?.to_owned();
    let now = Timestamp::now();
    let owner = app
        .store
        .ask(move |ledger| crate::store::sessions::owner(&ledger.db, &token, now))
        .await?;
    let (owner, key) = owner.ok_or_else(unknown)?;
    if people::has(&app.fleet.borrow().trunk, &key) {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            format!(
                "the key of {owner} is a person's in policy.toml, so it is no box's any more; enrol the box with a key of its own: swarm-map token --box {owner} --replace"
            ),
        ));
    }
    if named.map(String::as_str) != Some(owner.as_str()) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!("a box may speak only for itself, and this is a session of {owner}"),
        ));
    }
    Ok(owner)
}
