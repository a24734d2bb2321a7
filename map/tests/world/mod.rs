//! A map in this very process, boxes with keys of their own, and a plain HTTP client that can also misbehave.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use jiff::Timestamp;
use serde_json::{Value, json};
use ssh_key::{PrivateKey, private::Ed25519Keypair};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use swarm_manifests::{
    name::Name,
    report::{ENROL_NAMESPACE, SESSION_NAMESPACE, enrol_statement, session_statement},
    signature,
};
use swarm_map::{
    settings::Settings,
    store::{schema, tokens},
};
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test gives up.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A map that runs in a thread.
pub struct Map {
    pub address: SocketAddr,
    pub settings: Settings,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// An answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A box: its name, its key, and its session where it has one.
pub struct TestBox {
    pub name: String,
    pub key: PrivateKey,
    pub session: String,
    pub sequence: u64,
}

/// Waits until something holds.
pub fn wait_until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(begin.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// The proof that goes with an enrolment at the map of this URL.
pub fn enrolment(url: &str, name: &str, key: &PrivateKey, token: &str) -> String {
    let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let statement = enrol_statement(url, name, token, &fingerprint);
    signature::sign(key, ENROL_NAMESPACE, statement.as_bytes()).unwrap()
}

impl Map {
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            listen: "127.0.0.1:0".into(),
            store: folder.path().join("map.db"),
            urls: vec![],
            public_read: true,
            heartbeat: Duration::from_secs(15),
            webhook_secrets: vec![],
            tls: None,
            mirror: None,
            connections: 1000,
            patience: Duration::from_secs(10),
        };
        change(&mut settings);
        let mut map = Self {
            address: "127.0.0.1:1".parse().unwrap(),
            settings,
            stop: CancellationToken::new(),
            thread: None,
            _folder: folder,
        };
        map.run();
        map
    }

    fn run(&mut self) {
        let (settings, stop) = (self.settings.clone(), CancellationToken::new());
        self.stop = stop.clone();
        let (address, addressed) = std::sync::mpsc::channel();
        self.thread = Some(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                swarm_map::serve::serve(listener, settings, stop)
                    .await
                    .unwrap();
            });
        }));
        self.address = addressed.recv_timeout(LIMIT).unwrap();
    }

    pub fn stop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// The same store, another process as it were (and another port).
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn store(&self) -> PathBuf {
        self.settings.store.clone()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = self.connect();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            head += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // The map may answer, and close, before it has read all of a body that it does not take.
        let _ = stream.write_all(body);
        read_answer(stream)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    pub fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    pub fn post(&self, path: &str, bearer: Option<&str>, body: &Value) -> Answer {
        let bearer = bearer.map(|session| format!("Bearer {session}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|bearer| ("Authorization", bearer.as_str()))
            .collect();
        self.request("POST", path, &headers, body.to_string().as_bytes())
    }

    /// A token as `swarm-map token` makes it: by another connection to the store.
    pub fn token(&self, name: &str, replace: bool) -> String {
        let mut db = schema::open_or_create(&self.settings.store).unwrap();
        tokens::make(
            &mut db,
            &Name::new(name).unwrap(),
            replace,
            Duration::from_secs(60),
            Timestamp::now(),
        )
        .unwrap()
    }

    pub fn enrol(&self, name: &str, key: &PrivateKey, token: &str) -> Answer {
        self.enrol_as(name, key, token, &enrolment(&self.url(), name, key, token))
    }

    /// With whatever signature.
    pub fn enrol_as(&self, name: &str, key: &PrivateKey, token: &str, signature: &str) -> Answer {
        let key = key.public_key().to_openssh().unwrap();
        let body = json!({ "box": name, "key": key, "token": token, "signature": signature });
        self.post("/v1/enrol", None, &body)
    }

    pub fn nonce(&self, key: &PrivateKey) -> String {
        let answer = self.post(
            "/v1/session",
            None,
            &json!({ "key": key.public_key().to_openssh().unwrap() }),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["nonce"].as_str().unwrap().to_owned()
    }

    /// Answers a challenge, as if the map's URL were `url`.
    pub fn answer(&self, key: &PrivateKey, nonce: &str, url: &str) -> Answer {
        let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        let signed = signature::sign(
            key,
            SESSION_NAMESPACE,
            session_statement(url, nonce, &fingerprint).as_bytes(),
        )
        .unwrap();
        self.post("/v1/session", None, &json!({ "key": key.public_key().to_openssh().unwrap(), "nonce": nonce, "signature": signed }))
    }

    /// A box that enrolled and has a session.
    pub fn join(&self, name: &str, seed: u8) -> TestBox {
        let key = key(seed);
        let answer = self.enrol(name, &key, &self.token(name, false));
        assert_eq!(answer.status, 201, "{answer:?}");
        let answer = self.answer(&key, &self.nonce(&key), &self.url());
        assert_eq!(answer.status, 200, "{answer:?}");
        let session = answer.json()["session"].as_str().unwrap().to_owned();
        TestBox {
            name: name.into(),
            key,
            session,
            sequence: 0,
        }
    }

    /// Opens a stream and reads its head.
    pub fn stream(&self, path: &str, headers: &[(&str, &str)]) -> BufReader<TcpStream> {
        let mut stream = self.connect();
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut lines = BufReader::new(stream);
        let first = line(&mut lines).unwrap();
        assert!(first.contains(" 200 "), "{path}: {first}");
        while line(&mut lines).is_some_and(|line| !line.is_empty()) {}
        lines
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(
                std::thread::panicking() || ended.is_ok(),
                "the map broke down"
            );
        }
    }
}

impl TestBox {
    pub fn report(&mut self, map: &Map, more: &Value) -> Answer {
        self.sequence += 1;
        self.report_as(map, self.sequence, more)
    }

    pub fn report_as(&self, map: &Map, sequence: u64, more: &Value) -> Answer {
        let mut report = json!({ "boot": "first", "sequence": sequence, "agent_version": "0.1.0" });
        for (name, value) in more.as_object().unwrap() {
            report[name] = value.clone();
        }
        map.post(
            &format!("/v1/boxes/{}/report", self.name),
            Some(&self.session),
            &report,
        )
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is a problem as RFC 9457 says, with this status.
    pub fn is_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(
            self.head
                .to_lowercase()
                .contains("content-type: application/problem+json"),
            "{self:?}"
        );
        assert_eq!(self.json()["status"], status, "{self:?}");
        assert!(
            self.json()["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{self:?}"
        );
    }
}

pub fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A map that closed on us before it read everything may also reset the connection: what came before counts.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Answer {
        status,
        head: head.into(),
        body: body.into(),
    }
}

/// The next line of a stream; chunk sizes and the like are lines too.
pub fn line(lines: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    match lines.read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end().to_owned()),
    }
}

/// Reads lines until one of them contains the text.
pub fn line_with(lines: &mut BufReader<TcpStream>, text: &str) -> String {
    let mut seen = Vec::new();
    while let Some(line) = line(lines) {
        if line.contains(text) {
            return line;
        }
        seen.push(line);
    }
    panic!("the stream ended without {text:?}; it had {seen:?}")
}

pub fn status(commit: &str, remote_head: &str) -> Value {
    json!({
        "facts": { "name": "", "labels": { "site": "berkeley" }, "facts": { "memory": 1_073_741_824_u64, "engine.node": "20.20.2" } },
        "location": [37.8, -122.2], "commit": commit, "position": 7, "remote": "https://git.example/deploy.git",
        "remote_head": remote_head, "trouble": null, "warnings": [], "protections": [],
    })
}

pub fn row(box_name: &str, workflow: &str, state: &str) -> Value {
    json!({
        "box": box_name, "workflow": workflow, "bundle": workflow, "version": "1.2.0", "digest": "sha256:00", "mode": "daemon", "state": state,
        "reason": null, "rule": null, "since": null, "pid": 42, "instance": 0, "restarts": 0, "up_s": 1.0, "time_left_s": null,
        "last_exit": null, "memory_bytes": 1000, "cpu_s": 0.1, "commit": "c0ffee", "by": "alice", "next": null, "protections": [],
    })
}

pub fn event(sequence: u64, action: &str, workflow: &str) -> Value {
    json!({
        "sequence": sequence, "time": "2026-11-23T10:00:00Z", "action": action, "workflow": workflow, "version": "1.2.0",
        "digest": "sha256:00", "commit": "c0ffee", "by": "alice", "key": "SHA256:abc", "exit": { "code": 3 },
    })
}
