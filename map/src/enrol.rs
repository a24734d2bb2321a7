//! `POST /v1/enrol`: a box brings its key, and a token that lets it in once.

use crate::{
    app::App,
    http::{body, problem::Problem},
    store::tokens::Redeemed,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use serde_json::json;
use ssh_key::Algorithm;
use swarm_manifests::{name::Name, report::Enrol};

/// Takes the key, or says why not.
pub async fn enrol(State(app): State<App>, body: Body) -> Result<Response, Problem> {
    let asked: Enrol = body::json(body, body::SMALL, app.settings.patience).await?;
    let name =
        Name::new(&asked.box_name).map_err(|error| Problem::malformed(format!("box: {error}")))?;
    let key = ssh_key::PublicKey::from_openssh(asked.key.trim())
        .map_err(|_| Problem::malformed("key is not an OpenSSH public key"))?;
    if !matches!(
        key.algorithm(),
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. }
    ) {
        return Err(Problem::malformed(format!(
            "a box's key is ed25519, ECDSA or RSA, not {}",
            key.algorithm()
        )));
    }
    let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let (enrolling, token) = (name.clone(), asked.token);
    let redeemed = app
        .store
        .ask(move |ledger| ledger.enrol(&enrolling, token.trim(), &key, Timestamp::now()))
        .await?;
    let refused = |status, why: String| Err(Problem::new(status, why));
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
