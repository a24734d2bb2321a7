//! The audit: rows that are chained by hashes, so that nobody changes, removes or reorders one unnoticed.
//! Touches the database it is given.
//!
//! A row's hash covers its number, the hash before it and its body; the columns that filters use are computed by `SQLite`
//! from that body, so there is nothing beside it that could lie. What a chain cannot show is that its end was cut off, or that it was
//! written anew from its first row: that shows its [`seal`](super::seal), or a head that was noted earlier (`audit verify --expect`).

use super::StoreError;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use swarm_manifests::{id::Digest, name::Name, report::Event};

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Counts from 1, without gaps.
    pub id: u64,
    /// The hash of this row, which covers all rows before it.
    pub hash: Digest,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What is kept of one thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// When the map took it, RFC 3339.
    pub received: String,
    /// Who says so: `box` or `map`.
    pub source: Source,
    /// The box it happened on, or that it is about.
    #[serde(rename = "box")]
    pub box_name: Name,
    /// The event itself.
    #[serde(flatten)]
    pub event: Event,
}

/// Who says that something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A box, of itself.
    Box,
    /// This map.
    Map,
}

/// Which rows are asked for.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Filter {
    pub box_name: Option<String>,
    pub workflow: Option<String>,
    pub action: Option<String>,
    pub by: Option<String>,
    /// Only rows older than this one.
    pub before: Option<u64>,
}

/// What a whole look at the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every row is as it was written.
    Whole {
        /// How many there are.
        count: u64,
        /// The hash of the newest.
        head: Digest,
    },
    /// Something was changed, removed or reordered.
    Broken {
        /// The first row that does not fit.
        id: u64,
        /// In words.
        what: String,
    },
}

impl Body {
    /// Something that the map itself did.
    pub fn of_map(
        now: Timestamp,
        box_name: &Name,
        action: &str,
        key: Option<String>,
        reason: String,
    ) -> Self {
        let event = Event {
            time: now.to_string(),
            key,
            reason: Some(reason),
            ..Event::new(action)
        };
        Self {
            received: now.to_string(),
            source: Source::Map,
            box_name: box_name.clone(),
            event,
        }
    }
}

fn chained(id: u64, prev: &[u8], body: &str) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"swarm-audit-v1\n");
    hash.update(id.to_be_bytes());
    hash.update(prev);
    hash.update(body);
    Digest(hash.finalize().into())
}

/// A box's event, known again when it is sent again. Its own number alone would not do: a box that lost its state counts anew.
fn fingerprint(body: &Body) -> Result<Option<[u8; 32]>, StoreError> {
    if body.source == Source::Map {
        return Ok(None);
    }
    let text = serde_json::to_vec(&(&body.box_name, &body.event))?;
    Ok(Some(Sha256::digest(text).into()))
}

/// Appends a row; none where this very event of this box is there already. Call it inside a transaction.
pub fn append(db: &Connection, body: Body) -> Result<Option<Entry>, StoreError> {
    let event = fingerprint(&body)?;
    if let Some(event) = event {
        let known = db
            .prepare_cached("SELECT 1 FROM audit WHERE event = ?1")?
            .exists([&event[..]])?;
        if known {
            return Ok(None);
        }
    }
    let (last, prev) = head(db)?;
    let id = last + 1;
    let text = serde_json::to_string(&body)?;
    let hash = chained(id, &prev.0, &text);
    db.prepare_cached(
        "INSERT INTO audit (id, prev, hash, event, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        id,
        &prev.0[..],
        &hash.0[..],
        event.as_ref().map(|e| &e[..]),
        text
    ])?;
    db.prepare_cached("UPDATE audit_head SET id = ?1, hash = ?2")?
        .execute(params![id, &hash.0[..]])?;
    Ok(Some(Entry { id, hash, body }))
}

/// The newest row's number (0: there is none yet) and hash.
pub(super) fn head(db: &Connection) -> Result<(u64, Digest), StoreError> {
    let (id, hash) = db
        .prepare_cached("SELECT id, hash FROM audit_head")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((id, digest(hash, id)?))
}

/// The hash of this row, where it is there.
pub fn hash_of(db: &Connection, id: u64) -> Result<Option<Digest>, StoreError> {
    let found = db
        .prepare_cached("SELECT hash FROM audit WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    found.map(|hash| digest(hash, id)).transpose()
}

/// Whether one of the rows has this hash.
pub fn has(db: &Connection, hash: Digest) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM audit WHERE hash = ?1")?
        .exists([&hash.0[..]])?)
}

pub(super) fn digest(hash: Vec<u8>, id: u64) -> Result<Digest, StoreError> {
    hash.try_into()
        .map(Digest)
        .map_err(|_| StoreError::Corrupt(format!("the hash of audit row {id}")))
}

/// Up to `limit` rows, newest first.
pub fn page(db: &Connection, filter: &Filter, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT id, hash, body FROM audit
         WHERE id < ?1 AND (?2 IS NULL OR box = ?2) AND (?3 IS NULL OR workflow = ?3)
           AND (?4 IS NULL OR action = ?4) AND (?5 IS NULL OR actor = ?5)
         ORDER BY id DESC LIMIT ?6",
    )?;
    let before = filter
        .before
        .and_then(|id| i64::try_from(id).ok())
        .unwrap_or(i64::MAX);
    let rows = query.query_map(
        params![
            before,
            filter.box_name,
            filter.workflow,
            filter.action,
            filter.by,
            limit
        ],
        |row| {
            Ok((
                row.get::<_, u64>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, String>(2)?,
            ))
        },
    )?;
    rows.map(|row| {
        let (id, hash, body) = row?;
        Ok(Entry {
            id,
            hash: digest(hash, id)?,
            body: serde_json::from_str(&body)?,
        })
    })
    .collect()
}

/// Looks at every row of the chain.
pub fn verify(db: &Connection) -> Result<Verdict, StoreError> {
    let mut query = db.prepare("SELECT id, prev, hash, body FROM audit ORDER BY id")?;
    let mut rows = query.query([])?;
    let mut last: (u64, Vec<u8>) = (0, vec![0; 32]);
    while let Some(row) = rows.next()? {
        let (id, prev, hash): (u64, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let body: String = row.get(3)?;
        let broken = |what: String| Ok(Verdict::Broken { id, what });
        if id != last.0 + 1 {
            return broken(format!(
                "row {} is not followed by row {} but by row {id}: rows were removed",
                last.0,
                last.0 + 1
            ));
        }
        if prev != last.1 {
            return broken(format!(
                "row {id} does not continue row {}: rows were removed, reordered or changed",
                last.0
            ));
        }
        if hash != chained(id, &prev, &body).0 {
            return broken(format!(
                "row {id} is not what was written: it was changed or moved"
            ));
        }
        last = (id, hash);
    }
    let noted = db
        .query_row("SELECT id, hash FROM audit_head", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if noted.as_ref() != Some(&last) {
        let what = format!(
            "the newest row is {}, but another was noted as newest: rows were removed or added at the end",
            last.0
        );
        return Ok(Verdict::Broken { id: last.0, what });
    }
    Ok(Verdict::Whole {
        count: last.0,
        head: digest(last.1, last.0)?,
    })
}
