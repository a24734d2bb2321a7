//! The webhook as a server's post-receive hook sends it: signed, one request on a connection of its own. Touches a socket.

use anyhow::{Context, Result, ensure};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// Says "look" to the agent on this port; returns when it has answered.
pub fn post(port: u16, secret: &str, body: &str) -> Result<()> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("a secret")?;
    mac.update(body.as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let request = format!(
        "POST /hooks/generic HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nX-Swarm-Signature-256: sha256={signature}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("the webhook's port")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    ensure!(
        answer.starts_with("HTTP/1.1 200 "),
        "the webhook was answered with {answer:?}"
    );
    Ok(())
}
