//! Requests of people on their way to boxes, and what became of them on each. Touches the database it is given.
//!
//! The map cannot make one up: boxes verify what was signed. Here it only waits, until its boxes have answered or it expires.

use super::{StoreError, audit};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use serde::Serialize;
use std::collections::BTreeMap;
use swarm_manifests::{
    name::Name,
    policy::SignedBy,
    request::{Outcome, Request, Signed},
};

/// So many of one person's may wait at a time.
const MOST: i64 = 1000;
/// So many are handed to a box with one answer.
const AT_ONCE: i64 = 16;

/// What version 3 added.
pub const TABLES: &str = "
CREATE TABLE request (
    id TEXT PRIMARY KEY,
    statement TEXT NOT NULL,
    signature TEXT NOT NULL,
    person TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE request_box (
    request TEXT NOT NULL REFERENCES request (id) ON DELETE CASCADE,
    box TEXT NOT NULL,
    outcome TEXT,
    PRIMARY KEY (request, box)
) STRICT;
CREATE INDEX request_waiting ON request_box (box) WHERE outcome IS NULL;
PRAGMA user_version = 3;
";

/// What became of handing one in.
#[derive(Debug)]
pub enum Taken {
    /// It is on its way; its rows of the audit.
    Yes(Vec<audit::Entry>),
    /// One with this id is known already.
    Known,
    /// Too many of this person's wait.
    TooMany,
}

/// A request as who made it sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct View {
    pub id: String,
    pub statement: String,
    pub by: String,
    pub expires: String,
    /// Box by box; none where it has not answered.
    pub boxes: BTreeMap<String, Option<Outcome>>,
}

/// Takes a request that was verified; what has expired goes.
pub fn put(
    db: &mut Connection,
    (request, signed, by): (&Request, &Signed, &SignedBy),
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Foreign keys are not enforced unless a connection asks for it.
    tx.execute(
        "DELETE FROM request_box WHERE request IN (SELECT id FROM request WHERE expires <= ?1)",
        [now.as_millisecond()],
    )?;
    tx.execute(
        "DELETE FROM request WHERE expires <= ?1",
        [now.as_millisecond()],
    )?;
    let waiting: i64 = tx.query_row(
        "SELECT count(*) FROM request WHERE person = ?1",
        [by.name.as_str()],
        |row| row.get(0),
    )?;
    if waiting >= MOST {
        return Ok(Taken::TooMany);
    }
    let new = tx.execute(
        "INSERT OR IGNORE INTO request VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            request.id,
            signed.statement,
            signed.signature,
            by.name.as_str(),
            now.as_millisecond(),
            request.expires.as_millisecond(),
        ],
    )?;
    if new == 0 {
        return Ok(Taken::Known);
    }
    let mut entries = Vec::new();
    for name in &request.boxes {
        tx.execute(
            "INSERT OR IGNORE INTO request_box (request, box) VALUES (?1, ?2)",
            params![request.id, name.as_str()],
        )?;
        let reason = request.reason.as_deref().unwrap_or("no reason given");
        let reason = format!("{}: {reason}", request.action);
        let mut body = audit::Body::of_map(now, name, "request", Some(by.key.clone()), reason);
        body.event.by = Some(by.name.to_string());
        body.event.workflow = Some(request.workflow.to_string());
        entries.extend(audit::append(&tx, body)?);
    }
    tx.commit()?;
    Ok(Taken::Yes(entries))
}

/// What waits for a box, oldest first.
pub fn waiting(db: &Connection, name: &Name, now: Timestamp) -> Result<Vec<Signed>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT statement, signature FROM request JOIN request_box ON request = id
         WHERE box = ?1 AND outcome IS NULL AND expires > ?2 ORDER BY created, id LIMIT ?3",
    )?;
    let rows = query.query_map(
        params![name.as_str(), now.as_millisecond(), AT_ONCE],
        |row| {
            Ok(Signed {
                statement: row.get(0)?,
                signature: row.get(1)?,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What became of requests on a box: the first answer counts. Gives whether there was anything new.
pub fn answered(db: &Connection, name: &Name, outcomes: &[Outcome]) -> Result<bool, StoreError> {
    let mut new = 0;
    for outcome in outcomes {
        new += db
            .prepare_cached(
                "UPDATE request_box SET outcome = ?3 WHERE request = ?1 AND box = ?2 AND outcome IS NULL",
            )?
            .execute(params![
                outcome.id,
                name.as_str(),
                serde_json::to_string(outcome)?
            ])?;
    }
    Ok(new > 0)
}

/// One of this person's.
pub fn one(db: &Connection, id: &str, person: &Name) -> Result<Option<View>, StoreError> {
    let found = db
        .prepare_cached("SELECT statement, expires FROM request WHERE id = ?1 AND person = ?2")?
        .query_row([id, person.as_str()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let Some((statement, expires)) = found else {
        return Ok(None);
    };
    let mut query = db.prepare_cached("SELECT box, outcome FROM request_box WHERE request = ?1")?;
    let mut rows = query.query([id])?;
    let mut boxes = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let outcome: Option<String> = row.get(1)?;
        let outcome = outcome
            .map(|text| serde_json::from_str(&text))
            .transpose()?;
        boxes.insert(row.get(0)?, outcome);
    }
    let expires = Timestamp::from_millisecond(expires).unwrap_or_default();
    Ok(Some(View {
        id: id.into(),
        statement,
        by: person.to_string(),
        expires: expires.to_string(),
        boxes,
    }))
}
