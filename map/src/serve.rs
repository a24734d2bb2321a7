//! The map itself: the rooms are opened, joined, and closed again in order. Touches everything, decides nothing.

use crate::{
    app::{App, Rooms, Seats},
    feed::Feed,
    fleet::{Fleet, change::changes, fold, trunk::Known},
    http::{listen, routes, tls},
    mirror::Mirror,
    nudge::Nudges,
    session::Challenger,
    settings::Settings,
    store::{Store, reports::Reports},
};
use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use std::{io::IsTerminal as _, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often it is looked which tokens other processes made.
const TOKENS: Duration = Duration::from_secs(5);

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
    let heartbeat = SignedDuration::try_from(settings.heartbeat).context("heartbeat")?;
    let gap = heartbeat.checked_mul(5).context("heartbeat")?;
    let address = listener.local_addr().context("the listener's address")?;
    let epoch = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
    let feed = Feed::new(epoch);
    let (store, reports, thread) = Store::open(&settings.store, gap, feed.clone())
        .with_context(|| format!("the store {}", settings.store.display()))?;
    let acceptor = settings
        .tls
        .as_ref()
        .map(|(cert, key)| tls::acceptor(cert, key))
        .transpose()?;
    let nudges = Nudges::default();
    let tasks = TaskTracker::new();
    let mirror = settings
        .mirror
        .clone()
        .map(|wanted| Mirror::open(wanted, nudges.clone()))
        .transpose()
        .context("the mirror of the repository")?;
    let (mirror, trunk) = match mirror {
        Some((mirror, trunk)) => (Some(mirror.spawn(stop.clone())?), trunk),
        // A watch without a sender: it says nothing, once.
        None => (None, watch::channel(None).1),
    };
    let first = fold(
        &reports.borrow(),
        &trunk.borrow(),
        heartbeat,
        Timestamp::now(),
    );
    let (fleet, fleets) = watch::channel(Arc::new(first));
    let folding = Folding {
        reports,
        trunk,
        fleet,
        feed: feed.clone(),
        store: store.clone(),
        heartbeat,
    };
    tasks.spawn(folding.run(stop.clone()));
    let connections = settings
        .connections
        .min(open_files().saturating_sub(64))
        .max(1);
    let limits = listen::Limits {
        connections,
        head: settings.heartbeat * 2 + Duration::from_secs(15),
        handshake: settings.patience,
        farewell: Duration::from_secs(5),
    };
    tell(&settings, &address.to_string(), connections);
    let challenger =
        Challenger::new().map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let rooms = Rooms {
        settings,
        port: address.port(),
        store,
        fleet: fleets,
        feed,
        nudges,
        challenger,
        seats: Seats::default(),
        stop: stop.clone(),
    };
    let app = App::new(rooms);
    let served = listen::serve(
        listener,
        acceptor,
        routes::router(&app),
        limits,
        stop.clone(),
    )
    .await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    drop(app);
    join("mirror", mirror).await?;
    // The store's thread ends with the last handle on it: everything that was answered is written.
    join("store", Some(thread)).await?;
    tracing::info!("ended");
    served
}

/// Waits for a thread to end.
async fn join(name: &str, thread: Option<std::thread::JoinHandle<()>>) -> Result<()> {
    let Some(thread) = thread else { return Ok(()) };
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
    if !settings.public_read {
        tracing::warn!(
            "people's sessions are not built yet: without --public-read nobody can read, boxes can report"
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

/// The task that keeps the fleet: it folds again at each report, each move of the mirror, and each deadline.
struct Folding {
    reports: watch::Receiver<Arc<Reports>>,
    trunk: watch::Receiver<Known>,
    fleet: watch::Sender<Arc<Fleet>>,
    feed: Feed,
    store: Store,
    heartbeat: SignedDuration,
}

impl Folding {
    async fn run(mut self, stop: CancellationToken) {
        let mut tokens = tokio::time::interval(TOKENS);
        loop {
            let deadline = self.fleet.borrow().next_change;
            // A little late rather than a little early: at the deadline itself the state has changed.
            let wait = deadline.map_or(Duration::from_secs(3600), |at| {
                Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default()
                    + Duration::from_millis(5)
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                _ = tokens.tick() => {
                    if let Err(error) = self.store.ask(|ledger| ledger.refresh_pending(Timestamp::now())).await {
                        tracing::error!(%error, "the store failed");
                    }
                    continue;
                }
                changed = self.reports.changed() => if changed.is_err() { return },
                Ok(()) = self.trunk.changed() => {}
            }
            self.fold();
        }
    }

    fn fold(&self) {
        let new = fold(
            &self.reports.borrow(),
            &self.trunk.borrow(),
            self.heartbeat,
            Timestamp::now(),
        );
        let old = self.fleet.borrow().clone();
        let changes = changes(&old, &new);
        self.fleet.send_replace(Arc::new(new));
        for change in changes {
            self.feed.push(change);
        }
    }
}
