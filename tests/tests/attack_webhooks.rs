//! "Webhooks" of the attacks, against the real agent: what is not signed is turned away, a flood is a handful of fetches, slow ones do not keep others out.

use anyhow::Result;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};
use swarm_tests::{Deploy, GitOverHttp, SwarmBox, World, process::free_port, until};

const SECRET: &str = "it's a secret to everybody";
const BODY: &str = "{\"ref\":\"refs/heads/main\"}";

fn signed(secret: &str, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(body.as_bytes());
    Ok(format!(
        "sha256={}",
        hex::encode(mac.finalize().into_bytes())
    ))
}

/// The status of one raw request.
fn status(port: u16, head: &str, body: &[u8]) -> Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    let request =
        format!("POST /hooks/github HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n");
    stream.write_all(request.as_bytes())?;
    // Who is turned away early is not read to the end.
    let _ = stream.write_all(body);
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(std::str::from_utf8(&answer[9..12])?.parse()?)
}

fn post(port: u16, signature: &str, body: &str) -> Result<u16> {
    let head = format!("Content-Length: {}\r\n{signature}", body.len());
    status(port, &head, body.as_bytes())
}

fn header(signature: &str) -> String {
    format!("X-Hub-Signature-256: {signature}\r\n")
}

/// A box with a webhook that polls once an hour.
fn hooked<'a>(
    world: &'a World,
    deploy: &Deploy<'_>,
    url: &str,
    secret: Option<&str>,
) -> Result<(SwarmBox<'a>, u16)> {
    let port = free_port()?;
    let path = world.path("keys/webhook");
    let file = match secret {
        Some(secret) => {
            std::fs::write(&path, secret)?;
            format!("secret-file = \"{}\"\n", path.display())
        }
        None => String::new(),
    };
    let tail = format!("[webhook]\nlisten = \"127.0.0.1:{port}\"\n{file}");
    let mut here = SwarmBox::new(world, "box-1", deploy, url, "poll = \"1h\"\n", &tail)?;
    here.run()?;
    here.agent(&["sync"])?;
    if secret.is_some_and(|secret| !secret.trim().is_empty()) {
        until("the webhook's port", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })?;
    }
    Ok((here, port))
}

#[test]
fn what_is_not_signed_exactly_is_turned_away_and_looks_nowhere() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let server = GitOverHttp::start(&world)?;
    let (here, port) = hooked(&world, &deploy, &server.url("deploy.git"), Some(SECRET))?;
    let before = server.answered()?;
    let good = signed(SECRET, BODY)?;
    for (what, head, body, wanted) in [
        ("no signature", String::new(), BODY, 401),
        ("an empty one", header(""), BODY, 401),
        ("a short one", header(&good[..40]), BODY, 401),
        ("another secret", header(&signed("x", BODY)?), BODY, 401),
        ("upper case", header(&good.to_uppercase()), BODY, 401),
        (
            "upper case digits",
            header(&format!("sha256={}", good[7..].to_uppercase())),
            BODY,
            401,
        ),
        (
            "sha1",
            format!("X-Hub-Signature: {}\r\n", good.replace("sha256", "sha1")),
            BODY,
            401,
        ),
        (
            "one byte changed",
            header(&good),
            "{\"ref\":\"refs/heads/mann\"}",
            401,
        ),
        (
            "compressed",
            format!("Content-Encoding: gzip\r\n{}", header(&good)),
            BODY,
            415,
        ),
    ] {
        assert_eq!(post(port, &head, body)?, wanted, "{what}");
    }
    let giant = status(
        port,
        &format!("Content-Length: 1073741824\r\n{}", header(&good)),
        b"x",
    )?;
    assert_eq!(giant, 413, "a body of 1 GiB");
    let chunks = format!("40000\r\n{}\r\n", "x".repeat(0x40000)).repeat(6);
    let endless = status(
        port,
        &format!("Transfer-Encoding: chunked\r\n{}", header(&good)),
        chunks.as_bytes(),
    )?;
    assert_eq!(endless, 413, "chunks without an end");
    assert_eq!(server.answered()?, before, "a forged delivery made it look");
    // What is signed counts, whatever stands in it.
    for body in [
        BODY,
        "not JSON",
        "{\"repository\":{\"clone_url\":\"http://evil/\"}}",
        "[[[[1]]]]",
    ] {
        assert_eq!(
            post(port, &header(&signed(SECRET, body)?), body)?,
            200,
            "{body}"
        );
    }
    until("a look", || {
        (server.answered().ok()? > before).then_some(())
    })?;
    here.assert_no_panic();
    Ok(())
}

#[test]
fn a_hundred_slow_callers_do_not_keep_a_delivery_out() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let remote = deploy.remote().display().to_string();
    let (here, port) = hooked(&world, &deploy, &remote, Some(SECRET))?;
    deploy.publish_sh("ticker", "1.0.0", "sleep 1000\n")?;
    deploy.manifest(
        "ticker",
        "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"daemon\"\n",
    )?;
    deploy.push()?;
    let slow: Vec<TcpStream> = (0..100)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream
                .write_all(b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nX-")
                .ok()?;
            Some(stream)
        })
        .collect();
    assert_eq!(post(port, &header(&signed(SECRET, BODY)?), BODY)?, 200);
    here.until_runs("ticker", "1.0.0")?;
    drop(slow);
    Ok(())
}

#[test]
fn without_a_secret_there_is_no_endpoint() -> Result<()> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let remote = deploy.remote().display().to_string();
    let (_here, port) = hooked(&world, &deploy, &remote, Some("\n\n"))?;
    // Where nothing is configured, nothing need listen: a refused connection is as good.
    if let Ok(answer) = post(port, &header(&signed("", BODY)?), BODY) {
        assert_eq!(answer, 404);
    }
    Ok(())
}
