//! The journal read again: its history, its chain, its end after a crash. Touches files, read only.

use super::FIRST;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};
use swarm_manifests::{
    report::Event,
    seal::{self, Seal},
};

/// What stands before the hash of a record.
pub(super) const HASH: &str = ",\"hash\":\"";
/// How far back from its end a file is searched for its last whole record, in bytes.
const TAIL: u64 = 1 << 20;

/// The journal's files, oldest first.
pub(super) fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort();
    Ok(files)
}

/// The file that begins with this record.
pub(super) fn path_of(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:020}.jsonl"))
}

/// How a file ends.
pub(super) struct End {
    pub length: u64,
    /// Up to here there are whole records.
    pub good: u64,
    /// Number and hash of the last one.
    pub last: Option<(u64, String)>,
}

/// Finds the last whole record of a file.
pub(super) fn end(path: &Path) -> io::Result<End> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let mut end = tail
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    while end > 0 {
        let start = tail[..end - 1]
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        let record = std::str::from_utf8(&tail[start..end - 1])
            .ok()
            .and_then(parse);
        if let Some(record) = record.filter(|record| record.claimed == record.hash) {
            return Ok(End {
                length,
                good: from + end as u64,
                last: Some((record.event.sequence, record.hash)),
            });
        }
        end = start;
    }
    Ok(End {
        length,
        good: from,
        last: None,
    })
}

struct Record {
    event: Event,
    prev: String,
    /// What the line says.
    claimed: String,
    /// What it is.
    hash: String,
}

fn parse(line: &str) -> Option<Record> {
    #[derive(serde::Deserialize)]
    struct Line {
        #[serde(flatten)]
        event: Event,
        prev: String,
    }
    let at = line.rfind(HASH)?;
    let claimed = line[at + HASH.len()..].strip_suffix("\"}")?.to_owned();
    let body = format!("{}}}", &line[..at]);
    let Line { event, prev } = serde_json::from_str(&body).ok()?;
    Some(Record {
        event,
        prev,
        claimed,
        hash: hex::encode(Sha256::digest(body.as_bytes())),
    })
}

/// Every record, newest first; a file is in memory at a time. Lines that cannot be read are left out here: `verify` finds them.
#[derive(Debug)]
pub struct History {
    files: Vec<PathBuf>,
    text: String,
}

impl History {
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            files: files(folder)?,
            text: String::new(),
        })
    }
}

impl Iterator for History {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            while self.text.is_empty() {
                self.text = fs::read_to_string(self.files.pop()?).unwrap_or_default();
            }
            let start = self
                .text
                .trim_end_matches('\n')
                .rfind('\n')
                .map_or(0, |at| at + 1);
            let line = self.text.split_off(start);
            if let Some(record) = parse(line.trim_end_matches('\n')) {
                return Some(record.event);
            }
        }
    }
}

/// What a whole chain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Records looked at.
    pub records: u64,
    /// Number of the first one that is kept.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
    /// The newest record that is sealed, and the fingerprint of the key that sealed it.
    pub sealed: Option<(u64, String)>,
}

/// Where the chain breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}: {what}")]
pub struct Broken {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// In words.
    pub what: String,
}

/// The check of the chain, a file at each step, so that nobody waits for all of it.
#[derive(Debug)]
pub struct Verify {
    files: std::vec::IntoIter<PathBuf>,
    prev: Option<String>,
    so_far: Verified,
    /// Hash and key of each sealed record, by its number.
    seals: BTreeMap<u64, (String, String)>,
    /// The first record that names each key of the box.
    named: BTreeMap<String, u64>,
}

impl Verify {
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            files: files(folder)?.into_iter(),
            prev: None,
            so_far: Verified {
                records: 0,
                first: 0,
                last: 0,
                sealed: None,
            },
            seals: BTreeMap::new(),
            named: BTreeMap::new(),
        })
    }

    /// The same, held against these seals of a box; one that is not genuine breaks the check.
    pub fn with_seals(mut self, box_name: &str, seals: &[Seal]) -> Result<Self, Broken> {
        for (at, seal) in seals.iter().enumerate() {
            let key = seal.check(box_name).map_err(|error| Broken {
                file: seal::FILE.into(),
                line: at + 1,
                what: format!(
                    "the seal of record {} is not genuine: {error}",
                    seal.sequence
                ),
            })?;
            let sealed = (seal.hash.clone(), key);
            let before = self.seals.insert(seal.sequence, sealed);
            if before.is_some_and(|(hash, _)| hash != seal.hash) {
                return Err(Broken {
                    file: seal::FILE.into(),
                    line: at + 1,
                    what: format!("record {} was sealed twice, as two", seal.sequence),
                });
            }
        }
        Ok(self)
    }

    /// Checks one more file; some when all are checked.
    pub fn step(&mut self) -> Result<Option<Verified>, Broken> {
        let Some(path) = self.files.next() else {
            return self.end().map(Some);
        };
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).map_err(|error| Broken {
            file: file.clone(),
            line: 0,
            what: error.to_string(),
        })?;
        for (at, line) in text.lines().enumerate() {
            self.check(line).map_err(|what| Broken {
                file: file.clone(),
                line: at + 1,
                what,
            })?;
        }
        Ok(None)
    }

    /// Nothing that was sealed is missing at the end.
    fn end(&self) -> Result<Verified, Broken> {
        let newest = self.seals.last_key_value();
        match newest {
            Some((sequence, (_, key))) if *sequence > self.so_far.last => Err(Broken {
                file: seal::FILE.into(),
                line: self.seals.len(),
                what: format!(
                    "record {sequence} was sealed by {key}, and the journal ends with record {}",
                    self.so_far.last
                ),
            }),
            _ => self.handed_over().map(|()| self.so_far.clone()),
        }
    }

    /// Where another key seals than before, the one before sealed a record that names it.
    fn handed_over(&self) -> Result<(), Broken> {
        let pairs = self.seals.iter().zip(self.seals.iter().skip(1));
        for (at, ((sealed, (_, before)), (record, (_, key)))) in pairs.enumerate() {
            let is_named = self.named.get(key).is_some_and(|named| named <= sealed);
            // What came before the first record that is kept cannot be seen.
            if before != key && !is_named && *sealed >= self.so_far.first {
                return Err(Broken {
                    file: seal::FILE.into(),
                    line: at + 2,
                    what: format!(
                        "record {record} was sealed by {key}, which {before}, whose last seal is of record {sealed}, never named: compare with the map's audit"
                    ),
                });
            }
        }
        Ok(())
    }

    /// All of it at once.
    pub fn run(mut self) -> Result<Verified, Broken> {
        loop {
            if let Some(verified) = self.step()? {
                return Ok(verified);
            }
        }
    }

    fn check(&mut self, line: &str) -> Result<(), String> {
        let record = parse(line).ok_or("this is no record")?;
        if record.claimed != record.hash {
            return Err(format!(
                "record {} was changed: its hash does not fit",
                record.event.sequence
            ));
        }
        let sequence = record.event.sequence;
        if let Some(prev) = &self.prev {
            if *prev != record.prev || sequence != self.so_far.last + 1 {
                return Err(format!(
                    "record {sequence} does not follow record {}",
                    self.so_far.last
                ));
            }
        } else if sequence == 1 && record.prev != FIRST {
            return Err("the first record does not begin the chain".into());
        } else {
            self.so_far.first = sequence;
        }
        if let Some((hash, key)) = self.seals.get(&sequence) {
            if *hash != record.hash {
                return Err(format!(
                    "record {sequence} is not the one that {key} sealed"
                ));
            }
            self.so_far.sealed = Some((sequence, key.clone()));
        }
        if let ("key", Some(key)) = (record.event.action.as_str(), record.event.key) {
            self.named.entry(key).or_insert(sequence);
        }
        self.so_far.records += 1;
        self.so_far.last = sequence;
        self.prev = Some(record.hash);
        Ok(())
    }
}
