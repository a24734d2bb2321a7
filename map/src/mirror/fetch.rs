//! From the remote to objects in the mirror's store: look where the branch is, have its history taken apart by the indexer.
//!
//! Touches the network (through `swarm_wire`), starts the indexer as a process of its own, adopts what it made. A fetch that
//! dies leaves a quarantine folder, which the next map removes; the store never holds half a pack.

use super::indexer::ROLE;
use crate::settings::Mirror as Settings;
use anyhow::Context as _;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use swarm_manifests::{
    id::Oid,
    problem::Refusal,
    rules::{remote::PACK, trunk::NO_BRANCH},
};
use swarm_repository::index;
use swarm_wire::{
    remote::{Bounds, Options},
    remotes::Remotes,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, Command},
};

/// What one fetch may cost.
const BOUNDS: Bounds = Bounds {
    bytes: 4 << 30,
    time: Duration::from_secs(3600),
    idle: Duration::from_secs(30),
};
/// How long the indexer may go on after the last byte has come.
const INDEX_TIME: Duration = Duration::from_secs(600);

/// The remote, and the folders that it fills.
pub struct Fetch {
    remotes: Remotes,
    branch: String,
    store: PathBuf,
    quarantine: PathBuf,
}

impl Fetch {
    /// Checks the urls, and makes an empty quarantine.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let quarantine = settings.folder.join("quarantine");
        index::clear(&quarantine)
            .with_context(|| format!("cannot clear {}", quarantine.display()))?;
        let options = Options {
            run_dir: Some(settings.folder.clone()),
            ..settings.options.clone()
        };
        Ok(Self {
            remotes: Remotes::new(&settings.urls, &options)?,
            branch: settings.branch.clone(),
            store: settings.folder.join("mirror"),
            quarantine,
        })
    }

    /// Where the objects lie.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// The url that is used now, for people.
    pub fn shown_url(&self) -> &str {
        self.remotes.current().shown_url()
    }

    /// Where the branch is.
    pub async fn look(&mut self) -> Result<Oid, Refusal> {
        let head = self.remotes.look(&self.branch).await?;
        head.ok_or_else(|| {
            Refusal::new(
                &NO_BRANCH,
                format!("{} has no branch {:?}", self.shown_url(), self.branch),
            )
            .hint("push the branch again, or correct [repository] branch")
        })
    }

    /// Fetches the history of `want` as far as `have` has not got it.
    pub async fn history(&mut self, want: Oid, have: &[Oid]) -> Result<u64, Refusal> {
        let mut indexer = Indexer::start(&self.quarantine)?;
        let sent = self
            .remotes
            .fetch(want, have, &mut indexer.input, &BOUNDS)
            .await;
        indexer.adopt(sent, &self.store).await
    }
}

/// An indexer under way. Dropping it kills the process and removes its folder.
struct Indexer {
    child: Child,
    input: ChildStdin,
    folder: tempfile::TempDir,
}

impl Indexer {
    /// Starts it before the first byte is asked for: it is ready when that comes.
    fn start(quarantine: &Path) -> Result<Self, Refusal> {
        let failed = |error: std::io::Error| {
            Refusal::new(&PACK, format!("cannot start the indexer: {error}"))
        };
        let folder = tempfile::Builder::new()
            .prefix("pack-")
            .tempdir_in(quarantine)
            .map_err(failed)?;
        let mut child = Command::new("/proc/self/exe")
            .env_clear()
            .env("SWARM_ROLE", ROLE)
            .env("SWARM_QUARANTINE", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let input = child.stdin.take();
        let input = input.ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self {
            child,
            input,
            folder,
        })
    }

    /// Waits for it to end well, and takes its objects over.
    async fn adopt(mut self, sent: Result<u64, Refusal>, store: &Path) -> Result<u64, Refusal> {
        let _ = self.input.shutdown().await;
        drop(self.input);
        let mut complaint = Vec::new();
        let ended = tokio::time::timeout(INDEX_TIME, async {
            if let Some(stderr) = self.child.stderr.take() {
                let _ = stderr.take(4096).read_to_end(&mut complaint).await;
            }
            self.child.wait().await
        })
        .await;
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        let damaged = |what: String| Refusal::new(&PACK, what);
        // What the indexer says explains why the sending broke off, not the other way round.
        let bytes = match sent {
            Err(refusal) if complaint.is_empty() => return Err(refusal),
            Err(refusal) => return Err(damaged(format!("{complaint} ({})", refusal.reason))),
            Ok(bytes) => bytes,
        };
        match ended {
            Err(_) => Err(damaged(format!(
                "the indexer did not end within {INDEX_TIME:?}"
            ))),
            Ok(Err(error)) => Err(damaged(format!("the indexer: {error}"))),
            Ok(Ok(status)) if !status.success() => Err(damaged(format!(
                "the pack could not be taken apart: {complaint} ({status})"
            ))),
            Ok(Ok(_)) => index::adopt(self.folder.path(), store)
                .map(|_| bytes)
                .map_err(|error| damaged(format!("the objects could not be taken over: {error}"))),
        }
    }
}
