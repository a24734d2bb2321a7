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

/// What came of an order.
enum Ended {
    /// The supervisor's last word.
    Followed(Outcome),
    /// Nothing was done, and the map will bring it again: the request's id.
    NotYet(String),
}

/// What is known of requests.
pub struct Requests {
    used: Used,
    under_way: JoinSet<Ended>,
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
            Some(Ok(Ended::Followed(outcome))) => {
                self.used.done(&outcome);
                self.outcomes.push(outcome);
            }
            Some(Ok(Ended::NotYet(id))) => self.not_yet(&id, "the supervisor has no room for it"),
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
            Before::Later(why) => return self.not_yet(&request.id, &why),
        }
        if let Err(error) = self.follow(request, &by) {
            self.not_yet(&request.id, &format!("{error:#}"));
        }
    }

    /// Nothing was done: it is as good as it was, and the map, which hears of no outcome, brings it again.
    fn not_yet(&mut self, id: &str, why: &str) {
        tracing::warn!(id, why, "a request has to wait");
        self.used.release(id);
    }

    fn follow(&mut self, request: &Request, by: &SignedBy) -> anyhow::Result<()> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let message = FromAgent::Speak {
            by: by.name.to_string(),
            key: by.key.clone(),
            request: Some(request.id.clone()),
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
fn speak(id: String, stream: UnixStream, order: &Order) -> Ended {
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
        Ok(answers) if answers.last() == Some(&Response::Busy) => {
            return Ended::NotYet(outcome.id);
        }
        Ok(answers) => {
            let is_further =
                |answer: &Response| matches!(answer, Response::Log(line) if line.instance > 0);
            let are_several = answers.iter().any(is_further);
            for answer in answers {
                match answer {
                    Response::Log(line) => {
                        let line = format!("{} {}", line.head(are_several), line.text);
                        let size =
                            serde_json::to_string(&line).map_or(MAX_LINES, |text| text.len());
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
                    Response::Rows(_)
                    | Response::Record(_)
                    | Response::Body(_)
                    | Response::Busy => {}
                }
            }
        }
        Err(error) => failed(&mut outcome, &error),
    }
    Ended::Followed(outcome)
}

fn failed(outcome: &mut Outcome, error: &ClientError) {
    (outcome.exit, outcome.message) = (error.exit(), error.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::io::Write as _;
    use swarm_supervisor::protocol::encode;

    #[tokio::test]
    async fn a_request_for_which_the_supervisor_has_no_room_is_still_to_be_done() {
        let folder = tempfile::tempdir().expect("a folder");
        let ((supervisor, mut says), (events, _heard)) = (mpsc::channel(1), mpsc::channel(1));
        let out = Outlets { supervisor, events };
        let mut requests = Requests::open(folder.path().join("used.json"), out).expect("a file");
        let name = |text| Name::new(text).expect("a name");
        let request = Request {
            repository: "r".into(),
            id: "0".repeat(32),
            action: Action::Kill { hold: true },
            workflow: name("ramp"),
            boxes: vec![name("lab-1")],
            issued: Timestamp::UNIX_EPOCH,
            expires: Timestamp::MAX,
            reason: None,
        };
        let by = SignedBy {
            name: name("alice"),
            key: "SHA256:a".into(),
        };
        for answer in [
            Response::Busy,
            Response::Done {
                exit: 0,
                message: None,
            },
        ] {
            let before = requests.used.take(&request, Timestamp::now());
            assert_eq!(before, Before::Never);
            requests.follow(&request, &by).expect("there is room");
            let said = says.recv().await.expect("somebody speaks");
            let socket = said.memory().expect("a socket").try_clone();
            let mut socket = UnixStream::from(socket.expect("a socket"));
            socket.write_all(&encode(&answer)).expect("it is read");
            requests.done().await;
        }
        assert_eq!(requests.outcomes().len(), 1, "only what was done is told");
        let again = requests.used.take(&request, Timestamp::now());
        assert!(matches!(again, Before::Done(_)), "{again:?}");
    }
}
