//! What is trusted, on the disk: `trust.json`, small and replaced whole, and a ledger of who brought what, appended to.
//!
//! In: what is trusted. Out: the same after a restart, or `[trust]` again with the reason. Touches one folder of the agent's
//! own. What is saved is on the disk when that returns. What is missing, cut off or damaged is never believed (rule S-TRUNK-13):
//! both files carry checksums, each line of the ledger one over all lines before it.
//!
//! A step of the trunk is noted in the ledger alone, by one write and one sync: it stands before a start. `trust.json` follows
//! when there is time ([`settle`]); until then the heads that stand in the ledger behind what it counts are read as well.

mod ledger;

use crate::trusted::Trusted;
use ledger::{Ledger, Record};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Read, Write},
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
/// The largest trust.json that is read.
const MAX_JSON: u64 = 1 << 20;
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

/// Reads what was saved in the folder `dir` for this `[trust]`.
pub fn load(dir: &Path, trust: &Trust) -> Loaded {
    let lost = |what: &str| {
        let reason = format!(
            "{}: {what}; trust starts again at [trust]",
            dir.join(NAME).display()
        );
        Loaded::Lost(Refusal::new(&STATE_LOST, reason))
    };
    let head = match latest(dir) {
        Ok(Some(head)) => head,
        Ok(None) if ledger::numbers(dir).is_empty() => return Loaded::New,
        Ok(None) => return lost("it is missing"),
        Err(what) => return lost(&what),
    };
    if head.trust != *trust {
        return Loaded::Reintroduced(head.trust);
    }
    match ledger::replay(dir, &head.ledger) {
        Ok(lines) => Loaded::Kept(Box::new(Trusted {
            introduction: head.trust.introduction,
            policy_sha256: head.trust.policy,
            start: head.trust.position,
            head: head.head,
            position: head.position,
            manifests: Arc::new(lines.manifests),
            bundles: Arc::new(lines.bundles),
            files: Arc::new(lines.files),
        })),
        Err(what) => lost(&what),
    }
}

/// As [`save`], but where `old` is what was saved last `trust.json` stays behind for now.
pub fn note(dir: &Path, old: Option<&Trusted>, new: &Trusted) -> io::Result<()> {
    let saved = latest(dir).ok().flatten();
    let known = saved.zip(old).filter(|(saved, old)| {
        saved.trust == trust_of(new)
            && (saved.head, saved.position) == (old.head, old.position)
            && saved.position < new.position
    });
    if let Some((saved, old)) = known {
        let mut records = ledger::news(old, new);
        records.push(Record::Head {
            commit: new.head,
            position: new.position,
        });
        let is_short = saved.ledger.lines + records.len() as u64 <= longest(new);
        if is_short && ledger::append(dir, &saved.ledger, &records).is_ok() {
            return Ok(());
        }
    }
    save(dir, old, new)
}

/// Has `trust.json` say where the ledger's last head is. It is on the disk when this returns.
pub fn settle(dir: &Path) -> io::Result<()> {
    let saved = read_head(dir).ok().flatten();
    match latest(dir) {
        Ok(Some(latest)) if saved.as_ref() != Some(&latest) => write_head(dir, &latest),
        _ => Ok(()),
    }
}

/// How many lines a ledger may have.
fn longest(trusted: &Trusted) -> u64 {
    let live = trusted.manifests.len() + trusted.bundles.len() + trusted.files.len();
    4 * live as u64 + SLACK
}

/// Saves `new`; where `old` is what was saved last, by appending what is new. It is on the disk when this returns. Trust moves
/// forward only: an earlier position of the same trunk is an error.
pub fn save(dir: &Path, old: Option<&Trusted>, new: &Trusted) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let saved = latest(dir).ok().flatten();
    let same = saved.as_ref().filter(|saved| saved.trust == trust_of(new));
    if same.is_some_and(|saved| saved.position > new.position) {
        return Err(io::Error::other(
            "trust moves forward only: a later position was saved already",
        ));
    }
    let known = same
        .zip(old)
        .filter(|(saved, old)| saved.head == old.head && saved.position == old.position);
    let appended =
        known.map(|(saved, old)| ledger::append(dir, &saved.ledger, &ledger::news(old, new)));
    let ledger = match appended {
        Some(Ok(ledger)) if ledger.lines <= longest(new) => ledger,
        // Too long, not what we left, or not ours: all of it anew, under a new number.
        _ => {
            let number = ledger::numbers(dir)
                .into_iter()
                .max()
                .map_or(0, |number| number + 1);
            ledger::append(
                dir,
                &Ledger {
                    number,
                    bytes: 0,
                    lines: 0,
                    check: Digest([0; 32]),
                },
                &ledger::all(new),
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
    for other in ledger::numbers(dir)
        .into_iter()
        .filter(|other| *other != number)
    {
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

/// What counts now: `trust.json`, and the heads that stand in the ledger behind what it counts. A line that was being written when
/// the power went, and what is behind it, does not.
fn latest(dir: &Path) -> Result<Option<Saved>, String> {
    let Some(mut saved) = read_head(dir)? else {
        return Ok(None);
    };
    if let Some((ledger, head, position)) = ledger::behind(dir, &saved.ledger) {
        (saved.ledger, saved.head, saved.position) = (ledger, head, position);
    }
    Ok(Some(saved))
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
