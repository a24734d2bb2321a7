//! Bodies of requests, read with a limit on size and on time.

use super::problem::Problem;
use axum::{body::Body, http::StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The largest report.
pub const LARGE: usize = 8 << 20;
/// The largest of anything else.
pub const SMALL: usize = 64 << 10;

/// Reads the whole body, within `patience` from its first byte to its last.
pub async fn read(body: Body, limit: usize, patience: Duration) -> Result<Bytes, Problem> {
    match tokio::time::timeout(patience, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {limit} bytes"),
        )
        .with("limit", limit)),
        Ok(Err(_)) => Err(Problem::malformed("the body broke off")),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body took more than {} s", patience.as_secs()),
        )),
    }
}

/// Reads a body of JSON.
pub async fn json<T: DeserializeOwned>(
    body: Body,
    limit: usize,
    patience: Duration,
) -> Result<T, Problem> {
    let bytes = read(body, limit, patience).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::malformed(format!("the body is not what is expected here: {error}"))
    })
}
