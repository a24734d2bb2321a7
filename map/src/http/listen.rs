//! Connections: accepted, bounded in number and time, and handed to the router. Touches sockets.

use super::pool::{Connection, Pool};
use anyhow::Result;
use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How connections are held.
#[derive(Clone)]
#[allow(missing_docs)]
pub struct Limits {
    pub connections: usize,
    /// From the first byte of a request's head to its last, and from one request to the next.
    pub head: Duration,
    pub handshake: Duration,
    /// How long answers that are under way may take when the map ends.
    pub farewell: Duration,
}

/// Serves until told to stop; then lets answers that are under way end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> Result<()> {
    let tasks = TaskTracker::new();
    let mut pool = Pool::new(limits.connections);
    let (ended, mut ends) = mpsc::channel(64);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(number) = ends.recv() => pool.forget(number),
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    let Some((number, connection)) = pool.admit(stop.child_token()) else { continue };
                    let work = hold(socket, tls.clone(), router.clone(), limits.clone(), connection);
                    let ended = ended.clone();
                    tasks.spawn(async move {
                        work.await;
                        // Nobody listens any more only where the map itself ends.
                        let _ = ended.send(number).await;
                    });
                }
                Err(error) => {
                    // Out of descriptors: those that end make room.
                    tracing::warn!(%error, open = pool.len(), "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(ends);
    tasks.close();
    if tokio::time::timeout(limits.farewell, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("answers that were under way were cut off");
    }
    Ok(())
}

async fn hold(
    socket: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    connection: Arc<Connection>,
) {
    // Small answers at once; an error here is the socket's own end, which the next read finds.
    let _ = socket.set_nodelay(true);
    match tls {
        None => speak(socket, router, &limits, connection).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(limits.handshake, tls.accept(socket));
            let stop = connection.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                shaken = handshake => if let Ok(Ok(stream)) = shaken {
                    speak(stream, router, &limits, connection).await;
                },
            }
        }
    }
}

async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    router: Router,
    limits: &Limits,
    connection: Arc<Connection>,
) {
    let answered = Arc::clone(&connection);
    let service =
        service_fn(move |request: Request<Incoming>| answer(router.clone(), request, &answered));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(64 << 10)
        .max_headers(64);
    let talk = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(talk);
    let ended = tokio::select! {
        ended = talk.as_mut() => ended,
        () = connection.stop.cancelled() => {
            talk.as_mut().graceful_shutdown();
            tokio::time::timeout(limits.farewell, talk.as_mut()).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// One request; the connection counts as busy until the last byte of the answer is on its way.
fn answer(
    router: Router,
    request: Request<Incoming>,
    connection: &Arc<Connection>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
    let answering = connection.answering();
    async move {
        let Ok(response) = tower_call(router, request.map(Body::new)).await;
        Ok(response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _busy = &answering;
                frame
            }))
        }))
    }
}

fn tower_call(
    router: Router,
    request: Request<Body>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    use hyper::service::Service as _;
    hyper_util::service::TowerToHyperService::new(router).call(request)
}
