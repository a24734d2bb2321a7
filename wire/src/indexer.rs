//! The indexer under way: this program again, as a process that takes one pack apart. In: where quarantine is. Out: a folder with
//! what it made of the pack, for whoever takes objects over.
//!
//! Starts a process and talks to it through its stdin. What it wrote is believed by nobody before it was taken over.

use std::{path::Path, process::Stdio, time::Duration};
use swarm_manifests::{problem::Refusal, rules::remote::PACK};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, Command},
};

/// The value of `SWARM_ROLE` that makes a program the indexer.
pub const ROLE: &str = "indexer";
/// The variable that names its folder.
pub const FOLDER: &str = "SWARM_QUARANTINE";
/// How long it may go on after the last byte has come.
const TIME: Duration = Duration::from_secs(600);

/// An indexer that waits for its pack. Dropping it kills the process and removes its folder.
pub(crate) struct Indexer {
    child: Child,
    /// Where the pack goes.
    pub(crate) input: ChildStdin,
    folder: tempfile::TempDir,
}

/// What an indexer made of one pack. The folder goes when this is dropped.
#[must_use = "the objects are lost unless they are taken over"]
pub struct Indexed {
    folder: tempfile::TempDir,
    /// How long the pack was.
    pub bytes: u64,
}

impl Indexed {
    /// Where packs and indexes lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Indexer {
    /// Starts it before the first byte is asked for: it is ready when that comes.
    pub(crate) fn start(quarantine: &Path) -> Result<Self, Refusal> {
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
            .env(FOLDER, folder.path())
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

    /// Waits for it to end well. `sent` is what came of sending it the pack.
    pub(crate) async fn end(self, sent: Result<u64, Refusal>) -> Result<Indexed, Refusal> {
        let Self {
            mut child,
            mut input,
            folder,
        } = self;
        let _ = input.shutdown().await;
        drop(input);
        let mut complaint = Vec::new();
        let ended = tokio::time::timeout(TIME, async {
            if let Some(stderr) = child.stderr.take() {
                let _ = stderr.take(4096).read_to_end(&mut complaint).await;
            }
            child.wait().await
        })
        .await;
        let complaint = String::from_utf8_lossy(&complaint).trim().to_owned();
        let damaged = |what: String| Err(Refusal::new(&PACK, what));
        // What the indexer says explains why the sending broke off, not the other way round.
        let bytes = match sent {
            Err(refusal) if complaint.is_empty() => return Err(refusal),
            Err(refusal) => return damaged(format!("{complaint} ({})", refusal.reason)),
            Ok(bytes) => bytes,
        };
        match ended {
            Err(_) => damaged(format!("the indexer did not end within {TIME:?}")),
            Ok(Err(error)) => damaged(format!("the indexer: {error}")),
            Ok(Ok(status)) if !status.success() => damaged(format!(
                "the pack could not be taken apart: {complaint} ({status})"
            )),
            Ok(Ok(_)) => Ok(Indexed { folder, bytes }),
        }
    }
}
