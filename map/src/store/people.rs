//! Sessions of people, and the links that open one in a browser, once. Kept as hashes. Touches the database it is given.

use super::{StoreError, sessions, tokens};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use std::time::Duration;

/// How long a session lasts: a working day. Whether the person is still in the policy is looked at with each use.
pub const LASTS: Duration = Duration::from_secs(8 * 3600);
/// How long a link is good for.
pub const LINK_LASTS: Duration = Duration::from_secs(300);
/// The most sessions that one key has at a time; the oldest goes first.
const MOST: i64 = 16;

/// Opens a session for the person's key, and uses the nonce up; none where that was used before.
pub fn open(
    db: &mut Connection,
    fingerprint: &str,
    nonce: &str,
    nonce_expires: Timestamp,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !sessions::use_nonce(&tx, nonce, nonce_expires, now)? {
        return Ok(None);
    }
    let session = add(&tx, fingerprint, "session", LASTS, now)?;
    tx.commit()?;
    Ok(Some(session))
}

/// A link's secret for the person's key.
pub fn link(db: &mut Connection, fingerprint: &str, now: Timestamp) -> Result<String, StoreError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let link = add(&tx, fingerprint, "link", LINK_LASTS, now)?;
    tx.commit()?;
    Ok(link)
}

/// Uses a link up, and opens a session with it: whose key's, and its secret.
pub fn follow(
    db: &mut Connection,
    link: &str,
    now: Timestamp,
) -> Result<Option<(String, String)>, StoreError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(fingerprint) = owner_of(&tx, link, "link", now)? else {
        return Ok(None);
    };
    tx.execute(
        "DELETE FROM person_session WHERE hash = ?1",
        [tokens::hashed(link)],
    )?;
    let session = add(&tx, &fingerprint, "session", LASTS, now)?;
    tx.commit()?;
    Ok(Some((fingerprint, session)))
}

/// The fingerprint of the key whose session this is.
pub fn owner(db: &Connection, session: &str, now: Timestamp) -> Result<Option<String>, StoreError> {
    owner_of(db, session, "session", now)
}

fn owner_of(
    db: &Connection,
    secret: &str,
    kind: &str,
    now: Timestamp,
) -> Result<Option<String>, StoreError> {
    Ok(db
        .prepare_cached(
            "SELECT fingerprint FROM person_session WHERE hash = ?1 AND kind = ?2 AND expires > ?3",
        )?
        .query_row(
            params![tokens::hashed(secret), kind, now.as_millisecond()],
            |row| row.get(0),
        )
        .optional()?)
}

fn add(
    db: &Connection,
    fingerprint: &str,
    kind: &str,
    lasts: Duration,
    now: Timestamp,
) -> Result<String, StoreError> {
    db.execute(
        "DELETE FROM person_session WHERE expires <= ?1",
        [now.as_millisecond()],
    )?;
    let secret = tokens::random()?;
    let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
    db.execute(
        "INSERT INTO person_session VALUES (?1, ?2, ?3, ?4)",
        params![
            tokens::hashed(&secret),
            fingerprint,
            kind,
            now.as_millisecond().saturating_add(lasts)
        ],
    )?;
    db.execute(
        "DELETE FROM person_session WHERE fingerprint = ?1 AND rowid NOT IN (SELECT rowid FROM person_session WHERE fingerprint = ?1 ORDER BY expires DESC, rowid DESC LIMIT ?2)",
        params![fingerprint, MOST],
    )?;
    Ok(secret)
}
