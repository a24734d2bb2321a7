//! `login`: proves to a map who you are, by one of your SSH keys, and keeps the session for `--map`.
//!
//! Touches the map, the key, and one file at home.

use super::{Context, Outcome, fleet::Map, out, person::Key};
use crate::cli::Fleet;
use anyhow::Context as _;
use std::path::PathBuf;
use swarm_manifests::report::{
    Challenge, SESSION_NAMESPACE, Session, SessionRequest, session_statement,
};
use swarm_wire::sessions;

/// Logs in; with `web` prints a link for a browser.
pub fn login(context: &Context, map: Option<String>, key: Option<PathBuf>, web: bool) -> Outcome {
    let narrowed = Fleet {
        map: Some(map.unwrap_or_default()),
        only: None,
        selector: None,
        key: None,
    };
    let mut map = Map::of(context, &narrowed)?;
    let key = Key::find(key)?;
    let fingerprint = key.public.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let line = key.public.to_openssh().map_err(anyhow::Error::from)?;
    let ask = |nonce, signature| SessionRequest {
        key: line.clone(),
        nonce,
        signature,
    };
    let challenge: Challenge = map.post("/v1/session", &ask(None, None))?;
    let statement = session_statement(map.url(), &challenge.nonce, &fingerprint);
    let signature = key.sign(SESSION_NAMESPACE, &statement)?;
    let answer = ask(Some(challenge.nonce), Some(signature));
    let session: Session = map.post("/v1/session", &answer)?;
    sessions::keep(map.url(), &session.session, session.expires_in_s)
        .context("the session could not be kept")?;
    map.session = Some(session.session);
    let hours = session.expires_in_s / 3600;
    eprintln!(
        "logged in at {} with {fingerprint}, for {hours} h",
        map.url()
    );
    let link = if web {
        let link: serde_json::Value = map.post("/v1/session/link", &serde_json::json!({}))?;
        let path = link.get("path").and_then(serde_json::Value::as_str);
        let path = path.context("the map's answer has no link")?;
        Some(format!("{}{path}", map.url()))
    } else {
        None
    };
    if context.json {
        out::line(
            serde_json::json!({"map": map.url(), "key": fingerprint, "expires_in_s": session.expires_in_s, "link": link}),
        )?;
    } else if let Some(link) = link {
        out::line(link)?;
        eprintln!("open it in your browser: it works once, within five minutes");
    }
    Ok(0)
}
