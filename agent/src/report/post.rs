//! What the reporter asks of its map: JSON goes out, JSON or the reason of a refusal comes back. Touches the network.

use anyhow::Context;
use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;
use swarm_wire::http::{Client, HeaderValue, Method, StatusCode, header};

/// The largest answer of a map that is read, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// How long one request may take.
pub(super) const TIME: Duration = Duration::from_secs(20);

/// Posts JSON and reads JSON; an answer that is no success comes as its status and the start of its text.
pub(super) async fn post<B: Serialize, A: DeserializeOwned>(
    client: &mut Client,
    path: &str,
    session: Option<&str>,
    body: &B,
) -> anyhow::Result<Result<A, (StatusCode, String)>> {
    let mut headers = vec![(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )];
    if let Some(session) = session {
        headers.push((header::AUTHORIZATION, bearer(session)?));
    }
    let body = serde_json::to_vec(body)?.into();
    let response = client
        .request(Method::POST, path, &headers, body, MAX_ANSWER, TIME)
        .await?;
    if response.status.is_success() {
        let body = if response.body.is_empty() {
            b"null".as_slice()
        } else {
            &response.body
        };
        return Ok(Ok(serde_json::from_slice(body).with_context(|| {
            format!("the map's answer to {path} is not understood")
        })?));
    }
    let problem: Option<serde_json::Value> = serde_json::from_slice(&response.body).ok();
    let detail = problem
        .as_ref()
        .and_then(|problem| problem.get("detail").or_else(|| problem.get("title")))
        .and_then(|text| text.as_str());
    let text = detail.map_or_else(
        || String::from_utf8_lossy(&response.body).into_owned(),
        Into::into,
    );
    Ok(Err((response.status, text.chars().take(300).collect())))
}

/// The header that says whose request it is.
pub fn bearer(session: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {session}"))
        .context("the map's session token is no header")?;
    value.set_sensitive(true);
    Ok(value)
}
