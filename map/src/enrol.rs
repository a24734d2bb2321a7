//! `POST /v1/enrol`: a box brings its key with the proof that it is its own, and a token that lets it in once.

use crate::{
    app::App,
    http::{body, problem::Problem},
    people, session,
    store::tokens::Redeemed,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde_json::json;
use ssh_key::Algorithm;
use swarm_manifests::{
    name::Name,
    report::{ENROL_NAMESPACE, Enrol, enrol_statement},
};

/// Takes the key, or says why not.
pub async fn enrol(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: Enrol = body::json(body, body::SMALL, app.settings.patience).await?;
    let name =
        Name::new(&asked.box_name).map_err(|error| Problem::malformed(format!("box: {error}")))?;
    let refused = |status, why: String| Err(Problem::new(status, why));
    let (key, fingerprint) = session::proven(
        &asked.key,
        &asked.signature,
        ENROL_NAMESPACE,
        &session::own_urls(&app.settings, app.port, &headers),
        |url, key| enrol_statement(url, name.as_str(), asked.token.trim(), key),
    )?;
    if !matches!(
        key.algorithm(),
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. }
    ) {
        return Err(Problem::malformed(format!(
            "a box's key is ed25519, ECDSA or RSA, not {}",
            key.algorithm()
        )));
    }
    if people::has(&app.fleet.borrow().trunk, &fingerprint) {
        return refused(
            StatusCode::CONFLICT,
            "this key is a person's in policy.toml; a box has a key of its own".into(),
        );
    }
    let (enrolling, token) = (name.clone(), asked.token);
    let redeemed = app
        .store
        .ask(move |ledger| ledger.enrol(&enrolling, token.trim(), &key, Timestamp::now()))
        .await?;
    match redeemed {
        Redeemed::Enrolled(_) => {
            tracing::info!(r#box = %name, key = %fingerprint, "enrolled");
            Ok((
                StatusCode::CREATED,
                Json(json!({ "box": name, "key": fingerprint })),
            )
                .into_response())
        }
        Redeemed::Already => Ok(Json(json!({ "box": name, "key": fingerprint })).into_response()),
        // One answer for all, so that nobody learns which tokens there are.
        Redeemed::NoSuchToken => refused(
            StatusCode::FORBIDDEN,
            format!(
                "the token is unknown, used, expired or not for {name}; make one with swarm-map token --box {name}"
            ),
        ),
        Redeemed::KeyInPlace => refused(
            StatusCode::CONFLICT,
            format!(
                "{name} is enrolled with another key; a token made with --replace may replace it"
            ),
        ),
        Redeemed::KeyOfAnother => refused(
            StatusCode::CONFLICT,
            "this key is another box's; each box has its own".into(),
        ),
    }
}
