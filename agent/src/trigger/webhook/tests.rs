use super::*;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BODY: &str = r#"{"ref":"refs/heads/main"}"#;

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A server on loopback, and what it woke.
struct Server {
    address: std::net::SocketAddr,
    wake: Wake,
    stop: CancellationToken,
}

async fn server(secrets: &[&str]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (wake, stop) = (Wake::default(), CancellationToken::new());
    let secrets: Secrets = secrets.iter().map(ToString::to_string).collect();
    let (keep, secrets) = tokio::sync::watch::channel(secrets);
    let served = serve(listener, secrets, wake.clone(), stop.clone());
    tokio::spawn(async move {
        served.await;
        drop(keep);
    });
    Server {
        address,
        wake,
        stop,
    }
}

impl Server {
    async fn send(&self, raw: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(raw.as_bytes()).await.expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        std::str::from_utf8(&answer[9..12])
            .expect("text")
            .parse()
            .expect("a status")
    }

    async fn post(&self, path: &str, headers: &str, body: &str) -> u16 {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        ))
        .await
    }

    fn nudges(&self) -> u64 {
        self.wake.watch().borrow().all
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn signed(secret: &str, body: &str) -> String {
    format!("X-Hub-Signature-256: {}\r\n", signature(secret, body))
}

#[tokio::test]
async fn a_signed_delivery_wakes() {
    let server = server(&["old", "s"]).await;
    assert_eq!(
        server.post("/hooks/github", &signed("s", BODY), BODY).await,
        200
    );
    assert_eq!(server.nudges(), 1);
}

#[tokio::test]
async fn a_forged_delivery_wakes_nobody() {
    let server = server(&["s"]).await;
    let good = signed("s", BODY);
    for (headers, body) in [
        (String::new(), BODY),
        (signed("t", BODY), BODY),
        (good.clone(), &BODY.replace("main", "mine")[..]),
        (good.to_uppercase(), BODY),
        ("X-Hub-Signature: sha1=00\r\n".into(), BODY),
        ("X-Hub-Signature-256:\r\n".into(), BODY),
    ] {
        assert_eq!(
            server.post("/hooks/github", &headers, body).await,
            401,
            "{headers}"
        );
    }
    assert_eq!(server.nudges(), 0);
}

#[tokio::test]
async fn without_a_secret_the_endpoint_does_not_exist() {
    let server = server(&[]).await;
    assert_eq!(
        server.post("/hooks/github", &signed("", BODY), BODY).await,
        404
    );
    assert_eq!(server.nudges(), 0);
}

#[tokio::test]
async fn only_the_hooks_are_there() {
    let server = server(&["s"]).await;
    for path in [
        "/",
        "/hooks/",
        "/hooks/sourceforge",
        "/hooks/github/x",
        "/hooks/GITHUB",
    ] {
        assert_eq!(
            server.post(path, &signed("s", BODY), BODY).await,
            404,
            "{path}"
        );
    }
    assert_eq!(
        server
            .send("GET /hooks/github HTTP/1.1\r\nHost: x\r\n\r\n")
            .await,
        405
    );
}

#[tokio::test]
async fn a_compressed_or_endless_body_is_not_read() {
    let server = server(&["s"]).await;
    let compressed = signed("s", BODY) + "Content-Encoding: gzip\r\n";
    assert_eq!(server.post("/hooks/github", &compressed, BODY).await, 415);
    let head = "POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n";
    assert_eq!(server.send(head).await, 413);
    let chunk = format!("{:x}\r\n{}\r\n", 600 << 10, "x".repeat(600 << 10));
    let chunks = format!(
        "POST /hooks/github HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}"
    );
    assert_eq!(server.send(&chunks).await, 413);
    assert_eq!(server.nudges(), 0);
}

#[tokio::test]
async fn a_refusal_is_a_problem_as_the_map_has_it() {
    let server = server(&["s"]).await;
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    let request =
        "POST /hooks/github HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(
        head.contains("content-type: application/problem+json"),
        "{head}"
    );
    let problem: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let found = (&problem["status"], &problem["rule"]);
    assert_eq!(found, (&401.into(), &"S-HOOK-01".into()), "{problem}");
}
