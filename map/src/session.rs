//! Sessions: a challenge goes out, and comes back signed by a box's or a person's key over this map's own URL.
//!
//! That a challenge is used once is noted when somebody known used it.

use crate::{
    app::App,
    challenge,
    http::{body, problem::Problem},
    people,
    settings::Settings,
    store::{
        people as kept,
        sessions::{self, Opened},
    },
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;

use swarm_manifests::{
    report::{Challenge, SESSION_NAMESPACE, Session, SessionRequest, session_statement},
    signature::Signature,
};

/// `POST /v1/session`
pub async fn session(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: SessionRequest = body::json(body, body::SMALL, app.settings.patience).await?;
    let now = Timestamp::now();
    let (Some(nonce), Some(armour)) = (&asked.nonce, &asked.signature) else {
        let nonce = app
            .challenger
            .make(now)
            .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no random bytes"))?;
        return Ok(Json(Challenge {
            nonce,
            expires_in_s: challenge::GOOD_FOR.as_secs(),
        })
        .into_response());
    };
    let refused = |why: &str| Problem::new(StatusCode::UNAUTHORIZED, why.to_owned());
    let expires = app
        .challenger
        .expiry(nonce, now)
        .ok_or_else(|| refused("the challenge is not from here, or too old; ask for a new one"))?;
    let (_, fingerprint) = proven(
        &asked.key,
        armour,
        SESSION_NAMESPACE,
        &own_urls(&app.settings, app.port, &headers),
        |url, fingerprint| session_statement(url, nonce, fingerprint),
    )?;
    // A key that is a person's is nobody else's, whatever it was enrolled as before the policy had it.
    if people::has(&app.fleet.borrow().trunk, &fingerprint) {
        return of_person(&app, fingerprint, nonce.clone(), expires, now).await;
    }
    let (asked_nonce, asker) = (nonce.clone(), fingerprint.clone());
    match app
        .store
        .ask(move |ledger| sessions::open(&mut ledger.db, &asker, &asked_nonce, expires, now))
        .await?
    {
        Opened::Session(session) => Ok(Json(Session {
            session,
            expires_in_s: sessions::LASTS.as_secs(),
        })
        .into_response()),
        Opened::NonceUsed => Err(refused("the challenge was used before; ask for a new one")),
        Opened::UnknownKey => of_person(&app, fingerprint, nonce.clone(), expires, now).await,
    }
}

/// A session for the person whose key it is.
async fn of_person(
    app: &App,
    fingerprint: String,
    nonce: String,
    expires: Timestamp,
    now: Timestamp,
) -> Result<Response, Problem> {
    let refused = |why: String| Problem::new(StatusCode::UNAUTHORIZED, why);
    let trunk = app.fleet.borrow().trunk.clone();
    let Some(person) = people::person(&trunk, &fingerprint) else {
        let where_people_are = match trunk {
            Some(_) => "and policy.toml has nobody with it, or revokes it",
            None => "and without --repository this map knows no people",
        };
        return Err(refused(format!(
            "no box enrolled with {fingerprint}, {where_people_are}; a box is enrolled with a token from swarm-map token"
        )));
    };
    let session = app
        .store
        .ask(move |ledger| kept::open(&mut ledger.db, &fingerprint, &nonce, expires, now))
        .await?;
    let session = session
        .ok_or_else(|| refused("the challenge was used before; ask for a new one".into()))?;
    tracing::info!(person = person.name.as_str(), key = person.key, "logged in");
    Ok(Json(Session {
        session,
        expires_in_s: kept::LASTS.as_secs(),
    })
    .into_response())
}

/// The key, and its fingerprint, where the signature is by it and over what is to be signed for one of our URLs.
pub fn proven(
    key: &str,
    armour: &str,
    namespace: &str,
    urls: &[String],
    statement: impl Fn(&str, &str) -> String,
) -> Result<(ssh_key::PublicKey, String), Problem> {
    let refused = |why: String| Problem::new(StatusCode::UNAUTHORIZED, why);
    let key = ssh_key::PublicKey::from_openssh(key.trim())
        .map_err(|_| Problem::malformed("key is not an OpenSSH public key"))?;
    let signature = Signature::parse(armour.as_bytes())
        .map_err(|error| refused(format!("the signature: {error}")))?;
    if signature.key().key_data() != key.key_data() {
        return Err(refused("the signature is by another key".into()));
    }
    let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let mut verdict =
        refused("this map does not know by which URL it is reached; start it with --url".into());
    for url in urls {
        match signature.verify(namespace, statement(url, &fingerprint).as_bytes()) {
            Ok(()) => return Ok((key, fingerprint)),
            Err(error) => verdict = refused(format!("the signature, over {url}: {error}")),
        }
    }
    Err(verdict)
}

/// The URLs that a challenge may be signed for: those that were configured; without any, a loopback address with our own port.
///
/// What a request says of itself is believed no further than that, or a map that is asked for a session could hand our
/// challenge on to the box and its answer to us.
pub fn own_urls(settings: &Settings, port: u16, headers: &HeaderMap) -> Vec<String> {
    if !settings.urls.is_empty() {
        return settings.urls.clone();
    }
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let ours = ["127.0.0.1", "localhost", "[::1]"]
        .into_iter()
        .any(|name| host == format!("{name}:{port}"));
    if ours {
        vec![format!("{scheme}://{host}")]
    } else {
        vec![]
    }
}
