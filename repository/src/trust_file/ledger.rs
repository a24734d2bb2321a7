//! The ledger: who brought what, a line each, appended to. In: what is new. Out: all of it again.
//!
//! Touches one file. Each line has a checksum over all lines before it.

use crate::trusted::{Brought, BroughtBundle, BroughtFile, Trusted};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};
use swarm_manifests::id::{Digest, Oid};

/// The largest ledger that is read.
const MAX: u64 = 4 << 30;

type Shared<T> = BTreeMap<Arc<str>, Arc<T>>;

/// All that the lines come to.
#[derive(Debug, Default)]
pub struct Lines {
    pub manifests: Shared<Brought>,
    pub bundles: Shared<BroughtBundle>,
    pub files: Shared<BroughtFile>,
}

/// How much of which ledger counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// The file is `ledger-<number>`.
    pub number: u64,
    pub bytes: u64,
    pub lines: u64,
    /// The last line's checksum.
    pub check: Digest,
}

/// One line of the ledger, borrowed when it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record<M, B, F> {
    Manifest(M),
    NoManifest(String),
    Bundle(String, B),
    File(F),
    NoFile(String),
    /// All before it belongs to this head.
    Head {
        commit: Oid,
        position: u64,
    },
}

/// One to be written.
pub type Line<'a> = Record<&'a Brought, &'a BroughtBundle, &'a BroughtFile>;

/// The numbers of the ledgers in the folder.
pub fn numbers(dir: &Path) -> Vec<u64> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_prefix("ledger-")?
                .parse()
                .ok()
        })
        .collect()
}

/// Cuts the ledger off behind what counts, and adds these records.
pub fn append(dir: &Path, ledger: &Ledger, records: &[Line<'_>]) -> io::Result<Ledger> {
    let path = dir.join(format!("ledger-{}", ledger.number));
    let mut file = File::options()
        .write(true)
        .create(ledger.bytes == 0)
        .truncate(false)
        .open(path)?;
    let length = file.metadata()?.len();
    if length < ledger.bytes {
        return Err(io::Error::other("the ledger was cut off"));
    }
    if records.is_empty() && ledger.bytes > 0 {
        return Ok(ledger.clone());
    }
    if length > ledger.bytes {
        file.set_len(ledger.bytes)?;
    }
    file.seek(SeekFrom::Start(ledger.bytes))?;
    let mut after = ledger.clone();
    let mut text = String::new();
    for record in records {
        let json = serde_json::to_string(record)?;
        after.check = chain(after.check, &json);
        text += &format!("{} {json}\n", after.check.hex());
    }
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    after.bytes += text.len() as u64;
    after.lines += records.len() as u64;
    Ok(after)
}

/// The checksum of a line: over the one before it, and the line.
fn chain(before: Digest, json: &str) -> Digest {
    Digest::of(&[&before.0, json.as_bytes()].concat())
}

/// The last head that stands in the ledger behind what counts so far, and what counts with it. A line that was being written when the
/// power went, and what is behind it, does not.
pub fn behind(dir: &Path, ledger: &Ledger) -> Option<(Ledger, Oid, u64)> {
    let mut text = Vec::new();
    let mut file = File::open(dir.join(format!("ledger-{}", ledger.number))).ok()?;
    file.seek(SeekFrom::Start(ledger.bytes)).ok()?;
    file.take(MAX).read_to_end(&mut text).ok()?;
    let mut found = None;
    let mut at = ledger.clone();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some((check, json)) = next_line(at.check, line) else {
            break;
        };
        at.check = check;
        at.bytes += line.len() as u64;
        at.lines += 1;
        if let Ok(Record::Head::<Brought, BroughtBundle, BroughtFile> { commit, position }) =
            serde_json::from_str(json)
        {
            found = Some((at.clone(), commit, position));
        }
    }
    found
}

/// A whole line of the ledger that fits what is before it: its checksum and its text.
fn next_line(before: Digest, line: &[u8]) -> Option<(Digest, &str)> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (claimed, json) = line.split_once(' ')?;
    let check = chain(before, json);
    (Digest::from_hex(claimed) == Ok(check)).then_some((check, json))
}

/// Reads all that counts.
pub fn replay(dir: &Path, ledger: &Ledger) -> Result<Lines, String> {
    let name = format!("ledger-{}", ledger.number);
    let mut text = Vec::new();
    let limit = ledger.bytes.min(MAX);
    let file = File::open(dir.join(&name)).map_err(|error| format!("{name}: {error}"))?;
    file.take(limit)
        .read_to_end(&mut text)
        .map_err(|error| format!("{name}: {error}"))?;
    let damaged = || format!("{name} is cut off or damaged");
    let mut lines = Lines::default();
    let mut check = Digest([0; 32]);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (next, json) = next_line(check, line).ok_or_else(damaged)?;
        check = next;
        match serde_json::from_str(json).map_err(|_| damaged())? {
            Record::Manifest(brought) => {
                let brought: Brought = brought;
                lines
                    .manifests
                    .insert(brought.path.as_str().into(), Arc::new(brought));
            }
            Record::NoManifest(path) => _ = lines.manifests.remove(path.as_str()),
            Record::Bundle(key, bundle) => {
                let key: String = key;
                lines
                    .bundles
                    .insert(key.into(), Arc::<BroughtBundle>::new(bundle));
            }
            Record::File(file) => {
                let file: BroughtFile = file;
                let path = file.brought.path.as_str().into();
                lines.files.insert(path, Arc::new(file));
            }
            Record::NoFile(path) => _ = lines.files.remove(path.as_str()),
            Record::Head { .. } => {}
        }
    }
    if text.len() as u64 != ledger.bytes || check != ledger.check {
        return Err(damaged());
    }
    Ok(lines)
}

/// What `new` has that `old` has not.
pub fn news<'a>(old: &Trusted, new: &'a Trusted) -> Vec<Line<'a>> {
    let mut records = Vec::new();
    if !Arc::ptr_eq(&old.manifests, &new.manifests) {
        let gone = old
            .manifests
            .keys()
            .filter(|path| !new.manifests.contains_key(*path));
        records.extend(gone.map(|path| Record::NoManifest(path.to_string())));
        records.extend(
            newer(&old.manifests, &new.manifests).map(|(_, brought)| Record::Manifest(brought)),
        );
    }
    if !Arc::ptr_eq(&old.bundles, &new.bundles) {
        records.extend(
            newer(&old.bundles, &new.bundles)
                .map(|(key, bundle)| Record::Bundle(key.into(), bundle)),
        );
    }
    if !Arc::ptr_eq(&old.files, &new.files) {
        let gone = old
            .files
            .keys()
            .filter(|path| !new.files.contains_key(*path));
        records.extend(gone.map(|path| Record::NoFile(path.to_string())));
        records.extend(newer(&old.files, &new.files).map(|(_, file)| Record::File(file)));
    }
    records
}

fn newer<'a, T: PartialEq>(
    old: &Shared<T>,
    new: &'a Shared<T>,
) -> impl Iterator<Item = (&'a str, &'a T)> {
    let is_known = |key: &str, value: &Arc<T>| {
        old.get(key)
            .is_some_and(|known| Arc::ptr_eq(known, value) || known == value)
    };
    let news: Vec<_> = new
        .iter()
        .filter(|(key, value)| !is_known(key, value))
        .collect();
    news.into_iter().map(|(key, value)| (&**key, &**value))
}

pub fn all(new: &Trusted) -> Vec<Line<'_>> {
    let manifests = new
        .manifests
        .values()
        .map(|brought| Record::Manifest(&**brought));
    let bundles = new
        .bundles
        .iter()
        .map(|(key, bundle)| Record::Bundle(key.to_string(), &**bundle));
    let files = new.files.values().map(|file| Record::File(&**file));
    manifests.chain(bundles).chain(files).collect()
}
