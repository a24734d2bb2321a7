//! The agent: the one file that knows the order of the walk.
//!
//! ```text
//! trigger ──Wake──► walk (fetch ► index ► trunk ► resolve ► store) ──Picture──► keeper (plan) ──► supervisor
//!                                                                                  └──► report ──► map
//! ```
//!
//! One thread. The walk owns trust, mirror and store; the keeper owns what is known of the workflows; the reporter owns outbox and
//! session. They hand each other whole values through `watch` and bounded queues, and all of it ends when the supervisor's socket does.

use crate::{
    chance,
    keeper::{self, Keeper, Order},
    link::link,
    local::Local,
    picture::{Contact, Picture},
    report::{self, MapState, Reporter},
    settings::Config,
    trigger::{
        Nudges, Wake,
        files::{self, Files},
        pace::{Outcome, Pace},
        webhook,
    },
    walk::{self, Walk},
};
use anyhow::Context;
use std::{
    os::fd::{FromRawFd, OwnedFd},
    path::Path,
    rc::Rc,
    time::Duration,
};
use swarm_manifests::report::Event;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::LocalSet,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long `local` waits for more saves, and the agent for more changes of its configuration.
const SETTLE: Duration = Duration::from_millis(100);
/// So many of anything may wait.
const WAITING: usize = 256;

/// Runs the agent until the supervisor goes away.
pub fn run(config: &Path) -> anyhow::Result<()> {
    let config = Config::load(config)?;
    let _lock = lock(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let socket = supervisor_socket()?;
    let local = LocalSet::new();
    local.block_on(&runtime, serve(Rc::new(config), socket))
}

/// Two agents on one state folder would undo each other's work.
fn lock(config: &Config) -> anyhow::Result<std::fs::File> {
    let own = config.own();
    crate::trust::own_folder(&own).with_context(|| format!("cannot make {}", own.display()))?;
    let path = own.join("lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another agent works in {}", own.display()))?;
    Ok(file)
}

/// Descriptor 3 is the supervisor's, by [`swarm_supervisor::protocol`].
fn supervisor_socket() -> anyhow::Result<std::os::unix::net::UnixStream> {
    #[allow(unsafe_code, reason = "the one descriptor that is handed down")]
    // SAFETY: the supervisor opened it for us; nothing in this process has taken it before, and this is called once.
    let descriptor = unsafe { OwnedFd::from_raw_fd(3) };
    let socket = std::os::unix::net::UnixStream::from(descriptor);
    socket
        .set_nonblocking(true)
        .context("descriptor 3 is not the supervisor's socket")?;
    Ok(socket)
}

async fn serve(config: Rc<Config>, socket: std::os::unix::net::UnixStream) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let wake = Wake::default();
    let (config_out, config_in) = watch::channel(config.clone());
    let (picture, picture_in) = watch::channel(Rc::new(Picture::default()));
    let (contact, contact_in) = watch::channel(Contact::default());
    let (events, events_in) = mpsc::channel(WAITING);
    let (orders, orders_in) = mpsc::channel(WAITING);
    let (reloads, reloads_in) = watch::channel(0);
    let (asks, asks_in) = mpsc::channel(1);
    let (journaled, journaled_in) = mpsc::channel::<Event>(4 * WAITING);
    let (changed, changed_in) = watch::channel(0);
    let (map, map_in) = watch::channel(MapState::default());
    let (sessions, sessions_in) = watch::channel(None);

    let (link, hearing, saying) = link(tokio::net::UnixStream::from_std(socket)?);
    let keeper_out = keeper::Outlets {
        wake: wake.clone(),
        orders,
        journaled,
        changed,
    };
    let keeper = Keeper::new(config_in.clone(), map_in.clone(), link.say, keeper_out);

    // trigger ─► walk
    let out = walk::Outlets {
        picture,
        contact,
        events,
    };
    let walker = Walker {
        config: config.clone(),
        config_out,
        orders: orders_in,
        reloads: reloads_in.clone(),
        wake: wake.clone(),
        followed: keeper.followed(),
        out,
    };
    spawn(&tasks, &stop, "walk", walker.run());
    spawn(
        &tasks,
        &stop,
        "webhook",
        serve_hooks(config_in.clone(), reloads_in, wake.clone(), stop.clone()),
    );
    let _configuration = watch_configuration(&config, &reloads);
    // supervisor ─► report
    let inlets = report::Inlets {
        config: config_in.clone(),
        changed: changed_in,
        journaled: journaled_in,
        asks,
    };
    spawn(
        &tasks,
        &stop,
        "report",
        Reporter::new(inlets, map, sessions)?.run(),
    );
    spawn(&tasks, &stop, "nudges", async move {
        report::watch_map(config_in, map_in, sessions_in, wake).await;
        Ok(())
    });
    // walk ─► plan ─► supervisor
    spawn(&tasks, &stop, "saying", saying);
    spawn(&tasks, &stop, "hearing", hearing);
    let inlets = keeper::Inlets {
        picture: picture_in,
        contact: contact_in,
        events: events_in,
        asks: asks_in,
    };
    let ended = tokio::select! {
        ended = keeper.run(link.heard, inlets) => ended.map_err(Into::into),
        () = stop.cancelled() => Err(anyhow::anyhow!("a part of the agent ended")),
    };
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    ended
}

/// Each part ends with all the others: an agent that does half its work would not be noticed. The supervisor starts the next one.
fn spawn(
    tasks: &TaskTracker,
    stop: &CancellationToken,
    part: &'static str,
    work: impl Future<Output = anyhow::Result<()>> + 'static,
) {
    let stop = stop.clone();
    tasks.spawn_local(async move {
        tokio::select! {
            ended = work => {
                if let Err(error) = ended {
                    tracing::error!(part, error = format!("{error:#}"), "the agent ends");
                    stop.cancel();
                }
            }
            () = stop.cancelled() => {}
        }
    });
}

/// What turns nudges and time into walks.
struct Walker {
    config: Rc<Config>,
    config_out: watch::Sender<Rc<Config>>,
    orders: mpsc::Receiver<Order>,
    reloads: watch::Receiver<u64>,
    wake: Wake,
    followed: u64,
    out: walk::Outlets,
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
    async fn run(mut self) -> anyhow::Result<()> {
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
        loop {
            let seen = *nudges.borrow_and_update();
            if seen.promised != promised {
                promised = seen.promised;
                pace.promised(start.elapsed());
            }
            let outcome = source.walk(seen).await;
            pace.looked(start.elapsed(), outcome);
            let poll = Instant::now() + pace.until_poll(chance::dice());
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(poll), if self.config.local.is_none() => break,
                    changed = nudges.changed() => {
                        changed?;
                        let settle = if self.config.local.is_some() { SETTLE } else { pace.until_nudged(start.elapsed()) };
                        tokio::time::sleep(settle).await;
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

/// A level, as it comes from another thread.
fn watch_configuration(config: &Config, reloads: &watch::Sender<u64>) -> Vec<Files> {
    let secret = config
        .settings
        .webhook
        .as_ref()
        .and_then(|webhook| webhook.secret_file.clone());
    let changed = || {
        let reloads = reloads.clone();
        move || reloads.send_modify(|count| *count += 1)
    };
    [Some(config.file.clone()), secret]
        .into_iter()
        .flatten()
        .filter_map(|file| files::watch_file(&file, changed()))
        .collect()
}

/// The webhook's endpoint, as long as the configuration names one; it moves when that does, and takes new secrets as they come.
async fn serve_hooks(
    mut config: watch::Receiver<Rc<Config>>,
    mut reloads: watch::Receiver<u64>,
    wake: Wake,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let Some(hook) = config.borrow_and_update().settings.webhook.clone() else {
            config.changed().await?;
            continue;
        };
        let read = || {
            webhook::secrets(hook.secret_file.as_deref()).unwrap_or_else(|why| {
                tracing::warn!(why);
                webhook::Secrets::default()
            })
        };
        let (fresh, secrets) = watch::channel(read());
        let served = async {
            match TcpListener::bind(&hook.listen).await {
                Ok(listener) => webhook::serve(listener, secrets, wake.clone(), stop.clone()).await,
                Err(error) => {
                    tracing::error!(listen = hook.listen, %error, "webhooks cannot be taken; tried again in a minute");
                    tokio::time::sleep(Duration::from_secs(60)).await;
                }
            }
        };
        tokio::pin!(served);
        loop {
            tokio::select! {
                () = &mut served => break,
                changed = config.changed() => {
                    changed?;
                    if config.borrow().settings.webhook.as_ref() != Some(&hook) {
                        break;
                    }
                }
                changed = reloads.changed() => {
                    changed?;
                    tokio::time::sleep(SETTLE).await;
                    fresh.send_replace(read());
                }
            }
        }
    }
}
