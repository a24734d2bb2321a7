//! `GET /v1/boxes/{box}/watch`: held open, a line of JSON for each nudge, an empty line now and then so that both ends know
//! that the other is there. It carries no decision.

use crate::{app::App, http::auth::Speaker, nudge::Level};
use axum::{
    Extension,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use std::{convert::Infallible, time::Duration};
use swarm_manifests::name::Name;
use tokio::sync::watch::Receiver;

const LOOK: &str = "{\"look\":true}\n";
const REQUEST: &str = "{\"request\":true}\n";

struct Watch {
    name: Name,
    number: u64,
    level: Receiver<Level>,
    seen: u64,
    called: u64,
    first: bool,
    keepalive: Duration,
    app: App,
}

/// Begins the watch.
pub async fn watch(
    State(app): State<App>,
    Extension(Speaker(name)): Extension<Speaker>,
) -> impl IntoResponse {
    let (number, level) = app.nudges.begin(&name);
    let (seen, called) = {
        let level = level.borrow();
        (level.count, level.calls(&name))
    };
    let watch = Watch {
        name,
        number,
        level,
        seen,
        called,
        first: true,
        keepalive: app.settings.heartbeat,
        app,
    };
    let lines = stream::unfold(watch, |mut watch| async move {
        watch
            .line()
            .await
            .map(|line| (Ok::<_, Infallible>(line), watch))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/x-ndjson"),
    );
    response
}

impl Watch {
    /// The next line, or none where this watch is over: the map ends, or the box began another.
    async fn line(&mut self) -> Option<&'static str> {
        if std::mem::take(&mut self.first) {
            let level = self.level.borrow_and_update();
            let may_wait = level.calls(&self.name) > 0;
            return Some(match (level.is_fresh(), may_wait) {
                (true, true) => "{\"look\":true,\"request\":true}\n",
                (true, false) => LOOK,
                (false, true) => REQUEST,
                (false, false) => "\n",
            });
        }
        let keepalive = tokio::time::sleep(self.keepalive);
        tokio::pin!(keepalive);
        loop {
            {
                let level = self.level.borrow_and_update();
                if !level.is_newest(&self.name, self.number) {
                    return None;
                }
                if level.count != self.seen {
                    self.seen = level.count;
                    return Some(LOOK);
                }
                let calls = level.calls(&self.name);
                if calls != self.called {
                    self.called = calls;
                    return Some(REQUEST);
                }
            }
            tokio::select! {
                () = self.app.stop.cancelled() => return None,
                () = &mut keepalive => return Some("\n"),
                changed = self.level.changed() => changed.ok()?,
            }
        }
    }
}
