//! What is trusted, on the disk: `trust.json`, small and replaced whole, and a ledger of who brought what, appended to.
//!
//! In: what is trusted. Out: the same after a restart, or `[trust]` again with the reason. Touches one folder of the agent's
//! own. A save is on the disk when it returns. What is missing, cut off or damaged is never believed (rule S-TRUNK-13):
//! both files carry checksums, each line of the ledger one over all lines before it.

use crate::trusted::{Brought, BroughtBundle, BroughtFile, Trusted};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};
use swarm_manifests::{
    id::{Digest, Oid},
    problem::Refusal,
    rules::trunk::STATE_LOST,
    settings::Trust,
};

const NAME: &str = "trust.json";
/// Format 1 did not know who brought approvals and secrets: then everything is judged again.
const FORMAT: u32 = 2;
/// The largest trust.json and ledger that are read.
const MAX_JSON: u64 = 1 << 20;
const MAX_LEDGER: u64 = 4 << 30;
/// A ledger is written anew when it has this many lines more than four for each that still counts.
const SLACK: u64 = 1000;

/// What was found in the folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded {
    /// What was saved last.
    Kept(Box<Trusted>),
    /// Nothing was ever saved here.
    New,
    /// It is about another `[trust]`, this one: a re-introduction.
    Reintroduced(Trust),
    /// Something was saved and cannot be believed: trust starts again at `[trust]`.
    Lost(Refusal),
}

/// trust.json without its checksum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: u32,
    trust: Trust,
    head: Oid,
    position: u64,
    ledger: Ledger,
}

/// How much of which ledger counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    /// The file is `ledger-<number>`.
    number: u64,
    bytes: u64,
    lines: u64,
    /// The last line's checksum.
    check: Digest,
}

/// One line of the ledger, borrowed when it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Record<M, B, F> {
    Manifest(M),
    NoManifest(String),
    Bundle(String, B),
    File(F),
    NoFile(String),
}

type Line<'a> = Record<&'a Brought, &'a BroughtBundle, &'a BroughtFile>;

/// Reads what was saved in the folder `dir` for this `[trust]`.
pub fn load(dir: &Path, trust: &Trust) -> Loaded {
    let lost = |what: &str| {
        let reason = format!(
            "{}: {what}; trust starts again at [trust]",
            dir.join(NAME).display()
        );
        Loaded::Lost(Refusal::new(&STATE_LOST, reason))
    };
    let head = match read_head(dir) {
        Ok(Some(head)) => head,
        Ok(None) if ledgers(dir).is_empty() => return Loaded::New,
        Ok(None) => return lost("it is missing"),
        Err(what) => return lost(&what),
    };
    if head.trust != *trust {
        return Loaded::Reintroduced(head.trust);
    }
    match replay(dir, &head) {
        Ok(trusted) => Loaded::Kept(Box::new(trusted)),
        Err(what) => lost(&what),
    }
}

/// Saves `new`; where `old` is what was saved last, by appending what is new. It is on the disk when this returns. Trust moves
/// forward only: an earlier position of the same trunk is an error.
pub fn save(dir: &Path, old: Option<&Trusted>, new: &Trusted) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let saved = read_head(dir).ok().flatten();
    let same = saved.as_ref().filter(|saved| saved.trust == trust_of(new));
    if same.is_some_and(|saved| saved.position > new.position) {
        return Err(io::Error::other(
            "trust moves forward only: a later position was saved already",
        ));
    }
    let known = same
        .zip(old)
        .filter(|(saved, old)| saved.head == old.head && saved.position == old.position);
    let appended = known.map(|(saved, old)| append(dir, &saved.ledger, &news(old, new)));
    let live = (new.manifests.len() + new.bundles.len() + new.files.len()) as u64;
    let ledger = match appended {
        Some(Ok(ledger)) if ledger.lines <= 4 * live + SLACK => ledger,
        // Too long, not what we left, or not ours: all of it anew, under a new number.
        _ => {
            let number = ledgers(dir)
                .into_iter()
                .max()
                .map_or(0, |number| number + 1);
            append(
                dir,
                &Ledger {
                    number,
                    bytes: 0,
                    lines: 0,
                    check: Digest([0; 32]),
                },
                &all(new),
            )?
        }
    };
    let number = ledger.number;
    write_head(
        dir,
        &Saved {
            format: FORMAT,
            trust: trust_of(new),
            head: new.head,
            position: new.position,
            ledger,
        },
    )?;
    for other in ledgers(dir).into_iter().filter(|other| *other != number) {
        // A leftover costs room, not trust.
        let _ = fs::remove_file(dir.join(format!("ledger-{other}")));
    }
    Ok(())
}

fn trust_of(trusted: &Trusted) -> Trust {
    Trust {
        introduction: trusted.introduction,
        policy: trusted.policy_sha256,
        position: trusted.start,
    }
}

/// None: there is no such file.
fn read_head(dir: &Path) -> Result<Option<Saved>, String> {
    let mut text = String::new();
    let file = match File::open(dir.join(NAME)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    file.take(MAX_JSON)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    let damaged = || "it is damaged".to_owned();
    let (check, json) = split_check(&text).ok_or_else(damaged)?;
    if Digest::of(json.as_bytes()) != check {
        return Err(damaged());
    }
    let head: Saved = serde_json::from_str(json).map_err(|_| damaged())?;
    if head.format == FORMAT {
        Ok(Some(head))
    } else {
        Err(format!("it has the format {}, not {FORMAT}", head.format))
    }
}

/// `{"trust":…,"check":"sha256:…"}`
fn split_check(text: &str) -> Option<(Digest, &str)> {
    let inner = text
        .trim_end()
        .strip_prefix("{\"trust\":")?
        .strip_suffix("\"}")?;
    let (json, check) = inner.rsplit_once(",\"check\":\"")?;
    Some((check.parse().ok()?, json))
}

fn write_head(dir: &Path, head: &Saved) -> io::Result<()> {
    let json = serde_json::to_string(head)?;
    let text = format!(
        "{{\"trust\":{json},\"check\":\"{}\"}}\n",
        Digest::of(json.as_bytes())
    );
    let temporary = dir.join(format!("{NAME}.tmp"));
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

/// The numbers of the ledgers in the folder.
fn ledgers(dir: &Path) -> Vec<u64> {
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
fn append(dir: &Path, ledger: &Ledger, records: &[Line<'_>]) -> io::Result<Ledger> {
    let path = dir.join(format!("ledger-{}", ledger.number));
    let mut file = File::options()
        .write(true)
        .create(ledger.bytes == 0)
        .truncate(false)
        .open(path)?;
    if file.metadata()?.len() < ledger.bytes {
        return Err(io::Error::other("the ledger was cut off"));
    }
    if records.is_empty() && ledger.bytes > 0 {
        return Ok(ledger.clone());
    }
    file.set_len(ledger.bytes)?;
    file.seek(SeekFrom::Start(ledger.bytes))?;
    let mut after = ledger.clone();
    let mut text = String::new();
    for record in records {
        let json = serde_json::to_string(record)?;
        after.check = chain(after.check, &json);
        text += &format!("{} {json}\n", after.check.hex());
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    after.bytes += text.len() as u64;
    after.lines += records.len() as u64;
    Ok(after)
}

/// The checksum of a line: over the one before it, and the line.
fn chain(before: Digest, json: &str) -> Digest {
    Digest::of(&[&before.0, json.as_bytes()].concat())
}

fn replay(dir: &Path, head: &Saved) -> Result<Trusted, String> {
    let name = format!("ledger-{}", head.ledger.number);
    let mut text = Vec::new();
    let limit = head.ledger.bytes.min(MAX_LEDGER);
    let file = File::open(dir.join(&name)).map_err(|error| format!("{name}: {error}"))?;
    file.take(limit)
        .read_to_end(&mut text)
        .map_err(|error| format!("{name}: {error}"))?;
    let damaged = || format!("{name} is cut off or damaged");
    let text = std::str::from_utf8(&text).map_err(|_| damaged())?;
    let (mut manifests, mut bundles) = (BTreeMap::new(), BTreeMap::new());
    let mut files = BTreeMap::new();
    let mut check = Digest([0; 32]);
    for line in text.lines() {
        let (claimed, json) = line.split_once(' ').ok_or_else(damaged)?;
        check = chain(check, json);
        if Digest::from_hex(claimed) != Ok(check) {
            return Err(damaged());
        }
        match serde_json::from_str(json).map_err(|_| damaged())? {
            Record::Manifest(brought) => {
                let brought: Brought = brought;
                manifests.insert(brought.path.as_str().into(), Arc::new(brought));
            }
            Record::NoManifest(path) => _ = manifests.remove(path.as_str()),
            Record::Bundle(key, bundle) => {
                let key: String = key;
                bundles.insert(key.into(), Arc::<BroughtBundle>::new(bundle));
            }
            Record::File(file) => {
                let file: BroughtFile = file;
                files.insert(file.brought.path.as_str().into(), Arc::new(file));
            }
            Record::NoFile(path) => _ = files.remove(path.as_str()),
        }
    }
    if text.len() as u64 != head.ledger.bytes || check != head.ledger.check {
        return Err(damaged());
    }
    Ok(Trusted {
        introduction: head.trust.introduction,
        policy_sha256: head.trust.policy,
        start: head.trust.position,
        head: head.head,
        position: head.position,
        manifests: Arc::new(manifests),
        bundles: Arc::new(bundles),
        files: Arc::new(files),
    })
}

/// What `new` has that `old` has not.
fn news<'a>(old: &Trusted, new: &'a Trusted) -> Vec<Line<'a>> {
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

type Shared<T> = BTreeMap<Arc<str>, Arc<T>>;

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

fn all(new: &Trusted) -> Vec<Line<'_>> {
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
