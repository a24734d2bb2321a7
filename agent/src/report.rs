//! The box and its map: enrolled once, a session by signed challenge, reports of what changed, and a heartbeat whose interval
//! the map sets. What the map says decides nothing but when to look and when to come again.
//!
//! Touches the network and the box's key.

mod measured;
mod nudged;
mod post;
mod session;
mod witnessed;

pub use nudged::watch_map;
pub use post::bearer;
pub use witnessed::Heard;

use crate::{
    box_key::box_key,
    chance,
    outbox::Outbox,
    picture::{Contact, Picture},
    requests::{self, Requests},
    settings::Config,
    trigger::Wake,
};
use anyhow::{Context, bail};
use measured::Measured;
use post::post;
use ssh_key::PrivateKey;
use std::{rc::Rc, time::Duration};
use swarm_manifests::{
    report::{BoxStatus, Event, Measure, Report, ReportAnswer, Trouble},
    settings::Map,
    status::Row,
};
use swarm_wire::http::{Client, StatusCode};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use witnessed::Witnessed;

/// Changes are collected for so long before they are reported.
const COLLECT: Duration = Duration::from_millis(50);
/// Reports are no closer than this.
const APART: Duration = Duration::from_millis(500);
/// The map sets the heartbeat within these.
const HEARTBEAT: (u64, u64) = (1, 600);
/// So long a report waits for what instances use.
const MEASURING: Duration = Duration::from_secs(2);
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
    /// What the map's witness says against what this box trusts.
    pub freshness: Option<Trouble>,
}

/// The box as the map should know it now: what reports are made from.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Board {
    pub status: BoxStatus,
    pub rows: Vec<Row>,
}

/// What the reporter asks the keeper.
#[derive(Debug)]
pub enum Ask {
    /// The box as it stands.
    Board(oneshot::Sender<Board>),
    /// What each instance uses.
    Measures(oneshot::Sender<Vec<Measure>>),
}

/// What the reporter hears.
#[allow(missing_docs)]
pub struct Inlets {
    pub config: watch::Receiver<Rc<Config>>,
    pub changed: watch::Receiver<u64>,
    pub journaled: mpsc::Receiver<Event>,
    pub asks: mpsc::Sender<Ask>,
    pub picture: watch::Receiver<Rc<Picture>>,
    pub contact: watch::Receiver<Contact>,
    /// The map says that a request waits.
    pub called: watch::Receiver<u64>,
}

/// Whom the reporter tells.
#[allow(missing_docs)]
pub struct Outlets {
    pub state: watch::Sender<MapState>,
    pub sessions: watch::Sender<Option<String>>,
    pub heard: watch::Sender<Heard>,
    pub wake: Wake,
    pub requests: requests::Outlets,
}

/// The reporter.
pub struct Reporter {
    inlets: Inlets,
    outbox: Outbox,
    requests: Requests,
    key: PrivateKey,
    out: watch::Sender<MapState>,
    sessions: watch::Sender<Option<String>>,
    witnessed: Witnessed,
    wake: Wake,
    /// Random, new at each start.
    boot: String,
    sequence: u64,
    session: Option<(String, Instant)>,
    /// The map knows what changed up to here; none: it knows nothing.
    known: Option<u64>,
    measured: Measured,
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
    pub fn new(inlets: Inlets, out: Outlets) -> anyhow::Result<Self> {
        let config = inlets.config.borrow().clone();
        let own = config.own();
        let key = box_key(&own.join("box.key"))?;
        let outbox = Outbox::open(&own).context("the outbox cannot be opened")?;
        let random: [u8; 16] = chance::bytes()?;
        Ok(Self {
            inlets,
            outbox,
            requests: Requests::open(own.join("requests.json"), out.requests)?,
            key,
            out: out.state,
            sessions: out.sessions,
            witnessed: Witnessed::open(config, out.heard),
            wake: out.wake,
            boot: hex::encode(random),
            sequence: 0,
            session: None,
            known: None,
            measured: Measured::default(),
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
            let is_news = self.known != Some(*self.inlets.changed.borrow())
                || self.outbox.waiting() > 0
                || self.requests.has_outcomes();
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
                    self.witnessed.reload(self.inlets.config.borrow().clone());
                    (self.session, self.known, self.failures, next) = (None, None, 0, Instant::now());
                    continue;
                }
                changed = self.inlets.changed.changed() => {
                    changed?;
                    continue;
                }
                called = self.inlets.called.changed() => {
                    called?;
                    // A report brings what waits.
                    next = next.min(free);
                    continue;
                }
                () = self.requests.done() => continue,
                looked = self.inlets.contact.changed(), if self.witnessed.listens() => {
                    looked?;
                    self.weigh();
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
        self.witnessed.settle();
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
        let measures = self.measures().await;
        let batch = self.outbox.batch()?;
        self.sequence += 1;
        let (mut status, rows): (Option<BoxStatus>, _) =
            board.map(|board| (board.status, board.rows)).unzip();
        if let Some(status) = &mut status {
            status.freshness = self.witnessed.standing();
        }
        let report = Report {
            boot: self.boot.clone(),
            sequence: self.sequence,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            status,
            rows,
            measures,
            events: batch.events.clone(),
            dropped: self.outbox.dropped(),
            outcomes: self.requests.outcomes().to_vec(),
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
        self.requests.delivered(report.outcomes.len());
        self.known = (!answer.resend).then_some(changes);
        if answer.resend {
            self.measured.forget();
        } else {
            self.measured.delivered(&report.measures);
        }
        self.failures = 0;
        self.out.send_modify(|state| {
            *state = MapState {
                state: "reporting",
                last_contact: Some(jiff::Timestamp::now()),
                failure: None,
                waiting: self.outbox.waiting(),
                dropped: self.outbox.dropped(),
                freshness: self.witnessed.standing(),
            };
        });
        let picture = self.inlets.picture.borrow().clone();
        let here = self.inlets.config.borrow().name.clone();
        self.requests.take(&here, &picture, answer.requests);
        if self.witnessed.hear(answer.witness, &picture) {
            self.wake.promise("witness", None);
        }
        self.weigh();
        Ok(Duration::from_secs(
            answer.next_in_s.clamp(HEARTBEAT.0, HEARTBEAT.1),
        ))
    }

    /// What stands between the map's witness and this box; something new is told to the map at once.
    fn weigh(&mut self) {
        let (picture, contact) = (&self.inlets.picture, &mut self.inlets.contact);
        let contact = contact.borrow_and_update().clone();
        if self.witnessed.weigh(&picture.borrow(), &contact) {
            let freshness = self.witnessed.standing();
            self.out.send_modify(|state| state.freshness = freshness);
            self.known = None;
        }
    }

    async fn board(&self) -> anyhow::Result<Board> {
        self.ask(Ask::Board).await
    }

    /// What moved of what instances use. A report does not wait for it long, nor fail without it.
    async fn measures(&mut self) -> Vec<Measure> {
        let now = Instant::now();
        if !self.measured.is_due(now) {
            return Vec::new();
        }
        let measured = tokio::time::timeout(MEASURING, self.ask(Ask::Measures)).await;
        match measured {
            Ok(Ok(measures)) => self.measured.news(measures, now),
            _ => Vec::new(),
        }
    }

    async fn ask<A>(&self, question: impl FnOnce(oneshot::Sender<A>) -> Ask) -> anyhow::Result<A> {
        let (ask, answer) = oneshot::channel();
        let asked = self.inlets.asks.send(question(ask)).await;
        asked.ok().context("the agent is ending")?;
        answer.await.context("the agent is ending")
    }
}
