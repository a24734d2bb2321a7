//! `[metrics]`: figures of this box for whoever scrapes them, over HTTP. Touches the socket of `[metrics] listen`.
//!
//! Nothing is counted for it but durations: at each request the keeper asks the supervisor how it stands.

mod exposition;
mod timings;

pub use timings::{Timing, Timings};

use crate::{
    endpoint::{self, TIME, say},
    picture::Contact,
    settings::Config,
};
use exposition::Figures;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use std::{rc::Rc, time::Duration};
use swarm_manifests::status::Row;
use swarm_supervisor::protocol::Traffic;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;

/// What the keeper and the supervisor know.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Measured {
    pub rows: Vec<Row>,
    pub traffic: Vec<Traffic>,
    /// What waits in each of the agent's queues.
    pub queues: Vec<(&'static str, usize)>,
}

/// Where the figures come from.
#[derive(Clone)]
pub struct Inlets {
    measure: mpsc::Sender<oneshot::Sender<Measured>>,
    timings: watch::Receiver<Timings>,
    contact: watch::Receiver<Contact>,
}

impl Inlets {
    /// `measure` reaches the keeper, who asks the supervisor.
    pub fn new(
        measure: mpsc::Sender<oneshot::Sender<Measured>>,
        timings: watch::Receiver<Timings>,
        contact: watch::Receiver<Contact>,
    ) -> Self {
        Self {
            measure,
            timings,
            contact,
        }
    }
}

/// The endpoint, as long as the configuration names one; it moves when that does.
pub async fn serve(
    mut config: watch::Receiver<Rc<Config>>,
    inlets: Inlets,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let Some(listen) = config.borrow_and_update().settings.metrics.clone() else {
            config.changed().await?;
            continue;
        };
        let own = stop.child_token();
        let served = async {
            match TcpListener::bind(&listen).await {
                Ok(listener) => {
                    let inlets = inlets.clone();
                    let answered = move |request| answer(request, inlets.clone());
                    endpoint::serve(listener, answered, own.clone()).await;
                }
                Err(error) => {
                    tracing::error!(listen, %error, "metrics cannot be served; tried again in a minute");
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
            }
        };
        let moved = async {
            loop {
                config.changed().await?;
                if config.borrow().settings.metrics.as_ref() != Some(&listen) {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::select! {
            () = served => {}
            moved = moved => moved?,
        }
        own.cancel();
    }
}

async fn answer(request: Request<Incoming>, inlets: Inlets) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return say(StatusCode::NOT_FOUND, "GET /metrics\n");
    }
    if request.method() != Method::GET {
        return say(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
    }
    let measured = async {
        let (say, hear) = oneshot::channel();
        inlets.measure.send(say).await.ok()?;
        hear.await.ok()
    };
    let Ok(Some(measured)) = tokio::time::timeout(TIME, measured).await else {
        return say(
            StatusCode::SERVICE_UNAVAILABLE,
            "the supervisor does not answer\n",
        );
    };
    let contact = inlets.contact.borrow().clone();
    let figures = Figures {
        measured,
        timings: *inlets.timings.borrow(),
        failures: contact.failures,
        contact: contact.at.map(jiff::Timestamp::as_second),
    };
    let mut response = say(StatusCode::OK, exposition::text(&figures));
    let kind = HeaderValue::from_static(exposition::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
