//! Servers that nobody would run, written by hand.

use crate::world::rule;
use std::time::Duration;
use swarm_manifests::id::Oid;
use swarm_wire::{
    http::{Bytes, Client, HttpError, Method},
    remote::{Blobs, Bounds, Options, Remote},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::Instant,
};

const QUICK: Bounds = Bounds {
    bytes: 1 << 20,
    time: Duration::from_millis(700),
    idle: Duration::from_millis(400),
};
const OID: &str = "0123456789012345678901234567890123456789";

/// How a server answers a POST.
#[derive(Clone, Copy)]
enum Trick {
    /// These bytes, then the connection ends.
    Says(&'static str),
    /// A good head and beginning, then this again and again until nobody listens.
    Endless(&'static str, &'static str),
    /// The same, one byte at a time with a pause.
    Dribble(&'static str, &'static str),
    /// Takes the request and is silent.
    Silent,
    /// A good answer with a length, and then the connection ends, without a word of warning.
    Leaves(&'static str),
    /// A head with these lines in it, again and again.
    Head(&'static str),
}

fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

/// A server on loopback that advertises version 2 as git does, and then plays its trick.
async fn server(trick: Trick) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.git", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, trick));
        }
    });
    url
}

async fn serve(stream: TcpStream, trick: Trick) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        for field in head.lines() {
            length = field
                .strip_prefix("content-length: ")
                .map_or(length, |digits| digits.parse().unwrap());
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        if head.starts_with("GET") {
            let lines = [
                line("version 2\n"),
                line("ls-refs\n"),
                line("fetch=filter\n"),
                "0000".into(),
            ]
            .concat();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-git-upload-pack-advertisement\r\ncontent-length: {}\r\n\r\n{lines}",
                lines.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        } else {
            play(stream.into_inner(), trick).await;
            return;
        }
    }
}

async fn play(mut stream: TcpStream, trick: Trick) {
    const HEAD: &str =
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-git-upload-pack-result\r\n\r\n";
    match trick {
        Trick::Says(text) => drop(stream.write_all(format!("{HEAD}{text}").as_bytes()).await),
        Trick::Endless(first, again) => {
            let mut text = format!("{HEAD}{first}");
            while stream.write_all(text.as_bytes()).await.is_ok() {
                text = again.repeat(100);
            }
        }
        Trick::Dribble(first, again) => {
            if stream
                .write_all(format!("{HEAD}{first}").as_bytes())
                .await
                .is_err()
            {
                return;
            }
            for byte in again.bytes().cycle() {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Trick::Silent => drop(stream.read(&mut [0]).await),
        Trick::Leaves(text) => {
            let head = HEAD.replace(
                "\r\n\r\n",
                &format!("\r\ncontent-length: {}\r\n\r\n", text.len()),
            );
            drop(stream.write_all(format!("{head}{text}").as_bytes()).await);
        }
        Trick::Head(lines) => {
            let mut text = HEAD.trim_end().to_owned() + "\r\n";
            while stream.write_all(text.as_bytes()).await.is_ok() {
                text = lines.into();
            }
        }
    }
}

async fn look(trick: Trick) -> (&'static str, String) {
    let mut remote = Remote::new(&server(trick).await, &Options::default())
        .unwrap()
        .look_within(QUICK);
    rule(remote.look("main").await)
}

async fn fetch(trick: Trick) -> (&'static str, String) {
    let mut remote = Remote::new(&server(trick).await, &Options::default()).unwrap();
    rule(
        remote
            .fetch(
                OID.parse::<Oid>().unwrap(),
                &[],
                Blobs::Without,
                &mut Vec::new(),
                &QUICK,
            )
            .await,
    )
}

#[tokio::test]
async fn a_million_refs_are_cut() {
    let (id, text) = look(Trick::Endless(
        "",
        "00420123456789012345678901234567890123456789 refs/heads/mainframe\n",
    ))
    .await;
    assert!(
        id == "S-GIT-03" && text.contains("more than 1048576 bytes"),
        "{text}"
    );
}

#[tokio::test]
async fn a_pack_without_an_end_is_cut() {
    let (id, text) = fetch(Trick::Endless("000dpackfile\n", "000f\u{1}aaaaaaaaaa")).await;
    assert!(
        id == "S-GIT-04" && text.contains("more than 1048576 bytes"),
        "{text}"
    );
}

#[tokio::test]
async fn one_byte_at_a_time_is_cut_by_the_time_in_all() {
    let (id, text) = fetch(Trick::Dribble("000dpackfile\n", "000f\u{2}aaaaaaaaaa")).await;
    assert!(
        id == "S-GIT-01" && text.contains("was not done after 700ms"),
        "{text}"
    );
}

#[tokio::test]
async fn silence_is_cut() {
    let (id, text) = fetch(Trick::Silent).await;
    assert_eq!(id, "S-GIT-01", "{text}");
    let (id, text) = look(Trick::Silent).await;
    assert_eq!(id, "S-GIT-01", "{text}");
}

#[tokio::test]
async fn what_is_no_packet_is_refused() {
    for says in [
        "zzzz",
        "<html>",
        "0003",
        "fff1xxxx",
        "0001",
        "000dpackfile\n",
        "",
        "0000junk",
        "0005x0000",
        "0010refs/heads\u{7f}/0000",
    ] {
        let (id, text) = look(Trick::Says(says)).await;
        assert_eq!(id, "S-GIT-03", "{says:?}: {text}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_early_is_no_pack() {
    for says in [
        "",
        "0000",
        "000d",
        "000dpackfile\n",
        "000dpackfile\n0009\u{1}PACK",
        "000dpackfile\n00ff\u{1}PACK",
        "000dpackfile\n0005\u{9}0000",
        "000dpackfile\n00040000",
        "0012acknowledge me0000",
    ] {
        let (id, text) = fetch(Trick::Says(says)).await;
        assert!(id == "S-GIT-03" || id == "S-GIT-04", "{says:?}: {text}");
    }
}

#[tokio::test]
async fn a_servers_last_words_are_shown_and_cannot_move_the_cursor() {
    let (id, text) = fetch(Trick::Says(
        "000dpackfile\n0016\u{3}no \u{1b}[31mmemory\u{1b}[0m\n0000",
    ))
    .await;
    assert!(
        id == "S-GIT-01" && text.contains("gave up: no [31mmemory"),
        "{text:?}"
    );
    let (id, text) = look(Trick::Says("0012ERR not today\n")).await;
    assert!(
        id == "S-GIT-01" && text.contains("says: not today"),
        "{text}"
    );
}

#[tokio::test]
async fn after_a_trick_the_same_remote_works_again() {
    let url = server(Trick::Silent).await;
    let mut remote = Remote::new(&url, &Options::default())
        .unwrap()
        .look_within(QUICK);
    for _ in 0..2 {
        assert_eq!(rule(remote.look("main").await).0, "S-GIT-01");
    }
}

#[tokio::test]
async fn a_connection_that_ends_without_a_word_is_replaced() {
    let url = server(Trick::Leaves(
        "003d0123456789012345678901234567890123456789 refs/heads/main\n0000",
    ))
    .await;
    let mut remote = Remote::new(&url, &Options::default()).unwrap();
    for _ in 0..5 {
        assert_eq!(remote.look("main").await, Ok(Some(OID.parse().unwrap())));
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_cut() {
    for lines in [
        "x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
        "y",
        "content-length: 5\r\ncontent-length: 6\r\n\r\n",
    ] {
        let (id, text) = look(Trick::Head(lines)).await;
        assert_eq!(id, "S-GIT-03", "{lines:?}: {text}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_not_taken_apart() {
    let (id, text) = look(Trick::Head("content-encoding: gzip\r\n\r\n")).await;
    assert!(id == "S-GIT-03" && text.contains("compresses"), "{text}");
}

#[tokio::test]
async fn an_answer_that_goes_on_after_its_end_is_refused() {
    let (id, text) = look(Trick::Says(
        "003d0123456789012345678901234567890123456789 refs/heads/main\n00000000",
    ))
    .await;
    assert!(id == "S-GIT-03" && text.contains("went on"), "{text}");
}

#[tokio::test]
async fn a_held_open_answer_is_read_as_it_comes() {
    let url = server(Trick::Dribble("first", "x")).await;
    let mut client = Client::new(&url, None).unwrap();
    let within = Duration::from_secs(20);
    let mut held = client
        .open(
            Method::POST,
            "/watch",
            &[],
            Bytes::from_static(b"{}"),
            within,
        )
        .await
        .unwrap();
    let mut seen = Vec::new();
    while seen.len() < 8 {
        let part = held
            .chunk(Instant::now() + within)
            .await
            .unwrap()
            .expect("it goes on");
        seen.extend_from_slice(&part);
    }
    assert!(seen.starts_with(b"firstxxx"), "{seen:?}");
    let late = held.chunk(Instant::now()).await.unwrap_err();
    assert!(matches!(late, HttpError::Late { .. }), "{late}");
}

#[tokio::test]
async fn an_answer_given_up_in_the_middle_does_not_spoil_the_next() {
    let url = server(Trick::Dribble("first", "x")).await;
    let mut client = Client::new(&url, None).unwrap();
    let within = Duration::from_secs(20);
    for _ in 0..2 {
        let mut held = client
            .open(Method::POST, "/watch", &[], Bytes::new(), within)
            .await
            .unwrap();
        let part = held.chunk(Instant::now() + within).await.unwrap();
        assert!(part.is_some_and(|part| part.starts_with(b"f")));
    }
}
