//! The keeper: follows the picture with what the supervisor is told, and answers what people ask.
//!
//! Pictures and the supervisor's messages come in, messages to the supervisor go out. Owns what is known of the box's workflows;
//! touches two small files: how far the trunk was followed, and what was journalled already.

mod board;
mod deleted;
mod follow;
mod foretell;
mod kept;
mod status;
mod sync;
mod told;
mod why;

use crate::{
    link::Said,
    metrics::{Measured, Timings},
    picture::{Contact, Picture},
    plan::{Have, HeldRemoval},
    report::{Ask, MapState},
    seals::Sealer,
    settings::Config,
    trigger::Wake,
    walk::Trial,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    rc::Rc,
};
use swarm_manifests::{
    id::Digest,
    name::Name,
    report::{Event, Measure, Trouble},
    rules,
};
use swarm_supervisor::protocol::{Actual, Footing, FromAgent, Query, RunSpec, Standing, ToAgent};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use told::Told;

/// What the keeper asks of the walk.
#[derive(Debug)]
pub enum Order {
    /// What would a sync do?
    Trial(oneshot::Sender<Trial>),
    /// Read the configuration again.
    Reload,
    /// This stored bundle was changed.
    Distrust(Digest),
    /// The trunk was followed in full up to this position.
    Followed(u64),
    /// Only these bundles and secrets are needed.
    Collect(BTreeSet<Digest>),
}

/// What the keeper hears, but for the supervisor.
#[allow(missing_docs)]
pub struct Inlets {
    pub picture: watch::Receiver<Rc<Picture>>,
    pub contact: watch::Receiver<Contact>,
    /// Why webhooks cannot be taken, where they cannot.
    pub deaf: watch::Receiver<Option<String>>,
    /// For the journal.
    pub events: mpsc::Receiver<Event>,
    /// The reporter wants to know how it stands.
    pub asks: mpsc::Receiver<Ask>,
    /// Somebody wants to know what everything uses.
    pub measures: mpsc::Receiver<oneshot::Sender<Measured>>,
}

/// What the keeper says, but for the supervisor.
#[allow(missing_docs)]
pub struct Outlets {
    pub wake: Wake,
    pub orders: mpsc::Sender<Order>,
    /// Journal records, for the map.
    pub journaled: mpsc::Sender<Event>,
    /// Something changed that the map should know.
    pub changed: watch::Sender<u64>,
    pub timings: watch::Sender<Timings>,
}

/// The keeper.
pub struct Keeper {
    config: watch::Receiver<Rc<Config>>,
    own: PathBuf,
    actual: BTreeMap<Name, Actual>,
    put: BTreeMap<Name, RunSpec>,
    /// The secrets that this supervisor has, by workflow and digest.
    handed: BTreeSet<(Name, Digest)>,
    /// What ran before what runs: the store keeps it, too.
    previous: BTreeMap<Name, Digest>,
    /// What was said last; none: nothing yet, to this supervisor.
    standing: Option<Vec<Standing>>,
    /// Why the trunk does not move, as it was said last.
    trouble: Option<Trouble>,
    held: Option<HeldRemoval>,
    /// Who deleted what is held.
    deleted: deleted::Deleted,
    /// The trunk position up to which nothing is held.
    followed: u64,
    told: Told,
    sealer: Sealer,
    /// Whether the supervisor has said what there is; before that nothing is planned.
    is_greeted: bool,
    is_stale: bool,
    marks: sync::Marks,
    syncs: Vec<sync::Pending>,
    trials: Vec<foretell::Waiting>,
    /// Who waits for the supervisor's answer.
    measuring: Vec<oneshot::Sender<Measured>>,
    /// The reporter waits for it.
    weighing: Option<oneshot::Sender<Vec<Measure>>>,
    map: watch::Receiver<MapState>,
    say: mpsc::Sender<Said>,
    out: Outlets,
}

/// The supervisor has gone away; the agent ends with it.
#[derive(Debug, thiserror::Error)]
#[error("the supervisor went away")]
pub struct Gone;

impl Keeper {
    /// Knows nothing yet.
    pub fn new(
        config: watch::Receiver<Rc<Config>>,
        map: watch::Receiver<MapState>,
        say: mpsc::Sender<Said>,
        out: Outlets,
    ) -> Self {
        let own = config.borrow().own();
        let sealer = Sealer::new(&config.borrow());
        Self {
            previous: kept::previous(&own),
            followed: kept::followed(&own).unwrap_or(0),
            told: Told::load(&own.join("told.json")),
            sealer,
            config,
            own,
            actual: BTreeMap::new(),
            put: BTreeMap::new(),
            handed: BTreeSet::new(),
            standing: None,
            trouble: None,
            held: None,
            deleted: deleted::Deleted::default(),
            is_greeted: false,
            is_stale: false,
            marks: sync::Marks::default(),
            syncs: Vec::new(),
            trials: Vec::new(),
            measuring: Vec::new(),
            weighing: None,
            map,
            say,
            out,
        }
    }

    /// How far the trunk was followed in full, by an earlier agent.
    pub fn followed(&self) -> u64 {
        self.followed
    }

    /// Works until the supervisor goes away.
    pub async fn run(
        mut self,
        mut heard: mpsc::Receiver<ToAgent>,
        mut inlets: Inlets,
    ) -> Result<(), Gone> {
        inlets.picture.mark_changed();
        loop {
            let deadline = self.syncs.iter().map(|sync| sync.deadline).min();
            tokio::select! {
                message = heard.recv() => {
                    let Some(message) = message else { return Err(Gone) };
                    if !self.hear(message, &inlets).await? {
                        return Ok(());
                    }
                    // What waits is heard before anything is planned: a thousand changes, one plan.
                    while let Ok(message) = heard.try_recv() {
                        if !self.hear(message, &inlets).await? {
                            return Ok(());
                        }
                    }
                }
                Ok(()) = inlets.picture.changed() => self.is_stale = true,
                Ok(()) = self.map.changed() => {}
                Ok(()) = inlets.contact.changed(), if !self.syncs.is_empty() => {}
                Some(event) = inlets.events.recv() => self.tell(FromAgent::Journal(event)).await?,
                Some(ask) = inlets.measures.recv() => {
                    self.measuring.push(ask);
                    if self.measuring.len() == 1 {
                        self.tell(FromAgent::Measure).await?;
                    }
                }
                Some(ask) = inlets.asks.recv() => self.tell_reporter(ask, &inlets).await?,
                (id, trial) = foretell::next(&mut self.trials), if !self.trials.is_empty() => {
                    let (body, exit) = self.foretell(trial);
                    self.tell(FromAgent::Answer { id, body, exit, last: true }).await?;
                }
                () = until(deadline), if deadline.is_some() => {}
            }
            if self.is_stale && self.is_greeted {
                self.is_stale = false;
                let picture = inlets.picture.borrow_and_update().clone();
                self.follow(&picture).await?;
                self.marks.follow();
            }
            self.tell_trouble(&inlets).await?;
            self.answer_syncs(&inlets).await?;
        }
    }

    /// Why the trunk does not move, or may be behind, for whoever lists what runs.
    async fn tell_trouble(&mut self, inlets: &Inlets) -> Result<(), Gone> {
        let stopped = inlets.picture.borrow().trouble.clone();
        let trouble = stopped.or_else(|| self.map.borrow().freshness.clone());
        if self.is_greeted && trouble != self.trouble {
            self.trouble.clone_from(&trouble);
            self.tell(FromAgent::Trouble(trouble)).await?;
        }
        Ok(())
    }

    /// False: the supervisor wants us to end.
    async fn hear(&mut self, message: ToAgent, inlets: &Inlets) -> Result<bool, Gone> {
        match message {
            ToAgent::Hello { workflows } => {
                self.actual = workflows
                    .into_iter()
                    .map(|actual| (actual.workflow.clone(), actual))
                    .collect();
                self.put.clear();
                self.handed.clear();
                self.standing = None;
                self.trouble = None;
                (self.is_greeted, self.is_stale) = (true, true);
                self.marks = sync::Marks::default();
                self.mark_changed();
            }
            ToAgent::Changed(actual) => self.take(actual),
            ToAgent::Measured { rows, traffic } => {
                let queues = self.queues(inlets);
                for ask in self.measuring.drain(..) {
                    let _ = ask.send(Measured {
                        rows: rows.clone(),
                        traffic: traffic.clone(),
                        queues: queues.clone(),
                    });
                }
            }
            ToAgent::Weighed(measures) => {
                if let Some(ask) = self.weighing.take() {
                    let _ = ask.send(measures);
                }
            }
            ToAgent::Marked(mark) => self.marks.reached = mark,
            // A full queue drops it: the outbox counts what the sequence numbers leave out.
            ToAgent::Journaled(event) => {
                self.sealer.journaled(&event);
                drop(self.out.journaled.try_send(event));
            }
            ToAgent::Seal { sequence, hash } => match self.sealer.seal(sequence, &hash) {
                Ok(Some(record)) => self.tell(FromAgent::Journal(record)).await?,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the journal could not be sealed"
                    );
                }
            },
            ToAgent::Query { id, query } => self.answer(id, query, inlets).await?,
            ToAgent::Stop => return Ok(false),
        }
        Ok(true)
    }

    fn take(&mut self, actual: Actual) {
        let name = actual.workflow.clone();
        if let Some(digest) = changed_in_store(&actual) {
            let _ = self.out.orders.try_send(Order::Distrust(digest));
            let _ = self.out.wake.nudge("a stored bundle was changed");
            // It is put again once it is stored anew.
            self.put.remove(&name);
        }
        let before =
            if actual.rows.is_empty() && actual.revision.is_none() && actual.successor.is_none() {
                // What we put is not there: it was removed, or put so lately that the supervisor did not know of it.
                self.actual.remove(&name)
            } else {
                self.actual.insert(name.clone(), actual)
            };
        if before.as_ref().map(essence) != self.actual.get(&name).map(essence) {
            self.is_stale = true;
        }
        self.mark_changed();
    }

    /// What waits in the agent's queues.
    fn queues(&self, inlets: &Inlets) -> Vec<(&'static str, usize)> {
        fn waits<T>(queue: &mpsc::Sender<T>) -> usize {
            queue.max_capacity() - queue.capacity()
        }
        vec![
            ("orders", waits(&self.out.orders)),
            ("journaled", waits(&self.out.journaled)),
            ("supervisor", waits(&self.say)),
            ("events", inlets.events.len()),
        ]
    }

    fn mark_changed(&mut self) {
        self.out.changed.send_modify(|changes| *changes += 1);
    }

    fn have(&self) -> BTreeMap<Name, Have> {
        let mut have: BTreeMap<Name, Have> = self
            .actual
            .iter()
            .map(|(name, actual)| (name.clone(), Have::of(actual, self.put.get(name))))
            .collect();
        for (name, spec) in &self.put {
            have.entry(name.clone()).or_insert_with(|| Have {
                put: Some(Box::new(spec.clone())),
                ..Have::default()
            });
        }
        have
    }

    async fn answer(&mut self, id: u64, query: Query, inlets: &Inlets) -> Result<(), Gone> {
        let (body, exit) = match query {
            Query::Why { workflow } => self.why(&workflow, inlets),
            Query::Status => (self.status(inlets), 0),
            Query::Sync { timeout_ms } => {
                let after = self.out.wake.nudge("sync");
                self.syncs.push(sync::Pending {
                    id,
                    after,
                    deadline: Instant::now()
                        + std::time::Duration::from_millis(timeout_ms.min(86_400_000)),
                });
                return Ok(());
            }
            Query::Plan => {
                if self.ask_for_trial(id) {
                    return Ok(());
                }
                self.trials.retain(|(waiting, _)| *waiting != id);
                self.foretell(None)
            }
            Query::Reload => {
                let _ = self.out.orders.try_send(Order::Reload);
                (serde_json::json!({}), 0)
            }
        };
        self.tell(FromAgent::Answer {
            id,
            body,
            exit,
            last: true,
        })
        .await
    }

    async fn tell(&self, message: impl Into<Said>) -> Result<(), Gone> {
        self.say.send(message.into()).await.map_err(|_| Gone)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The digest of a bundle that the supervisor found changed in the store.
fn changed_in_store(actual: &Actual) -> Option<Digest> {
    let is_changed =
        |rule: Option<&String>| rule.is_some_and(|rule| rule == rules::run::CHANGED.id);
    let row = actual.rows.iter().find(|row| {
        is_changed(row.rule.as_ref())
            || is_changed(row.next.as_ref().and_then(|next| next.rule.as_ref()))
    })?;
    row.digest.as_ref()?.parse().ok()
}

/// What a plan depends on.
fn essence(actual: &Actual) -> (Option<Digest>, Option<Digest>, &[Footing]) {
    (actual.revision, actual.successor, &actual.footings)
}
