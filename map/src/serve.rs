//! The map itself: the rooms are opened, joined, and closed again in order. Touches everything, decides nothing.

mod folding;
mod sealing;

use crate::{
    app::{App, Rooms, Seats},
    challenge::Challenger,
    feed::Feed,
    fleet::fold,
    http::{listen, routes, tls},
    key,
    mirror::Mirror,
    nudge::Nudges,
    settings::Settings,
    store::Store,
};
use anyhow::{Context as _, Result};
use folding::Folding;
use jiff::{SignedDuration, Timestamp};
use sealing::Sealing;
use std::{io::IsTerminal as _, sync::Arc, thread::JoinHandle, time::Duration};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// So many open files are not for connections.
const OWN_FILES: usize = 64;

/// Is the map until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(&settings.listen)
            .await
            .with_context(|| format!("listening on {}", settings.listen))?;
        let stop = CancellationToken::new();
        let signalled = stop.clone();
        let (mut term, mut int) = {
            use tokio::signal::unix::{SignalKind, signal};
            (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
            )
        };
        let serving = serve(listener, settings, stop);
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended,
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        signalled.cancel();
        serving.await
    })
}

/// Serves on this listener until told to stop.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    stop: CancellationToken,
) -> Result<()> {
    let address = listener.local_addr().context("the listener's address")?;
    let acceptor = settings
        .tls
        .as_ref()
        .map(|(cert, key)| tls::acceptor(cert, key))
        .transpose()?;
    let limits = limits(&settings);
    tell(&settings, &address.to_string(), limits.connections);
    let House {
        app,
        tasks,
        sealing,
        threads,
    } = open(settings, address.port(), &stop)?;
    let router = routes::router(&app);
    let served = listen::serve(listener, acceptor, router, limits, stop.clone()).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    // What happened last is sealed too, now that nothing else comes.
    let sealed = sealing.seal().await;
    // The store's thread ends with the last handle on it: everything that was answered is written.
    drop((app, sealing));
    for (name, thread) in threads {
        join(name, thread).await?;
    }
    if let Err(error) = sealed {
        tracing::error!(%error, "the audit is not sealed; swarm-map audit verify says more");
    }
    tracing::info!("ended");
    served
}

/// Every room, open and joined to the others.
struct House {
    app: App,
    tasks: TaskTracker,
    sealing: Sealing,
    /// In the order in which they are waited for.
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

fn open(settings: Settings, port: u16, stop: &CancellationToken) -> Result<House> {
    let heartbeat = SignedDuration::try_from(settings.heartbeat).context("heartbeat")?;
    let gap = heartbeat.checked_mul(5).context("heartbeat")?;
    let epoch = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    let feed = Feed::new(epoch);
    let (store, reports, thread) = Store::open(&settings.store, gap, feed.clone())
        .with_context(|| format!("the store {}", settings.store.display()))?;
    let mut threads = vec![("store", thread)];
    let nudges = Nudges::default();
    let trunk = match settings.mirror.clone() {
        Some(wanted) => {
            let (mirror, trunk) =
                Mirror::open(wanted, nudges.clone()).context("the mirror of the repository")?;
            threads.insert(0, ("mirror", mirror.spawn(stop.clone())?));
            trunk
        }
        // A watch without a sender: it says nothing, once.
        None => watch::channel(None).1,
    };
    let now = Timestamp::now();
    let first = fold(&reports.borrow(), &trunk.borrow(), heartbeat, now);
    let (fleet, fleets) = watch::channel(Arc::new(first));
    let tasks = TaskTracker::new();
    let folding = Folding {
        reports,
        trunk,
        fleet,
        feed: feed.clone(),
        store: store.clone(),
        heartbeat,
    };
    tasks.spawn(folding.run(stop.clone()));
    let key = key::open(&key::beside(&settings.store))?;
    let sealing = Sealing::new(store.clone(), key, &settings.store);
    tasks.spawn(sealing.clone().run(stop.clone()));
    let challenger =
        Challenger::new().map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let app = App::new(Rooms {
        settings,
        port,
        store,
        fleet: fleets,
        feed,
        nudges,
        challenger,
        seats: Seats::default(),
        stop: stop.clone(),
    });
    Ok(House {
        app,
        tasks,
        sealing,
        threads,
    })
}

fn limits(settings: &Settings) -> listen::Limits {
    listen::Limits {
        connections: settings
            .connections
            .min(open_files().saturating_sub(OWN_FILES))
            .max(1),
        head: settings.heartbeat * 2 + Duration::from_secs(15),
        handshake: settings.patience,
        farewell: Duration::from_secs(5),
    }
}

/// Waits for a thread to end.
async fn join(name: &str, thread: JoinHandle<()>) -> Result<()> {
    tokio::task::spawn_blocking(move || thread.join())
        .await
        .with_context(|| format!("waiting for the {name}"))?
        .map_err(|_| anyhow::anyhow!("the {name} broke down"))
}

fn tell(settings: &Settings, address: &str, connections: usize) {
    let scheme = if settings.tls.is_some() {
        "https"
    } else {
        "http"
    };
    tracing::info!(page = format!("{scheme}://{address}/"), store = %settings.store.display(), public_read = settings.public_read, connections, "the map is there");
    if !settings.public_read && settings.mirror.is_none() {
        tracing::warn!(
            "without --repository this map knows no people, and without --public-read nobody can read; boxes can report"
        );
    }
}

/// The soft limit on open files; a cautious guess where it cannot be read.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    match line.and_then(|line| line.split_whitespace().next()) {
        Some("unlimited") => usize::MAX,
        Some(number) => number.parse().unwrap_or(1024),
        None => 1024,
    }
}
