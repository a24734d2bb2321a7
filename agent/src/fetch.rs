//! From the remote to objects in the mirror: look where the branch is, and have what is missing taken apart by the indexer.
//!
//! Touches the network (through `swarm_wire`), starts the indexer as a process of its own, adopts what it made. A fetch that dies
//! leaves a quarantine folder, which the next agent removes; the mirror never holds half a pack.

use crate::settings::Config;
use anyhow::Context;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use swarm_manifests::{
    id::Oid,
    problem::Refusal,
    rules::{remote as rules, trunk::NO_BRANCH},
};
use swarm_repository::index;
use swarm_wire::{
    remote::{Bounds, MOST_WANTS, Options},
    remotes::Remotes,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

/// What one fetch may cost.
const BOUNDS: Bounds = Bounds {
    bytes: 4 << 30,
    time: Duration::from_secs(3600),
    idle: Duration::from_secs(30),
};
/// How long the indexer may go on after the last byte has come.
const INDEX_TIME: Duration = Duration::from_secs(600);

/// After so many turns of the runtime a request that was made is on its way.
const TURNS: usize = 4;

/// The remote, and the mirror that it fills.
pub struct Fetch {
    remotes: Remotes,
    branch: String,
    mirror: PathBuf,
    quarantine: PathBuf,
    /// One that waits for the next pack.
    ready: Option<Indexer>,
}

impl Fetch {
    /// Checks urls and makes an empty quarantine. None: this box has no repository.
    pub fn new(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(repository) = &config.settings.repository else {
            return Ok(None);
        };
        let own = config.own();
        let quarantine = own.join("quarantine");
        index::clear(&quarantine)
            .with_context(|| format!("cannot clear {}", quarantine.display()))?;
        let options = Options {
            credentials_file: repository.credentials_file.clone(),
            known_hosts: repository.known_hosts.clone(),
            identity_file: repository.identity_file.clone(),
            ca: repository.ca.clone(),
            run_dir: Some(own.clone()),
        };
        let remotes = Remotes::new(&repository.urls, &options)?;
        Ok(Some(Self {
            remotes,
            branch: repository.branch.clone(),
            mirror: own.join("mirror"),
            quarantine,
            ready: None,
        }))
    }

    /// Where the mirror lies.
    pub fn mirror(&self) -> &Path {
        &self.mirror
    }

    /// The url that is used now, for people.
    pub fn shown_url(&self) -> &str {
        self.remotes.current().shown_url()
    }

    /// Where the branch is. Where something new is expected, an indexer starts while the server thinks.
    pub async fn look(&mut self, expects_news: bool) -> Result<Oid, Refusal> {
        let quarantine = &self.quarantine;
        let ready = self.ready.take();
        let prepare = async {
            if ready.is_some() || !expects_news {
                return ready;
            }
            // The request goes out first.
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            Indexer::start(quarantine).ok()
        };
        let (head, ready) = tokio::join!(self.remotes.look(&self.branch), prepare);
        self.ready = ready;
        let head = head?;
        head.ok_or_else(|| {
            Refusal::new(
                &NO_BRANCH,
                format!("{} has no branch {:?}", self.shown_url(), self.branch),
            )
            .hint("push the branch again, or correct [repository] branch; what runs goes on")
        })
    }

    /// Nothing more is expected: an indexer that waits is let go.
    pub fn rest(&mut self) {
        self.ready = None;
    }

    fn indexer(&mut self) -> Result<Indexer, Refusal> {
        match self.ready.take() {
            Some(ready) => Ok(ready),
            None => Indexer::start(&self.quarantine),
        }
    }

    /// Fetches the commits and trees of `want` that `have` has not. Returns the bytes received.
    pub async fn history(&mut self, want: Oid, have: &[Oid]) -> Result<u64, Refusal> {
        let mut indexer = self.indexer()?;
        let sent = self
            .remotes
            .fetch(want, have, &mut indexer.input, &BOUNDS)
            .await;
        indexer.adopt(sent, &self.mirror).await
    }

    /// Fetches these objects.
    pub async fn blobs(&mut self, want: &[Oid]) -> Result<u64, Refusal> {
        let mut bytes = 0;
        for some in want.chunks(MOST_WANTS) {
            let mut indexer = self.indexer()?;
            let sent = self
                .remotes
                .fetch_blobs(some, &mut indexer.input, &BOUNDS)
                .await;
            bytes += indexer.adopt(sent, &self.mirror).await?;
        }
        Ok(bytes)
    }
}

/// An indexer under way. Dropping it kills the process and removes its folder.
struct Indexer {
    child: Child,
    input: tokio::process::ChildStdin,
    folder: tempfile::TempDir,
}

impl Indexer {
    /// Starts it before the first byte is asked for: it is ready when that comes.
    fn start(quarantine: &Path) -> Result<Self, Refusal> {
        let failed = |error: std::io::Error| {
            Refusal::new(&rules::PACK, format!("cannot start the indexer: {error}"))
        };
        let folder = tempfile::Builder::new()
            .prefix("pack-")
            .tempdir_in(quarantine)
            .map_err(failed)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .env_clear()
            .env("SWARM_ROLE", "indexer")
            .env("SWARM_QUARANTINE", folder.path())
            .current_dir(folder.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let input = child
            .stdin
            .take()
            .ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self {
            child,
            input,
            folder,
        })
    }

    /// Waits for it to end well, and takes its objects over.
    async fn adopt(self, sent: Result<u64, Refusal>, mirror: &Path) -> Result<u64, Refusal> {
        let Self {
            mut child,
            mut input,
            folder,
        } = self;
        let damaged = |what: String| Refusal::new(&rules::PACK, what);
        let _ = input.shutdown().await;
        drop(input);
        let mut complaint = Vec::new();
        let ended = tokio::time::timeout(INDEX_TIME, async {
            if let Some(stderr) = child.stderr.take() {
                let _ = stderr.take(4096).read_to_end(&mut complaint).await;
            }
            child.wait().await
        });
        let ended = ended.await;
        let complaint = String::from_utf8_lossy(&complaint).trim().to_string();
        // What the indexer says explains why the sending broke off, not the other way round.
        let bytes = match sent {
            Err(refusal) if complaint.is_empty() => return Err(refusal),
            Err(refusal) => return Err(damaged(format!("{complaint} ({})", refusal.reason))),
            Ok(bytes) => bytes,
        };
        match ended {
            Err(_) => {
                return Err(damaged(format!(
                    "the indexer did not end within {INDEX_TIME:?}"
                )));
            }
            Ok(Err(error)) => return Err(damaged(format!("the indexer: {error}"))),
            Ok(Ok(status)) if !status.success() => {
                return Err(damaged(format!(
                    "the pack could not be taken apart: {complaint} ({status})"
                )));
            }
            Ok(Ok(_)) => {}
        }
        index::adopt(folder.path(), mirror)
            .map_err(|error| damaged(format!("the objects could not be taken over: {error}")))?;
        tracing::info!(bytes, "fetched");
        Ok(bytes)
    }
}
