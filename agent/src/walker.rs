//! What turns nudges, sightings and orders into walks: of the trunk, or with `local` of a folder.
//!
//! Owns the one source that everything comes from; touches what that touches, and the configuration when it changes.

use crate::{
    keeper::Order,
    local::Local,
    lookout::{Back, Lookout, Rhythm, Seen},
    picture::Picture,
    report::Heard,
    settings::Config,
    trigger::{
        Nudges, SETTLE, Wake,
        files::{self, Files},
    },
    walk::{self, Walk},
};
use std::{collections::BTreeSet, rc::Rc, time::Duration};
use swarm_manifests::id::Digest;
use swarm_repository::{compact::Joined, objects::ObjectError};
use swarm_supervisor::os::pages;
use swarm_wire::pace::{Outcome, Pace};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle},
    time::Instant,
};

/// So long after something moved it is tidied up: bundles and packs that nobody needs, pages that only the move needed.
const QUIET: Duration = Duration::from_secs(5);
/// Where something moves all the time, it is tidied up so long after the first move.
const AT_LATEST: Duration = Duration::from_secs(60);

/// What turns nudges and time into walks.
#[allow(missing_docs)]
pub struct Walker {
    pub config: Rc<Config>,
    pub config_out: watch::Sender<Rc<Config>>,
    pub orders: mpsc::Receiver<Order>,
    pub reloads: watch::Receiver<u64>,
    pub wake: Wake,
    pub followed: u64,
    pub heard: watch::Receiver<Heard>,
    pub out: walk::Outlets,
    /// What is needed of the store, as the keeper said last: the rest is removed when it is quiet, not before a start.
    pub needed: Option<BTreeSet<Digest>>,
}

/// When to tidy up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quiet {
    at: Instant,
    at_latest: Instant,
}

impl Quiet {
    /// After a move now, where it was due at `before` or not at all.
    fn after_move(before: Option<Self>, now: Instant) -> Self {
        let at_latest = before.map_or(now + AT_LATEST, |quiet| quiet.at_latest);
        Self {
            at: at_latest.min(now + QUIET),
            at_latest,
        }
    }
}

/// Where everything comes from.
enum Source {
    Trunk(Box<Walk>),
    Folder(Box<Local>),
}

impl Source {
    async fn walk(&mut self, nudges: &Nudges, seen: Option<Seen>) -> Outcome {
        match self {
            Self::Trunk(walk) => walk.walk(nudges, seen).await,
            Self::Folder(local) => local.walk(nudges),
        }
    }

    /// A trunk is looked for between two walks.
    fn send_out(&mut self, rhythm: &Rhythm) -> Option<Lookout> {
        match self {
            Self::Trunk(walk) => walk.lend(rhythm).map(Lookout::send_out),
            Self::Folder(_) => None,
        }
    }

    fn take_back(&mut self, back: Back) -> Option<Seen> {
        if let Self::Trunk(walk) = self {
            walk.take_back(back.errand.fetch);
        }
        back.seen
    }
}

/// Small packs that are joined beside the walk.
type Joining = Result<Option<Joined>, ObjectError>;

/// The source, and what is under way between two walks.
struct Rest {
    source: Source,
    watched: Vec<Files>,
    rhythm: Rhythm,
    promised: u64,
    quiet: Option<Quiet>,
    joining: Option<JoinHandle<Joining>>,
}

/// What ended a rest.
enum Woken {
    Seen,
    Nudged,
    Quiet,
    Joined(Joining),
    Reload,
    Order(Order),
}

impl Walker {
    /// Walks for as long as it is not dropped.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut nudges = self.wake.watch();
        let source = self.source().await?;
        let mut rest = Rest {
            watched: self.watch_source(&source),
            source,
            rhythm: Rhythm::new(Pace::new(self.poll())),
            promised: 0,
            quiet: Some(Quiet::after_move(None, Instant::now())),
            joining: None,
        };
        let mut seen = None;
        loop {
            let nudged = nudges.borrow_and_update().clone();
            rest.heed(&nudged);
            let outcome = rest.source.walk(&nudged, seen).await;
            rest.looked(outcome);
            seen = loop {
                let mut lookout = rest.source.send_out(&rest.rhythm);
                let woken = self.wait(&mut lookout, &mut nudges, &mut rest).await?;
                let seen = match lookout {
                    Some(lookout) => rest.take_back(lookout.call_back().await?),
                    None => None,
                };
                if self.follow(woken, &mut rest).await? || seen.is_some() {
                    break seen;
                }
            };
        }
    }

    async fn source(&self) -> anyhow::Result<Source> {
        Ok(match &self.config.local {
            Some(dir) => Source::Folder(Box::new(
                Local::begin(dir, self.config.clone(), self.out.clone()).await?,
            )),
            None => Source::Trunk(Box::new(
                Walk::begin(
                    self.config.clone(),
                    self.followed,
                    self.heard.clone(),
                    self.out.clone(),
                )
                .await?,
            )),
        })
    }

    /// Waits until there is something to do.
    async fn wait(
        &mut self,
        lookout: &mut Option<Lookout>,
        nudges: &mut watch::Receiver<Nudges>,
        rest: &mut Rest,
    ) -> anyhow::Result<Woken> {
        Ok(tokio::select! {
            back = returns(lookout) => back.map(|()| Woken::Seen)?,
            () = tokio::time::sleep_until(rest.quiet.map_or_else(Instant::now, |quiet| quiet.at)), if rest.quiet.is_some() => Woken::Quiet,
            joined = joined(&mut rest.joining) => Woken::Joined(joined?),
            changed = nudges.changed() => changed.map(|()| Woken::Nudged)?,
            changed = self.reloads.changed() => changed.map(|()| Woken::Reload)?,
            Some(order) = self.orders.recv() => Woken::Order(order),
        })
    }

    /// True: walk at once.
    async fn follow(&mut self, woken: Woken, rest: &mut Rest) -> anyhow::Result<bool> {
        match woken {
            Woken::Seen => return Ok(true),
            Woken::Nudged => {
                let settle = if self.config.local.is_some() {
                    SETTLE
                } else {
                    rest.rhythm.pace.until_nudged(rest.rhythm.now())
                };
                // The timer's smallest step is a millisecond, also for nothing.
                if !settle.is_zero() {
                    tokio::time::sleep(settle).await;
                }
                return Ok(true);
            }
            Woken::Quiet => {
                rest.quiet = None;
                self.tidy(rest);
            }
            Woken::Joined(joined) => {
                rest.joining = None;
                if let Source::Trunk(walk) = &mut rest.source {
                    walk.joined(joined);
                }
            }
            Woken::Order(Order::Collect(needed)) => {
                self.needed = Some(needed);
                let later = || Quiet::after_move(None, Instant::now());
                rest.quiet = Some(rest.quiet.unwrap_or_else(later));
            }
            Woken::Reload | Woken::Order(Order::Reload) => return self.reload_into(rest).await,
            Woken::Order(order) => self.obey(order, &mut rest.source).await,
        }
        Ok(false)
    }

    fn poll(&self) -> Duration {
        self.config
            .settings
            .repository
            .as_ref()
            .map_or(Duration::from_secs(60), |repository| repository.poll)
    }

    async fn obey(&self, order: Order, source: &mut Source) {
        match (order, source) {
            (Order::Trial(answer), Source::Trunk(walk)) => drop(answer.send(walk.trial().await)),
            (Order::Trial(answer), Source::Folder(local)) => {
                drop(answer.send(Ok(Rc::new(local.picture()))));
            }
            (Order::Distrust(digest), Source::Trunk(walk)) => walk.distrust(digest),
            (Order::Followed(position), Source::Trunk(walk)) => walk.followed(position),
            // The walker's own, and what a folder knows nothing of.
            (Order::Reload | Order::Collect(_), _)
            | (Order::Distrust(_) | Order::Followed(_), Source::Folder(_)) => {}
        }
    }

    /// Nothing has moved for a while: what nobody needs any more goes, and so do the pages that only the move needed.
    fn tidy(&mut self, rest: &mut Rest) {
        if let Source::Trunk(walk) = &mut rest.source {
            walk.settle_trust();
            if let Some(needed) = self.needed.take() {
                walk.tidy(needed);
            }
            if rest.joining.is_none() {
                rest.joining = Some(walk.join_packs());
            }
        }
        pages::give_back_heap();
        if let Err(error) = pages::give_back_text() {
            tracing::debug!(%error, "the program's text stays resident");
        }
    }

    /// True: look at once, for the configuration has changed.
    async fn reload_into(&mut self, rest: &mut Rest) -> anyhow::Result<bool> {
        let has_changed = self.reload(&mut rest.source).await?;
        if has_changed {
            rest.watched = self.watch_source(&rest.source);
            rest.rhythm.pace.set_poll(self.poll());
        }
        Ok(has_changed)
    }

    /// A configuration that is wrong changes nothing but a warning.
    async fn reload(&mut self, source: &mut Source) -> anyhow::Result<bool> {
        tokio::time::sleep(SETTLE).await;
        let new = match Config::load(&self.config.file) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the changed configuration is wrong: the one before goes on"
                );
                self.warn(vec![format!(
                    "the changed configuration is wrong, the one before goes on: {error:#}"
                )]);
                return Ok(false);
            }
        };
        let warnings = self.config.needs_restart(&new);
        let new = Rc::new(self.config.keeping_what_needs_restart(new));
        if *new == *self.config {
            self.warn(warnings);
            return Ok(false);
        }
        tracing::info!("the configuration was read again");
        match source {
            Source::Trunk(walk) => walk.reload(new.clone()).await?,
            Source::Folder(local) => local.reload(new.clone()).await,
        }
        self.config = new.clone();
        self.config_out.send_replace(new);
        self.warn(warnings);
        Ok(true)
    }

    fn warn(&self, warnings: Vec<String>) {
        self.out.picture.send_modify(|picture| {
            *picture = Rc::new(Picture {
                warnings,
                ..Picture::clone(picture)
            });
        });
    }

    fn watch_source(&self, source: &Source) -> Vec<Files> {
        let nudge = |by: &'static str| {
            let wake = self.wake.clone();
            move || {
                wake.nudge(by);
            }
        };
        match source {
            Source::Trunk(_) => {
                let urls = self
                    .config
                    .settings
                    .repository
                    .iter()
                    .flat_map(|repository| &repository.urls);
                urls.filter_map(|url| files::watch_repository(url, nudge("repository")))
                    .collect()
            }
            Source::Folder(local) => files::watch(
                &[(local.dir().into(), notify::RecursiveMode::Recursive)],
                |_| true,
                nudge("folder"),
            )
            .into_iter()
            .collect(),
        }
    }
}

impl Rest {
    fn heed(&mut self, nudges: &Nudges) {
        if nudges.promised != self.promised {
            self.promised = nudges.promised;
            self.rhythm.pace.promised(self.rhythm.now());
        }
    }

    fn looked(&mut self, outcome: Outcome) {
        self.rhythm.looked(outcome);
        if outcome == Outcome::Moved {
            self.quiet = Some(Quiet::after_move(self.quiet, Instant::now()));
        }
    }

    fn take_back(&mut self, back: Back) -> Option<Seen> {
        self.rhythm = back.errand.rhythm.clone();
        self.source.take_back(back)
    }
}

async fn returns(lookout: &mut Option<Lookout>) -> Result<(), JoinError> {
    match lookout {
        Some(lookout) => lookout.returns().await,
        None => std::future::pending().await,
    }
}

async fn joined(joining: &mut Option<JoinHandle<Joining>>) -> Result<Joining, JoinError> {
    match joining {
        Some(joining) => joining.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_move_puts_tidying_off_but_not_for_ever() {
        let start = Instant::now();
        let mut now = start;
        let mut quiet = Quiet::after_move(None, now);
        while quiet.at > now + Duration::from_secs(4) {
            now += Duration::from_secs(4);
            quiet = Quiet::after_move(Some(quiet), now);
            assert!(quiet.at <= now + QUIET && quiet.at >= now);
        }
        assert_eq!(quiet.at, start + AT_LATEST);
    }
}
