//! Requests of people that come through the map: verified here again, by the policy that this box trusts, and followed once.
//!
//! Signed requests come in; what became of each goes out, for the map. Touches one small file, which says what was used, and the
//! supervisor through sockets that are handed to it.

mod used;

use crate::{link::Said, picture::Picture};
use anyhow::Context;
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};
use swarm_manifests::{
    name::Name,
    policy::SignedBy,
    problem::Refusal,
    report::Event,
    request::{Action, Outcome, Request, Signed},
    rules::remote::REQUEST,
};
use swarm_supervisor::{
    client::{ClientError, Connection},
    protocol::{FromAgent, Request as Order, Response},
};
use tokio::{sync::mpsc, task::JoinSet};
use used::{Before, Used};

/// How long an order may take on the box: longer than any grace that is reasonable.
const PATIENCE: Duration = Duration::from_secs(600);
/// So many bytes of a log, as they are written in JSON, go through the map at most.
const MAX_LINES: usize = 256 << 10;
/// So many bytes of what became of requests go into one report.
const MAX_REPORTED: usize = 1 << 20;
/// So many requests in a minute that nobody known signed are journaled; of the others the log of this program tells.
const STRANGERS: u32 = 10;
/// So many orders are under way at a time; the map keeps the others.
const AT_ONCE: usize = 16;

/// Whom it tells, but for the map.
#[allow(missing_docs)]
pub struct Outlets {
    pub supervisor: mpsc::Sender<Said>,
    /// For the journal.
    pub events: mpsc::Sender<Event>,
}

/// What is known of requests.
pub struct Requests {
    used: Used,
    under_way: JoinSet<Outcome>,
    /// What the map has not heard yet.
    outcomes: Vec<Outcome>,
    /// Since when strangers' requests are counted, and how many came.
    strangers: (Instant, u32),
    out: Outlets,
}

impl Requests {
    /// Reads what was used already.
    pub fn open(file: PathBuf, out: Outlets) -> anyhow::Result<Self> {
        Ok(Self {
            used: Used::open(file, jiff::Timestamp::now()).context("which requests were used")?,
            under_way: JoinSet::new(),
            outcomes: Vec::new(),
            strangers: (Instant::now(), 0),
            out,
        })
    }

    /// Whether there is something to tell the map.
    pub fn has_outcomes(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// What the map is to be told next: the oldest, as many as one report holds, and at least one where there is one.
    pub fn outcomes(&self) -> &[Outcome] {
        let mut left = MAX_REPORTED;
        let fit = self.outcomes.iter().take_while(|outcome| {
            let size = serde_json::to_vec(outcome).map_or(0, |text| text.len());
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        });
        let count = fit.count().max(1).min(self.outcomes.len());
        &self.outcomes[..count]
    }

    /// The map has heard the first so many.
    pub fn delivered(&mut self, count: usize) {
        self.outcomes.drain(..count.min(self.outcomes.len()));
    }

    /// Waits until an order is done.
    pub async fn done(&mut self) {
        match self.under_way.join_next().await {
            Some(Ok(outcome)) => {
                self.used.done(&outcome);
                self.outcomes.push(outcome);
            }
            Some(Err(error)) => tracing::error!(%error, "a request came to nothing"),
            None => std::future::pending().await,
        }
    }

    /// Takes what the map brought: each is followed, or refused.
    pub fn take(&mut self, here: &Name, picture: &Picture, waiting: Vec<Signed>) {
        for signed in waiting.into_iter().take(AT_ONCE) {
            if self.under_way.len() >= AT_ONCE {
                return;
            }
            let Ok(request) = Request::parse(&signed.statement) else {
                tracing::warn!("the map brought a request that is none");
                continue;
            };
            let known = |outcome: &Outcome| outcome.id == request.id;
            if !self.outcomes.iter().any(known) {
                self.one(here, picture, &request, &signed);
            }
        }
    }

    fn one(&mut self, here: &Name, picture: &Picture, request: &Request, signed: &Signed) {
        let now = jiff::Timestamp::now();
        let by = match verify(here, picture, request, signed, now) {
            Ok(by) => by,
            Err(refusal) => return self.refuse(request, None, &refusal),
        };
        match self.used.take(request, now) {
            Before::Never => {}
            Before::UnderWay => return,
            Before::Done(outcome) => return self.outcomes.push(outcome),
            Before::Used(why) => {
                let refusal = Refusal::new(&REQUEST, why);
                return self.refuse(request, Some(&by), &refusal);
            }
        }
        if let Err(error) = self.follow(request, &by) {
            let reason = format!("it could not be followed: {error:#}");
            self.refuse(request, Some(&by), &Refusal::new(&REQUEST, reason));
        }
    }

    fn follow(&mut self, request: &Request, by: &SignedBy) -> anyhow::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let message = FromAgent::Speak {
            by: by.name.to_string(),
            key: by.key.clone(),
        };
        let said = Said::with(message, Rc::new(OwnedFd::from(theirs)));
        self.out
            .supervisor
            .try_send(said)
            .map_err(|_| anyhow::anyhow!("the supervisor is busy"))?;
        if let Action::Logs { .. } = request.action {
            // The supervisor journals what changes something; who read is told here.
            let record = record(request, Some(by));
            let _ = self.out.events.try_send(Event {
                action: "logs".into(),
                ..record
            });
        }
        let (id, order) = (request.id.clone(), order(request));
        self.under_way
            .spawn_blocking(move || speak(id, ours, &order));
        Ok(())
    }

    fn refuse(&mut self, request: &Request, by: Option<&SignedBy>, refusal: &Refusal) {
        let (verb, workflow) = (request.action.verb(), &request.workflow);
        tracing::warn!(rule = refusal.rule.id, reason = refusal.reason, verb, %workflow, "a request is refused");
        let reason = format!("{verb} through the map: {}", refusal.reason);
        if by.is_some() || self.journals_a_stranger() {
            let _ = self.out.events.try_send(Event {
                action: "refuse".into(),
                rule: Some(refusal.rule.id.into()),
                reason: Some(reason),
                ..record(request, by)
            });
        }
        let outcome = Outcome {
            id: request.id.clone(),
            exit: 4,
            message: refusal.reason.clone(),
            rule: Some(refusal.rule.id.into()),
            lines: Vec::new(),
        };
        // What nobody signed says nothing about a request that was followed, whatever id it has.
        if by.is_some() {
            self.used.done(&outcome);
        }
        self.outcomes.push(outcome);
    }

    /// A map that makes requests up must not wash the journal away.
    fn journals_a_stranger(&mut self) -> bool {
        if self.strangers.0.elapsed() >= Duration::from_secs(60) {
            self.strangers = (Instant::now(), 0);
        }
        self.strangers.1 = self.strangers.1.saturating_add(1);
        self.strangers.1 <= STRANGERS
    }
}

/// Whose it is, by what this box trusts itself. Pure.
fn verify(
    here: &Name,
    picture: &Picture,
    request: &Request,
    signed: &Signed,
    now: jiff::Timestamp,
) -> Result<SignedBy, Refusal> {
    let snapshot = picture.snapshot.as_ref();
    let snapshot = snapshot.ok_or_else(|| {
        Refusal::new(
            &REQUEST,
            "this box trusts no policy yet that could say who may",
        )
    })?;
    request.check(signed, &snapshot.policy, &[here], now)
}

fn record(request: &Request, by: Option<&SignedBy>) -> Event {
    Event {
        workflow: Some(request.workflow.to_string()),
        by: by.map(|by| by.name.to_string()),
        key: by.map(|by| by.key.clone()),
        reason: request.reason.clone(),
        ..Event::new("request")
    }
}

/// What the supervisor is asked. Pure.
fn order(request: &Request) -> Order {
    let (workflow, reason) = (request.workflow.to_string(), request.reason.clone());
    match request.action {
        Action::Kill { hold } => Order::Kill {
            workflow,
            reason,
            hold,
        },
        Action::Start => Order::Start { workflow, reason },
        Action::Restart => Order::Restart { workflow, reason },
        Action::Logs { lines } => Order::Logs {
            workflow,
            follow: false,
            lines: Some(lines.into()),
            since_unix_ms: None,
        },
    }
}

/// Asks the supervisor, and waits for its last word. Blocks.
fn speak(id: String, stream: UnixStream, order: &Order) -> Outcome {
    let mut outcome = Outcome {
        id,
        exit: 0,
        message: String::new(),
        rule: None,
        lines: Vec::new(),
    };
    let answers = Connection::over(stream, "to the supervisor".into()).ask(order);
    let mut left = MAX_LINES;
    match answers {
        Ok(answers) => answers.into_iter().for_each(|answer| match answer {
            Response::Log(line) => {
                let line = format!("{} {}", line.head(), line.text);
                let size = serde_json::to_string(&line).map_or(MAX_LINES, |text| text.len());
                if let Some(rest) = left.checked_sub(size) {
                    left = rest;
                    outcome.lines.push(line);
                }
            }
            Response::Done { exit, message } => {
                (outcome.exit, outcome.message) = (exit, message.unwrap_or_default());
            }
            Response::Failed { exit, message, .. } => {
                (outcome.exit, outcome.message) = (exit, message);
            }
            Response::Rows(_) | Response::Record(_) | Response::Body(_) => {}
        }),
        Err(error) => failed(&mut outcome, &error),
    }
    outcome
}

fn failed(outcome: &mut Outcome, error: &ClientError) {
    (outcome.exit, outcome.message) = (error.exit(), error.to_string());
}
