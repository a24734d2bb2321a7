//! A git remote: look where the branch is, fetch what is missing.

use std::{path::PathBuf, time::Duration};
use swarm_manifests::{id::Oid, problem::Refusal};
use tokio::io::AsyncWrite;

/// How remotes are reached.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Options {
    pub credentials_file: Option<PathBuf>,
    pub known_hosts: Option<PathBuf>,
    pub identity_file: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    /// Where an ssh ControlMaster's socket and the like may lie.
    pub run_dir: Option<PathBuf>,
}

/// Bounds of one fetch.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Bounds {
    pub bytes: u64,
    pub time: Duration,
    /// The longest pause between two bytes.
    pub idle: Duration,
}

/// One url, with its kept connection where there is one.
pub struct Remote {
    // The helper who fills this in adds what is needed.
    url: String,
}

impl Remote {
    /// Checks the url (`ssh://`, `https://`, `http://`, `file://`, an absolute path; nothing that begins with a dash, no newline). Connects at the first use.
    pub fn new(url: &str, options: &Options) -> Result<Self, Refusal> {
        let _ = (url, options);
        todo!()
    }

    /// The url without user and password, for people.
    pub fn shown_url(&self) -> &str {
        &self.url
    }

    /// Where the branch is: one `ls-refs` with exactly its prefix. None: the remote has no such branch.
    pub async fn look(&mut self, branch: &str) -> Result<Option<Oid>, Refusal> {
        let _ = branch;
        todo!()
    }

    /// Commits, trees and small blobs (64 KiB) of `want` that `have` has not, as a pack; the whole of it where the server offers no filter.
    /// Returns the number of pack bytes.
    pub async fn fetch(&mut self, want: Oid, have: &[Oid], pack: &mut (dyn AsyncWrite + Unpin + Send), bounds: &Bounds) -> Result<u64, Refusal> {
        let _ = (want, have, pack, bounds);
        todo!()
    }

    /// Exactly these blobs, as a pack.
    pub async fn fetch_blobs(&mut self, want: &[Oid], pack: &mut (dyn AsyncWrite + Unpin + Send), bounds: &Bounds) -> Result<u64, Refusal> {
        let _ = (want, pack, bounds);
        todo!()
    }
}
