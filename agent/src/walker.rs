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
        pace::{Outcome, Pace},
    },
    walk::{self, Walk},
};
use std::{rc::Rc, time::Duration};
use swarm_supervisor::os::pages;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// So long after something moved the pages that only the move needed are given back.
const QUIET: Duration = Duration::from_secs(5);

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
        let mut quiet = Some(start + QUIET);
        loop {
            let seen = *nudges.borrow_and_update();
            if seen.promised != promised {
                promised = seen.promised;
                pace.promised(start.elapsed());
            }
            let outcome = source.walk(seen).await;
            pace.looked(start.elapsed(), outcome);
            if outcome == Outcome::Moved {
                quiet = Some(Instant::now() + QUIET);
            }
            let poll = Instant::now() + pace.until_poll(chance::dice());
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(poll), if self.config.local.is_none() => break,
                    () = tokio::time::sleep_until(quiet.unwrap_or(poll)), if quiet.is_some() => {
                        quiet = None;
                        if let Err(error) = pages::give_back_text() {
                            tracing::debug!(%error, "the program's text stays resident");
                        }
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
            (Order::Collect(keep), Source::Trunk(walk)) => walk.tidy(&keep),
            (Order::Followed(position), Source::Trunk(walk)) => walk.followed(position),
            (Order::Distrust(_) | Order::Collect(_) | Order::Followed(_), Source::Folder(_)) => {}
        }
        Ok(false)
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
