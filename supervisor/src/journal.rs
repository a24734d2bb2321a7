//! The box's own journal: events come in, hash-chained lines go to the disk. Touches files below one folder.
//!
//! Each line is an [`Event`] as JSON with `prev`, the hash of the record before, and at its end `hash`, the SHA-256 of the line's JSON
//! without it. A file that grew beyond [`ROTATE`] is followed by another one, named by its first record's number; the chain goes on
//! through all of them. [`KEEP`] files are kept.

mod read;

pub use read::{Broken, History, Verified, Verify};

use crate::time::Wall;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use swarm_manifests::report::Event;

/// A file that is longer gets a successor, in bytes.
pub const ROTATE: u64 = 8 << 20;
/// So many files are kept.
pub const KEEP: usize = 16;
/// `prev` of the very first record.
const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The journal, open for writing.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: File,
    length: u64,
    /// Of the next record.
    sequence: u64,
    prev: String,
    dirty: bool,
    /// A thread brings records to the disk.
    aside: Arc<AtomicBool>,
    rotate: u64,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the journal {path}: {source}")]
pub struct JournalError {
    path: PathBuf,
    source: io::Error,
}

impl Journal {
    /// Opens the journal below `folder`, or begins one. What a crash left half written at its end is cut off; how much, is the second value.
    pub fn open(folder: &Path) -> Result<(Self, u64), JournalError> {
        Self::open_with(folder, ROTATE)
    }

    pub(crate) fn open_with(folder: &Path, rotate: u64) -> Result<(Self, u64), JournalError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| JournalError { path, source }
        };
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let files = read::files(folder).map_err(failed(folder))?;
        let mut cut = 0;
        let (mut sequence, mut prev) = (1, FIRST.to_owned());
        for path in files.iter().rev() {
            let end = read::end(path).map_err(failed(path))?;
            if end.good < end.length {
                cut += end.length - end.good;
                let file = OpenOptions::new()
                    .write(true)
                    .open(path)
                    .map_err(failed(path))?;
                file.set_len(end.good)
                    .and_then(|()| file.sync_all())
                    .map_err(failed(path))?;
            }
            if let Some((number, hash)) = end.last {
                (sequence, prev) = (number + 1, hash);
                break;
            }
        }
        let path = files
            .last()
            .cloned()
            .unwrap_or_else(|| read::path_of(folder, sequence));
        let file = open_append(&path).map_err(failed(&path))?;
        let length = file.metadata().map_err(failed(&path))?.len();
        Ok((
            Self {
                folder: folder.to_owned(),
                file,
                length,
                sequence,
                prev,
                dirty: false,
                aside: Arc::default(),
                rotate,
            },
            cut,
        ))
    }

    /// Writes one record; what comes back has its number and time. A record that does not fit on the disk leaves no half line.
    pub fn append(&mut self, event: Event, wall: Wall) -> Result<Event, JournalError> {
        let event = Event {
            sequence: self.sequence,
            time: wall.to_string(),
            ..event
        };
        let (line, hash) = seal(&event, &self.prev);
        self.write(line.as_bytes()).map_err(|source| JournalError {
            path: self.folder.clone(),
            source,
        })?;
        self.sequence += 1;
        self.prev = hash;
        Ok(event)
    }

    /// Whether there are records that a power cut may take.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether every record is on the disk.
    pub fn is_synced(&self) -> bool {
        !self.dirty && !self.aside.load(Ordering::Acquire)
    }

    /// Begins to bring everything written to the disk, and does not wait for it. False: the last time is not over yet.
    pub fn sync_aside(&mut self) -> io::Result<bool> {
        if !self.dirty {
            return Ok(true);
        }
        if self.aside.load(Ordering::Acquire) {
            return Ok(false);
        }
        let (file, aside) = (self.file.try_clone()?, Arc::clone(&self.aside));
        aside.store(true, Ordering::Release);
        let started = std::thread::Builder::new()
            .name("journal".into())
            .stack_size(64 << 10)
            .spawn(move || {
                if let Err(error) = file.sync_data() {
                    tracing::error!(%error, "the journal could not be brought to the disk");
                }
                aside.store(false, Ordering::Release);
            });
        if let Err(error) = started {
            self.aside.store(false, Ordering::Release);
            return Err(error);
        }
        self.dirty = false;
        Ok(true)
    }

    /// Returns when everything written is on the disk.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        if self.dirty || self.aside.load(Ordering::Acquire) {
            self.file.sync_data().map_err(|source| JournalError {
                path: self.folder.clone(),
                source,
            })?;
            self.dirty = false;
        }
        Ok(())
    }

    /// Number and hash of the newest record.
    pub fn head(&self) -> (u64, &str) {
        (self.sequence - 1, &self.prev)
    }

    /// Every record, newest first.
    pub fn history(&self) -> io::Result<History> {
        History::new(&self.folder)
    }

    /// Checks the chain, a file at each step.
    pub fn verify(&self) -> io::Result<Verify> {
        Verify::new(&self.folder)
    }

    /// Whether something was done for the request of this id. Reads what is kept, the newest first.
    pub fn has_request(&self, id: &str) -> io::Result<bool> {
        // Inside of a text the quotes would have backslashes before them.
        let entry = format!("\"request\":{}", serde_json::to_string(id)?);
        for path in read::files(&self.folder)?.iter().rev() {
            if fs::read_to_string(path)?.contains(&entry) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.length >= self.rotate {
            self.file.sync_data()?;
            self.file = open_append(&read::path_of(&self.folder, self.sequence))?;
            self.length = 0;
            self.forget_oldest();
        }
        if let Err(error) = self.file.write_all(line) {
            // Half a line would break the chain for everything that follows.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += line.len() as u64;
        self.dirty = true;
        Ok(())
    }

    fn forget_oldest(&self) {
        let files = read::files(&self.folder).unwrap_or_default();
        for path in files.iter().take(files.len().saturating_sub(KEEP)) {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "an old journal file could not be removed");
            }
        }
    }
}

fn open_append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

#[derive(Serialize)]
struct Chained<'a> {
    #[serde(flatten)]
    event: &'a Event,
    prev: &'a str,
}

/// One line with its newline, and its hash.
fn seal(event: &Event, prev: &str) -> (String, String) {
    let mut line = serde_json::to_string(&Chained { event, prev }).expect("events serialize");
    let hash = hex::encode(Sha256::digest(line.as_bytes()));
    line.pop();
    line.push_str(read::HASH);
    line.push_str(&hash);
    line.push_str("\"}\n");
    (line, hash)
}

#[cfg(test)]
mod tests;
