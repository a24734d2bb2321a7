//! The indexer under way: a process that takes one pack apart. In: where quarantine is, and who starts it. Out: a folder with what it
//! made of the pack, for whoever takes objects over.
//!
//! Starts this program again and talks to it through its stdin; or connects to whoever starts it as another user, and talks over that
//! connection. What it wrote is believed by nobody before it was taken over.

use std::{
    fs::Permissions,
    io::{self, Write as _},
    os::unix::{fs::PermissionsExt as _, net},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use swarm_manifests::{
    indexer::{FOLDER, PREFIX, ROLE, read_ending},
    problem::Refusal,
    rules::remote::PACK,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{UnixStream, unix::OwnedReadHalf},
    process::{Child, Command},
};

/// How long it may go on after the last byte has come.
const TIME: Duration = Duration::from_secs(600);
/// So much of what it says is read.
const WORDS: u64 = 4096;

/// Where packs lie first, and who takes them apart.
#[derive(Debug, Clone)]
pub struct Quarantine {
    /// An empty folder.
    pub folder: PathBuf,
    /// The socket of whoever starts indexers as a user of their own; both may write in the folder then. None: we start them.
    pub starter: Option<PathBuf>,
}

/// An indexer that waits for its pack. Dropping it kills the process, or has it end, and removes its folder.
pub(crate) struct Indexer {
    process: Process,
    /// Where the pack goes.
    pub(crate) input: Box<dyn AsyncWrite + Send + Unpin>,
    folder: TempDir,
}

enum Process {
    Ours(Child),
    /// What it says comes this way.
    Elsewhere(OwnedReadHalf),
}

/// What an indexer made of one pack. The folder goes when this is dropped.
#[must_use = "the objects are lost unless they are taken over"]
pub struct Indexed {
    folder: TempDir,
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
    pub(crate) fn start(quarantine: &Quarantine) -> Result<Self, Refusal> {
        let started = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&quarantine.folder)
            .and_then(|folder| match &quarantine.starter {
                Some(starter) => Self::elsewhere(folder, starter),
                None => Self::ours(folder),
            });
        started.map_err(|error| Refusal::new(&PACK, format!("cannot start the indexer: {error}")))
    }

    fn ours(folder: TempDir) -> io::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .env_clear()
            .env("SWARM_ROLE", ROLE)
            .env(FOLDER, folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self {
            process: Process::Ours(child),
            input: Box::new(input),
            folder,
        })
    }

    fn elsewhere(folder: TempDir, starter: &Path) -> io::Result<Self> {
        // Quarantine's group is the indexer's, and so is this folder's.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o2770))?;
        let mut connection = net::UnixStream::connect(starter)?;
        let name = folder.path().file_name().unwrap_or_default();
        connection.write_all(&[name.as_encoded_bytes(), b"\n"].concat())?;
        connection.set_nonblocking(true)?;
        let (words, input) = UnixStream::from_std(connection)?.into_split();
        Ok(Self {
            process: Process::Elsewhere(words),
            input: Box::new(input),
            folder,
        })
    }

    /// Waits for it to end well. `sent` is what came of sending it the pack.
    pub(crate) async fn end(self, sent: Result<u64, Refusal>) -> Result<Indexed, Refusal> {
        let Self {
            process,
            mut input,
            folder,
        } = self;
        let _ = input.shutdown().await;
        drop(input);
        let damaged = |what: String| Err(Refusal::new(&PACK, what));
        let Ok(said) = tokio::time::timeout(TIME, process.end()).await else {
            return damaged(format!("the indexer did not end within {TIME:?}"));
        };
        let (complaint, ended) = match said {
            Ok(said) => said,
            Err(error) => return damaged(format!("the indexer: {error}")),
        };
        match (sent, ended) {
            (Ok(bytes), Ok(())) => Ok(Indexed { folder, bytes }),
            (Ok(_), Err(ended)) => damaged(format!(
                "the pack could not be taken apart: {complaint} ({ended})"
            )),
            // What the indexer says explains why the sending broke off, not the other way round.
            (Err(refusal), _) if !complaint.is_empty() => {
                damaged(format!("{complaint} ({})", refusal.reason))
            }
            (Err(refusal), Err(ended)) => {
                damaged(format!("the indexer: {ended} ({})", refusal.reason))
            }
            (Err(refusal), Ok(())) => Err(refusal),
        }
    }
}

impl Process {
    /// What it complains of, and how it ended.
    async fn end(self) -> io::Result<(String, Result<(), String>)> {
        let mut said = Vec::new();
        match self {
            Self::Ours(mut child) => {
                if let Some(stderr) = child.stderr.take() {
                    let _ = stderr.take(WORDS).read_to_end(&mut said).await;
                }
                let status = child.wait().await?;
                let complaint = String::from_utf8_lossy(&said).trim().to_owned();
                let ended = status.success().then_some(()).ok_or(status.to_string());
                Ok((complaint, ended))
            }
            Self::Elsewhere(words) => {
                // Where it went before it had read the pack, the connection breaks off behind its last word.
                let read = words.take(WORDS).read_to_end(&mut said).await;
                if said.is_empty() {
                    read?;
                }
                Ok(read_ending(&said))
            }
        }
    }
}
