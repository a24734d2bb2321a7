//! A git server over HTTP for the demo: `git http-backend` behind a small front, which sends signed webhooks after a push, as forges do.

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use hmac::{Hmac, Mac};
use std::{process::Stdio, sync::Arc, time::Duration};
use swarm_wire::http::{Client, HeaderName, HeaderValue};
use tokio::{io::AsyncWriteExt, process::Command};

/// What the server needs: three arguments behind the role.
#[derive(Debug)]
struct Server {
    root: String,
    secret: String,
    hooks: Vec<String>,
}

/// Serves until it is ended. `arguments`: address, the folder of repositories, the webhook's secret file, and the urls to call.
pub async fn serve(arguments: &[String]) -> Result<()> {
    let [address, root, secret_file, hooks @ ..] = arguments else {
        anyhow::bail!("ADDRESS FOLDER SECRET-FILE [URL ...]")
    };
    let secret = std::fs::read_to_string(secret_file)
        .with_context(|| secret_file.clone())?
        .trim()
        .to_string();
    let server = Arc::new(Server {
        root: root.clone(),
        secret,
        hooks: hooks.to_vec(),
    });
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| address.clone())?;
    let mut ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let limit = axum::extract::DefaultBodyLimit::max(256 << 20);
    let app = Router::new()
        .fallback(answer)
        .layer(limit)
        .with_state(server);
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            ended.recv().await;
        })
        .await?;
    Ok(())
}

async fn answer(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match backend(&server, &method, &uri, &headers, &body).await {
        Ok(response) => {
            if method == Method::POST && uri.path().ends_with("/git-receive-pack") {
                call_hooks(&server).await;
            }
            response
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
    }
}

/// One request to `git http-backend`, as RFC 3875 has it.
async fn backend(
    server: &Server,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_string()
    };
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", &server.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", method.as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("git http-backend")?;
    let mut stdin = child.stdin.take().context("its input")?;
    let (written, output) = tokio::join!(
        async move {
            stdin.write_all(body).await?;
            stdin.shutdown().await
        },
        child.wait_with_output()
    );
    written.or_else(|error| {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Ok(())
        } else {
            Err(error)
        }
    })?;
    let output = output?.stdout;
    let split = output
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("an answer without headers")?;
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..split]).lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or("500").parse::<u16>()?),
            name => response.header(name, value),
        };
    }
    Ok(response.body(output[split + 4..].to_vec().into())?)
}

async fn call_hooks(server: &Server) {
    let body = br#"{"ref":"refs/heads/main"}"#.as_slice();
    let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(server.secret.as_bytes()) else {
        return;
    };
    mac.update(body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    for hook in &server.hooks {
        let Some((origin, path)) = hook.rsplit_once("/hooks/") else {
            continue;
        };
        let (Ok(mut client), Ok(signature)) =
            (Client::new(origin, None), HeaderValue::from_str(&signature))
        else {
            continue;
        };
        let headers = [(HeaderName::from_static("x-swarm-signature-256"), signature)];
        // A box that is away misses the call, and sees the push at its next poll.
        let path = format!("/hooks/{path}");
        drop(
            client
                .request(
                    Method::POST,
                    &path,
                    &headers,
                    Bytes::from_static(body),
                    4096,
                    Duration::from_secs(2),
                )
                .await,
        );
    }
}
