//! What turns nudges, time and orders into walks: of the trunk, or with `local` of a folder.
//!
//! Owns the one source that everything comes from; touches what that touches, and the configuration when it changes.

use crate::{
    chance,
    keeper::Order,
    local::Local,
    picture::Picture,
    settings::Config,
    trigger::{
        Nudges, SETTLE, Wake,
        files::{self, Files},
    },
    walk::{self, Walk},
};
use std::{collections::BTreeSet, rc::Rc, time::Duration};
use swarm_manifests::id::Digest;
use swarm_supervisor::os::pages;
use swarm_wire::pace::{Outcome, Pace};
use tokio::{
    sync::{mpsc, watch},
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
    async fn walk(&mut self, nudges: Nudges) -> Outcome {
        match self {
            Self::Trunk(walk) => walk.walk(nudges).await,
            Self::Folder(local) => local.walk(nudges),
        }
    }
}

impl Walker {
    /// Walks for as long as it is not dropped.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut nudges = self.wake.watch();
        let mut source = match &self.config.local {
            Some(dir) => Source::Folder(Box::new(
                Local::begin(dir, self.config.clone(), self.out.clone()).await?,
            )),
            None => Source::Trunk(Box::new(
                Walk::begin(self.config.clone(), self.followed, self.out.clone()).await?,
            )),
        };
        let mut watched = self.watch_source(&source);
        let mut pace = Pace::new(self.poll());
        let mut promised = 0;
        let start = Instant::now();
        let mut quiet = Some(Quiet::after_move(None, start));
        loop {
            let seen = *nudges.borrow_and_update();
            if seen.promised != promised {
                promised = seen.promised;
                pace.promised(start.elapsed());
            }
            let outcome = source.walk(seen).await;
            pace.looked(start.elapsed(), outcome);
            if outcome == Outcome::Moved {
                quiet = Some(Quiet::after_move(quiet, Instant::now()));
            }
            let poll = Instant::now() + pace.until_poll(chance::dice());
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(poll), if self.config.local.is_none() => break,
                    () = tokio::time::sleep_until(quiet.map_or(poll, |quiet| quiet.at)), if quiet.is_some() => {
                        quiet = None;
                        self.tidy(&mut source);
                    }
                    changed = nudges.changed() => {
                        changed?;
                        let settle = if self.config.local.is_some() { SETTLE } else { pace.until_nudged(start.elapsed()) };
                        // The timer's smallest step is a millisecond, also for nothing.
                        if !settle.is_zero() {
                            tokio::time::sleep(settle).await;
                        }
                        break;
                    }
                    changed = self.reloads.changed() => {
                        changed?;
                        if self.reload(&mut source).await? {
                            watched = self.watch_source(&source);
                            pace.set_poll(self.poll());
                            break;
                        }
                    }
                    Some(order) = self.orders.recv() => {
                        if matches!(order, Order::Collect(_)) && quiet.is_none() {
                            quiet = Some(Quiet::after_move(None, Instant::now()));
                        }
                        if self.obey(order, &mut source).await? {
                            watched = self.watch_source(&source);
                            pace.set_poll(self.poll());
                            break;
                        }
                    }
                }
            }
            let _ = &watched;
        }
    }

    fn poll(&self) -> Duration {
        self.config
            .settings
            .repository
            .as_ref()
            .map_or(Duration::from_secs(60), |repository| repository.poll)
    }

    /// True: look at once, for the configuration has changed.
    async fn obey(&mut self, order: Order, source: &mut Source) -> anyhow::Result<bool> {
        match (order, source) {
            (Order::Reload, source) => return self.reload(source).await,
            (Order::Trial(answer), Source::Trunk(walk)) => drop(answer.send(walk.trial().await)),
            (Order::Trial(answer), Source::Folder(local)) => {
                drop(answer.send(Ok(Rc::new(local.picture()))));
            }
            (Order::Distrust(digest), Source::Trunk(walk)) => walk.distrust(digest),
            (Order::Collect(needed), Source::Trunk(_)) => self.needed = Some(needed),
            (Order::Followed(position), Source::Trunk(walk)) => walk.followed(position),
            (Order::Distrust(_) | Order::Collect(_) | Order::Followed(_), Source::Folder(_)) => {}
        }
        Ok(false)
    }

    /// Nothing has moved for a while: what nobody needs any more goes, and so do the pages that only the move needed.
    fn tidy(&mut self, source: &mut Source) {
        if let (Source::Trunk(walk), Some(needed)) = (source, self.needed.take()) {
            walk.tidy(needed);
        }
        if let Err(error) = pages::give_back_text() {
            tracing::debug!(%error, "the program's text stays resident");
        }
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
