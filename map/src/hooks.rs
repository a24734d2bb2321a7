//! `POST /hooks/…`: the signature over the raw bytes is checked, then every box is nudged to look at git. Nothing else of
//! the delivery is read. Without a configured secret the endpoints do not exist.

use crate::{
    app::App,
    http::{body, problem::Problem},
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use serde_json::{Value, json};
use swarm_wire::hook::{self, Provider};

macro_rules! hooks {
    ($($name:ident $provider:ident;)*) => {
        $(
            #[doc = concat!("`POST /hooks/", stringify!($name), "`")]
            pub async fn $name(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<Json<Value>, Problem> {
                take(&app, Provider::$provider, &headers, body).await
            }
        )*
    };
}
hooks! { github Github; gitlab Gitlab; gitea Gitea; bitbucket Bitbucket; generic Generic; }

async fn take(
    app: &App,
    provider: Provider,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    if app.settings.webhook_secrets.is_empty() {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no webhook secret is configured, so there are no webhooks here (--webhook-secret-file)",
        ));
    }
    let _seat = app.seats.hooks.try_acquire().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many webhooks at a time",
        )
    })?;
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            hook::COMPRESSED,
        ));
    }
    let bytes = body::read(body, hook::MAX_BODY, app.settings.patience).await?;
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or(0);
    let header = |name: &'static str| headers.get(name).and_then(|value| value.to_str().ok());
    hook::verify(provider, header, &bytes, &app.settings.webhook_secrets, now).map_err(
        |error| Problem::new(StatusCode::UNAUTHORIZED, error.to_string()).with("rule", "S-HOOK-01"),
    )?;
    app.nudges.nudge();
    tracing::info!(?provider, "a webhook: boxes are nudged");
    Ok(Json(json!({ "nudged": true })))
}
