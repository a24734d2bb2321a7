//! Every route there is, in one table: method, path, who may, what it does, and who answers. Router and `/openapi.json` are
//! made from it, so that there is no route without a guard, and none that is not described.

use super::{
    auth::{self, Access},
    problem::Problem,
};
use crate::{api, app::App, enrol, hooks, ingest, login, page, requests, session, stream, watch};
use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, MethodRouter, on},
};

/// One route.
pub struct Route {
    /// GET or POST.
    pub method: Method,
    /// With `{…}` where a part is taken from it.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// What it does, in a line.
    pub does: &'static str,
    handler: MethodRouter<App>,
}

macro_rules! route {
    ($method:ident $path:literal $access:ident $handler:path, $does:literal) => {
        Route {
            method: Method::$method,
            path: $path,
            access: Access::$access,
            does: $does,
            handler: on(MethodFilter::$method, $handler),
        }
    };
}

/// The table.
pub fn routes() -> Vec<Route> {
    vec![
        route!(GET "/" Reader page::page, "The page"),
        route!(GET "/page.js" Public page::script, "What keeps the page live"),
        route!(GET "/healthz" Public api::operations::healthz, "Whether the process answers"),
        route!(GET "/readyz" Public api::operations::readyz, "Whether the store answers"),
        route!(GET "/metrics" Public api::operations::metrics, "Figures, as OpenMetrics"),
        route!(GET "/openapi.json" Public api::openapi::openapi, "This description"),
        route!(POST "/v1/enrol" Proof enrol::enrol, "A box's public key and a token"),
        route!(POST "/v1/session" Proof session::session, "A challenge; and, with its signature, a session"),
        route!(POST "/v1/session/link" Person login::link, "A link that opens a session in a browser, once"),
        route!(GET "/login" Proof login::login, "Follows such a link"),
        route!(POST "/v1/boxes/{box}/report" OwnBox ingest::report, "Heartbeat, and what changed"),
        route!(GET "/v1/boxes/{box}/watch" OwnBox watch::watch, "Held open: a line for each nudge to look at git"),
        route!(GET "/v1/boxes" Reader api::fleet::boxes, "Every box"),
        route!(GET "/v1/boxes/{box}" Reader api::fleet::one_box, "One box with its rows"),
        route!(GET "/v1/workflows" Reader api::fleet::workflows, "Every workflow with its rows"),
        route!(GET "/v1/workflows/{workflow}" Reader api::fleet::one_workflow, "One workflow with its rows"),
        route!(GET "/v1/trunk" Reader api::fleet::trunk, "The trunk as the map's mirror verified it"),
        route!(GET "/v1/events" Reader stream::events, "Server-sent events of every change"),
        route!(GET "/v1/audit" Reader api::audit::audit, "The audit, newest first"),
        route!(POST "/v1/requests" Person requests::take, "A signed request on its way to boxes"),
        route!(GET "/v1/requests/{id}" Person requests::one, "What became of a request on each box"),
        route!(GET "/log/checkpoint" Public api::operations::not_built, "The transparency log: not built yet"),
        route!(GET "/log/tile/{*tile}" Public api::operations::not_built, "The transparency log: not built yet"),
        route!(POST "/hooks/github" Proof hooks::github, "A push at GitHub: boxes look at git now"),
        route!(POST "/hooks/gitlab" Proof hooks::gitlab, "The same from GitLab"),
        route!(POST "/hooks/gitea" Proof hooks::gitea, "The same from Gitea and Forgejo"),
        route!(POST "/hooks/bitbucket" Proof hooks::bitbucket, "The same from Bitbucket"),
        route!(POST "/hooks/generic" Proof hooks::generic, "The same from anything that signs with HMAC-SHA-256"),
    ]
}

/// The router: each route behind its guard.
pub fn router(app: &App) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let guarded = route.handler.route_layer(middleware::from_fn_with_state(
            (app.clone(), route.access),
            auth::guard,
        ));
        router = router.route(route.path, guarded);
    }
    router
        .fallback(|| async {
            Problem::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; /openapi.json says what there is",
            )
        })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method",
            )
        })
        .layer(middleware::from_fn(finish))
        .with_state(app.clone())
}

/// What every answer has: no sniffing, no framing, no caching; and problems of axum's own extractors in the form of ours.
async fn finish(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let failed = response.status().is_client_error() || response.status().is_server_error();
    let plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if failed && plain {
        let status = response.status();
        let allow = response.headers_mut().remove(header::ALLOW);
        let detail = if status == StatusCode::BAD_REQUEST {
            "the path or the query is not understood"
        } else {
            "the request is not taken"
        };
        response = Problem::new(status, detail).into_response();
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    response
}
