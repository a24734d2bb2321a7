//! The box and its map: enrolled once, a session by signed challenge, reports of what changed, and a heartbeat whose interval
//! the map sets. What the map says decides nothing but when to look and when to come again.
//!
//! Touches the network and the box's key.

use crate::{chance, keeper::Board, outbox::Outbox, settings::Config, trigger::Wake};
use anyhow::{Context, bail};
use serde::{Serialize, de::DeserializeOwned};
use ssh_key::{Algorithm, LineEnding, PrivateKey};
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    rc::Rc,
    time::Duration,
};
use swarm_manifests::{
    report::{
        Challenge, Enrol, Event, Report, ReportAnswer, SESSION_NAMESPACE, Session, SessionRequest,
        session_statement,
    },
    settings::Map,
    signature,
};
use swarm_wire::http::{Client, HeaderValue, Method, StatusCode, header};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

/// The largest answer of a map that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;
/// How long one request may take.
const TIME: Duration = Duration::from_secs(20);
/// Changes are collected for so long before they are reported.
const COLLECT: Duration = Duration::from_millis(50);
/// Reports are no closer than this.
const APART: Duration = Duration::from_millis(500);
/// The map sets the heartbeat within these.
const HEARTBEAT: (u64, u64) = (1, 600);
/// The longest pause after failures.
const LAST_RETRY: Duration = Duration::from_secs(120);

/// How it stands with the map, for `status`.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct MapState {
    pub state: &'static str,
    pub last_contact: Option<jiff::Timestamp>,
    pub failure: Option<String>,
    /// Events that wait.
    pub waiting: usize,
    pub dropped: u64,
}

/// A url without user and password, for people.
pub fn without_credentials(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| {
        Some((
            scheme,
            rest.split_once('@')
                .filter(|(user, _)| !user.contains('/'))?,
        ))
    }) {
        Some((scheme, (_, rest))) => format!("{scheme}://{rest}"),
        None => url.into(),
    }
}

/// The box's own key; made at first start. One that others may read is refused.
pub fn box_key(file: &Path) -> anyhow::Result<PrivateKey> {
    match std::fs::symlink_metadata(file) {
        Ok(meta) if !meta.is_file() || meta.mode() & 0o077 != 0 => {
            bail!(
                "{} can be read by others (mode {:o}): whoever did is this box now. Remove it, and enrol the box anew with a token made with --replace",
                file.display(),
                meta.mode() & 0o777
            )
        }
        Ok(_) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            PrivateKey::from_openssh(&text)
                .with_context(|| format!("{} is no private key", file.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make_key(file),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", file.display())),
    }
}

fn make_key(file: &Path) -> anyhow::Result<PrivateKey> {
    let seed: [u8; 32] = chance::bytes().context("no randomness")?;
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&seed);
    let key = PrivateKey::new(ssh_key::private::KeypairData::Ed25519(pair), "swarm box")?;
    debug_assert_eq!(key.algorithm(), Algorithm::Ed25519);
    let text = key.to_openssh(LineEnding::LF)?;
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("cannot make {}", file.display()))?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    Ok(key)
}

/// What the reporter hears.
#[allow(missing_docs)]
pub struct Inlets {
    pub config: watch::Receiver<Rc<Config>>,
    pub changed: watch::Receiver<u64>,
    pub journaled: mpsc::Receiver<Event>,
    pub asks: mpsc::Sender<oneshot::Sender<Board>>,
}

/// The reporter.
pub struct Reporter {
    inlets: Inlets,
    outbox: Outbox,
    key: PrivateKey,
    out: watch::Sender<MapState>,
    sessions: watch::Sender<Option<String>>,
    /// Random, new at each start.
    boot: String,
    sequence: u64,
    session: Option<(String, Instant)>,
    /// The map knows what changed up to here; none: it knows nothing.
    known: Option<u64>,
    failures: u32,
}

/// Who this box is to which map.
struct Peer {
    map: Map,
    name: String,
    client: Client,
}

impl Reporter {
    /// Opens outbox and key.
    pub fn new(
        inlets: Inlets,
        out: watch::Sender<MapState>,
        sessions: watch::Sender<Option<String>>,
    ) -> anyhow::Result<Self> {
        let own = inlets.config.borrow().own();
        let key = box_key(&own.join("box.key"))?;
        let outbox = Outbox::open(&own).context("the outbox cannot be opened")?;
        let random: [u8; 16] = chance::bytes()?;
        Ok(Self {
            inlets,
            outbox,
            key,
            out,
            sessions,
            boot: hex::encode(random),
            sequence: 0,
            session: None,
            known: None,
            failures: 0,
        })
    }

    /// Reports until it is dropped.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut peer = self.peer();
        // When the next report is due anyway, and when one may be made for news.
        let (mut next, mut free) = (Instant::now(), Instant::now());
        let mut news_since = None;
        loop {
            let is_news =
                self.known != Some(*self.inlets.changed.borrow()) || self.outbox.waiting() > 0;
            if !is_news {
                news_since = None;
            } else if news_since.is_none() {
                news_since = Some(Instant::now());
            }
            // After a failure even news waits.
            let news_due = news_since
                .filter(|_| self.failures == 0)
                .map(|since| free.max(since + COLLECT));
            let due = news_due.map_or(next, |due| due.min(next));
            tokio::select! {
                event = self.inlets.journaled.recv() => {
                    let Some(event) = event else { return Ok(()) };
                    self.keep(&event, peer.is_some());
                    continue;
                }
                changed = self.inlets.config.changed() => {
                    changed?;
                    peer = self.peer();
                    (self.session, self.known, self.failures, next) = (None, None, 0, Instant::now());
                    continue;
                }
                changed = self.inlets.changed.changed() => {
                    changed?;
                    continue;
                }
                () = tokio::time::sleep_until(due), if peer.is_some() => {}
            }
            let Some(to) = &mut peer else { continue };
            let started = Instant::now();
            let wait = match self.report(to).await {
                Ok(wait) => wait,
                Err(error) => self.failed(to, &error),
            };
            (next, free, news_since) = (started + wait, started + APART, None);
        }
    }

    fn peer(&self) -> Option<Peer> {
        let config = self.inlets.config.borrow();
        let map = config.settings.map.clone()?;
        let client = Client::new(&map.url, map.ca.as_deref());
        match client {
            Ok(client) => Some(Peer {
                map,
                name: config.name.to_string(),
                client,
            }),
            Err(error) => {
                self.out.send_modify(|state| {
                    (state.state, state.failure) = ("failed", Some(error.to_string()));
                });
                None
            }
        }
    }

    fn keep(&mut self, event: &Event, is_wanted: bool) {
        if !is_wanted {
            return;
        }
        if let Err(error) = self.outbox.push(event) {
            tracing::warn!(%error, "an event for the map could not be kept");
        }
        self.out.send_modify(|state| {
            (state.waiting, state.dropped) = (self.outbox.waiting(), self.outbox.dropped());
        });
    }

    fn failed(&mut self, peer: &mut Peer, error: &anyhow::Error) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.session = None;
        if self.failures == 1 {
            tracing::warn!(
                map = peer.map.url,
                error = format!("{error:#}"),
                "the map cannot be told"
            );
        }
        self.out.send_modify(|state| {
            (state.state, state.failure) = ("unreachable", Some(format!("{error:#}")));
        });
        Duration::from_secs(1)
            .saturating_mul(1 << (self.failures - 1).min(10))
            .min(LAST_RETRY)
            .mul_f64(0.5 + chance::dice() / 2.0)
    }

    /// One report; gives when the next is due.
    async fn report(&mut self, peer: &mut Peer) -> anyhow::Result<Duration> {
        let session = self.session(peer).await?;
        let changes = *self.inlets.changed.borrow_and_update();
        let board = if self.known == Some(changes) {
            None
        } else {
            Some(self.board().await?)
        };
        let batch = self.outbox.batch()?;
        self.sequence += 1;
        let (status, rows) = board.map(|board| (board.status, board.rows)).unzip();
        let report = Report {
            boot: self.boot.clone(),
            sequence: self.sequence,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            status,
            rows,
            events: batch.events.clone(),
            dropped: self.outbox.dropped(),
        };
        let path = format!("/v1/boxes/{}/report", peer.name);
        let answer: ReportAnswer =
            match post(&mut peer.client, &path, Some(&session), &report).await? {
                Ok(answer) => answer,
                Err((StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, text)) => {
                    self.session = None;
                    bail!("the map does not accept this box's session: {text}");
                }
                Err((status, text)) => bail!("the map answers {status}: {text}"),
            };
        self.outbox.delivered(&batch)?;
        self.known = (!answer.resend).then_some(changes);
        self.failures = 0;
        self.out.send_modify(|state| {
            *state = MapState {
                state: "reporting",
                last_contact: Some(jiff::Timestamp::now()),
                failure: None,
                waiting: self.outbox.waiting(),
                dropped: self.outbox.dropped(),
            };
        });
        Ok(Duration::from_secs(
            answer.next_in_s.clamp(HEARTBEAT.0, HEARTBEAT.1),
        ))
    }

    async fn board(&self) -> anyhow::Result<Board> {
        let (ask, answer) = oneshot::channel();
        self.inlets
            .asks
            .send(ask)
            .await
            .ok()
            .context("the agent is ending")?;
        answer.await.context("the agent is ending")
    }

    /// The session that there is, or a new one; enrols where the map does not know the key.
    async fn session(&mut self, peer: &mut Peer) -> anyhow::Result<String> {
        if let Some((session, until)) = &self.session
            && Instant::now() < *until
        {
            return Ok(session.clone());
        }
        let session = match self.log_in(peer).await? {
            Ok(session) => session,
            Err((status, text))
                if !matches!(
                    status,
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND
                ) =>
            {
                bail!("the map answers {status}: {text}")
            }
            Err((status, text)) => {
                let Some(token) = token(peer)? else {
                    self.out.send_modify(|state| state.state = "pending");
                    bail!(
                        "the map does not know this box's key ({status}: {text}); make a token there: swarm-map token --box {} [S-MAP-01]",
                        peer.name
                    );
                };
                self.enrol(peer, token).await?;
                let again = self.log_in(peer).await?;
                again.map_err(|(status, text)| {
                    anyhow::anyhow!("enrolled, but the map answers {status}: {text}")
                })?
            }
        };
        let until =
            Instant::now() + Duration::from_secs(session.expires_in_s.clamp(1, 86_400)) * 9 / 10;
        self.sessions.send_replace(Some(session.session.clone()));
        self.session = Some((session.session.clone(), until));
        Ok(session.session)
    }

    async fn log_in(
        &self,
        peer: &mut Peer,
    ) -> anyhow::Result<Result<Session, (StatusCode, String)>> {
        let key = self.key.public_key().to_openssh()?;
        let ask = SessionRequest {
            key: key.clone(),
            nonce: None,
            signature: None,
        };
        let challenge: Challenge = match post(&mut peer.client, "/v1/session", None, &ask).await? {
            Ok(challenge) => challenge,
            Err(refused) => return Ok(Err(refused)),
        };
        let fingerprint = self.key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        let statement = session_statement(&peer.map.url, &challenge.nonce, &fingerprint);
        let signature = signature::sign(&self.key, SESSION_NAMESPACE, statement.as_bytes())?;
        let answer = SessionRequest {
            key,
            nonce: Some(challenge.nonce),
            signature: Some(signature),
        };
        post(&mut peer.client, "/v1/session", None, &answer).await
    }

    async fn enrol(&self, peer: &mut Peer, token: String) -> anyhow::Result<()> {
        let enrol = Enrol {
            box_name: peer.name.clone(),
            key: self.key.public_key().to_openssh()?,
            token,
        };
        match post::<_, serde_json::Value>(&mut peer.client, "/v1/enrol", None, &enrol).await? {
            Ok(_) => {
                tracing::info!(map = peer.map.url, "enrolled");
                Ok(())
            }
            Err((status, text)) => {
                bail!("the map does not enrol this box ({status}: {text}) [S-MAP-01]")
            }
        }
    }
}

fn token(peer: &Peer) -> anyhow::Result<Option<String>> {
    let Some(file) = &peer.map.token_file else {
        return Ok(None);
    };
    match std::fs::read_to_string(file) {
        Ok(text) => {
            Ok(Some(text.trim().to_string())
                .filter(|token| !token.is_empty() && token.len() <= 4096))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("cannot read [map] token-file {}", file.display()))
        }
    }
}

/// Posts JSON and reads JSON; an answer that is no success comes as its status and the start of its text.
async fn post<B: Serialize, A: DeserializeOwned>(
    client: &mut Client,
    path: &str,
    session: Option<&str>,
    body: &B,
) -> anyhow::Result<Result<A, (StatusCode, String)>> {
    let mut headers = vec![(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )];
    if let Some(session) = session {
        headers.push((header::AUTHORIZATION, bearer(session)?));
    }
    let body = serde_json::to_vec(body)?.into();
    let response = client
        .request(Method::POST, path, &headers, body, MAX_ANSWER, TIME)
        .await?;
    if response.status.is_success() {
        let body = if response.body.is_empty() {
            b"null".as_slice()
        } else {
            &response.body
        };
        return Ok(Ok(serde_json::from_slice(body).with_context(|| {
            format!("the map's answer to {path} is not understood")
        })?));
    }
    let problem: Option<serde_json::Value> = serde_json::from_slice(&response.body).ok();
    let detail = problem
        .as_ref()
        .and_then(|problem| problem.get("detail").or_else(|| problem.get("title")))
        .and_then(|text| text.as_str());
    let text = detail.map_or_else(
        || String::from_utf8_lossy(&response.body).into_owned(),
        Into::into,
    );
    Ok(Err((response.status, text.chars().take(300).collect())))
}

fn bearer(session: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {session}"))
        .context("the map's session token is no header")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Holds `GET /v1/boxes/{box}/watch` open and looks at each line; what the line says makes no difference.
pub async fn watch_map(
    config: watch::Receiver<Rc<Config>>,
    mut state: watch::Receiver<MapState>,
    sessions: watch::Receiver<Option<String>>,
    wake: Wake,
) {
    let mut failures: u32 = 0;
    loop {
        // Where the map cannot be told anything, it can tell nothing.
        if state
            .wait_for(|state| state.state == "reporting")
            .await
            .is_err()
        {
            return;
        }
        let (map, name) = {
            let config = config.borrow();
            (config.settings.map.clone(), config.name.clone())
        };
        let session = sessions.borrow().clone();
        if let (Some(map), Some(session)) = (map, session) {
            match hold(&map, name.as_str(), &session, &wake).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "the map's nudges");
                    failures = failures.saturating_add(1);
                }
            }
        }
        let pause = Duration::from_secs(1)
            .saturating_mul(1 << failures.min(7))
            .min(LAST_RETRY);
        tokio::time::sleep(pause.mul_f64(0.5 + chance::dice() / 2.0)).await;
    }
}

async fn hold(map: &Map, name: &str, session: &str, wake: &Wake) -> anyhow::Result<()> {
    /// The map sends an empty line at each heartbeat, which is ten minutes at most: silence for longer is a dead connection.
    const SILENCE: Duration = Duration::from_secs(660);
    /// A line that says nothing more than "look" is short.
    const MAX_PART: usize = 64 << 10;
    let mut client = Client::new(&map.url, map.ca.as_deref())?;
    let headers = [(header::AUTHORIZATION, bearer(session)?)];
    let mut lines = client
        .open(
            Method::GET,
            &format!("/v1/boxes/{name}/watch"),
            &headers,
            swarm_wire::http::Bytes::default(),
            TIME,
        )
        .await?;
    if !lines.status.is_success() {
        bail!("the map answers {}", lines.status);
    }
    while let Some(part) = lines.chunk(Instant::now() + SILENCE).await? {
        if part.len() > MAX_PART {
            bail!("the map sends too much at once");
        }
        if part.windows(4).any(|word| word == b"look") {
            wake.promise("map");
        }
    }
    Ok(())
}
