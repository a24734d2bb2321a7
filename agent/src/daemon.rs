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
    keeper::{self, Keeper},
    link::link,
    metrics::{self, Timings},
    picture::{Contact, Picture},
    report::{self, Heard, MapState, Reporter},
    requests,
    settings::Config,
    trigger::{Wake, hooks},
    walk,
    walker::Walker,
};
use anyhow::Context;
use std::{path::Path, rc::Rc};
use swarm_manifests::report::Event;
use swarm_supervisor::os::{inherited, pages};
use tokio::{
    sync::{mpsc, watch},
    task::LocalSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// So many of anything may wait.
const WAITING: usize = 256;

/// Runs the agent until the supervisor goes away.
pub fn run(config: &Path) -> anyhow::Result<()> {
    crate::talk::begin();
    pages::keep_heap_small();
    let config = Config::load(config)?;
    let _lock = lock(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let socket = supervisor_socket()?;
    let ended = LocalSet::new().block_on(&runtime, serve(Rc::new(config), socket));
    // Packs that are being joined are not waited for: what is half done is cleared away by the next time.
    runtime.shutdown_background();
    ended
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

/// Where the supervisor's end is, by [`swarm_supervisor::protocol`].
const SOCKET: i32 = 3;

fn supervisor_socket() -> anyhow::Result<std::os::unix::net::UnixStream> {
    let socket = inherited::socket(SOCKET)
        .with_context(|| format!("descriptor {SOCKET} is not the supervisor's socket"))?;
    socket.set_nonblocking(true)?;
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
    let (heard, heard_in) = watch::channel(Heard::default());
    let (deaf, deaf_in) = watch::channel(None);
    let (timings, timings_in) = watch::channel(Timings::default());
    let (measure, measures) = mpsc::channel(1);
    let (called, called_in) = watch::channel(0);

    let (link, hearing, saying) = link(tokio::net::UnixStream::from_std(socket)?);
    let keeper_out = keeper::Outlets {
        wake: wake.clone(),
        orders,
        journaled,
        changed,
        timings: timings.clone(),
    };
    let requests = requests::Outlets {
        supervisor: link.say.clone(),
        events: events.clone(),
    };
    let keeper = Keeper::new(config_in.clone(), map_in.clone(), link.say, keeper_out);

    // trigger ─► walk
    let out = walk::Outlets {
        picture,
        contact,
        events,
        timings,
    };
    let _configuration = hooks::watch_configuration(&config, &reloads);
    let walker = Walker {
        config,
        config_out,
        orders: orders_in,
        reloads: reloads_in.clone(),
        wake: wake.clone(),
        followed: keeper.followed(),
        heard: heard_in,
        needed: None,
        out,
    };
    spawn(&tasks, &stop, "walk", walker.run());
    let config = config_in.clone();
    let hooks = hooks::serve(config, reloads_in, wake.clone(), deaf, stop.clone());
    spawn(&tasks, &stop, "webhook", hooks);
    let figures = metrics::Inlets::new(measure, timings_in, contact_in.clone());
    let figures = metrics::serve(config_in.clone(), figures, stop.clone());
    spawn(&tasks, &stop, "metrics", figures);

    // supervisor ─► report
    let inlets = report::Inlets {
        config: config_in.clone(),
        changed: changed_in,
        journaled: journaled_in,
        asks,
        picture: picture_in.clone(),
        contact: contact_in.clone(),
        called: called_in,
    };
    let out = report::Outlets {
        state: map,
        sessions,
        heard,
        wake: wake.clone(),
        requests,
    };
    spawn(&tasks, &stop, "report", Reporter::new(inlets, out)?.run());
    spawn(&tasks, &stop, "nudges", async move {
        report::watch_map(config_in, map_in, sessions_in, wake, called).await;
        Ok(())
    });
    // walk ─► plan ─► supervisor
    spawn(&tasks, &stop, "saying", saying);
    spawn(&tasks, &stop, "hearing", hearing);
    let inlets = keeper::Inlets {
        picture: picture_in,
        contact: contact_in,
        deaf: deaf_in,
        events: events_in,
        asks: asks_in,
        measures,
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
            // First: who only misses the others at the end has nothing to say.
            biased;
            () = stop.cancelled() => {}
            ended = work => {
                if let Err(error) = ended {
                    tracing::error!(part, error = format!("{error:#}"), "the agent ends");
                    stop.cancel();
                }
            }
        }
    });
}
