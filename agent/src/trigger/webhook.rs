//! `POST /hooks/{github,gitlab,gitea,bitbucket,generic}`: the signature over the raw bytes is checked, then "look", nothing else.
//!
//! Touches the socket of `[webhook] listen`. Bounded in connections, bytes and time; a forged delivery costs its own reading.

use super::{
    Wake,
    pushed::{self, Pushed},
};
use crate::endpoint::{self, TIME, say};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
};
use std::{path::Path, sync::Arc, time::SystemTime};
use swarm_wire::hook::{self, HookError, MAX_BODY, Provider};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The secrets, in the order of the file; none: no endpoint exists.
pub type Secrets = Arc<[String]>;

/// Reads a secret file of at most 64 KiB; one that is absent or unreadable is said, and leaves no endpoint.
pub fn secrets(file: Option<&Path>) -> Result<Secrets, String> {
    let Some(file) = file else {
        return Ok(Secrets::default());
    };
    let said = |error: &dyn std::fmt::Display| {
        format!(
            "[webhook] secret-file {}: {error}; no webhook is taken",
            file.display()
        )
    };
    let length = file.metadata().map_err(|error| said(&error))?.len();
    if length > 64 << 10 {
        return Err(said(&"it has more than 64 KiB"));
    }
    Ok(hook::secrets(&std::fs::read_to_string(file).map_err(|error| said(&error))?).into())
}

/// Serves until cancelled.
pub async fn serve(
    listener: TcpListener,
    secrets: tokio::sync::watch::Receiver<Secrets>,
    wake: Wake,
    stop: CancellationToken,
) {
    let answered = move |request| {
        let (secrets, wake) = (secrets.borrow().clone(), wake.clone());
        async move { answer(request, &secrets, &wake).await }
    };
    endpoint::serve(listener, answered, stop).await;
}

async fn answer(
    request: Request<Incoming>,
    secrets: &[String],
    wake: &Wake,
) -> Response<Full<Bytes>> {
    match take(request, secrets).await {
        Ok((provider, pushed)) => {
            wake.promise("webhook", pushed);
            tracing::info!(?provider, "a webhook");
            say(StatusCode::OK, "looking\n")
        }
        Err((status, why)) => {
            if status != StatusCode::NOT_FOUND {
                tracing::warn!(
                    status = status.as_u16(),
                    %why,
                    rule = "S-HOOK-01",
                    "a webhook that does not count"
                );
            }
            refused(status, &why)
        }
    }
}

/// A refusal as the map has it, by RFC 9457.
fn refused(status: StatusCode, why: &Why) -> Response<Full<Bytes>> {
    let title = status.canonical_reason().unwrap_or("refused");
    let mut problem = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": why.to_string(),
    });
    if matches!(why, Why::Unproven(_)) {
        problem["rule"] = "S-HOOK-01".into();
    }
    let mut response = say(status, problem.to_string());
    let kind = header::HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Why a delivery does not count.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{0}")]
    Form(String),
    #[error(transparent)]
    Unproven(HookError),
}

impl From<&str> for Why {
    fn from(what: &str) -> Self {
        Self::Form(what.into())
    }
}

async fn take(
    request: Request<Incoming>,
    secrets: &[String],
) -> Result<(Provider, Option<Pushed>), (StatusCode, Why)> {
    let provider = request
        .uri()
        .path()
        .strip_prefix("/hooks/")
        .and_then(|provider| provider.parse::<Provider>().ok());
    let Some(provider) = provider.filter(|_| !secrets.is_empty()) else {
        return Err((StatusCode::NOT_FOUND, "nothing here".into()));
    };
    if request.method() != Method::POST {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "POST only".into()));
    }
    let (head, body) = request.into_parts();
    if head
        .headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, hook::COMPRESSED.into()));
    }
    let announced = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, too_large()));
    }
    let read = tokio::time::timeout(TIME, Limited::new(body, MAX_BODY).collect()).await;
    let body = match read {
        Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "too slow".into())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, too_large()));
        }
        Ok(Err(_)) => return Err((StatusCode::BAD_REQUEST, "the body broke off".into())),
        Ok(Ok(body)) => body.to_bytes(),
    };
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let look_up = |name: &'static str| head.headers.get(name).and_then(|value| value.to_str().ok());
    match hook::verify(provider, look_up, &body, secrets, now) {
        Ok(()) => Ok((provider, pushed::read(&body))),
        Err(HookError::NoSecret) => Err((StatusCode::NOT_FOUND, "nothing here".into())),
        Err(error) => Err((StatusCode::UNAUTHORIZED, Why::Unproven(error))),
    }
}

fn too_large() -> Why {
    Why::Form(format!("the body has more than {MAX_BODY} bytes"))
}

#[cfg(test)]
mod tests;
