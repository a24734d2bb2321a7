//! Sessions of boxes: opened by a signed challenge, kept as hashes, good for one box until they expire. Touches the database it is given.

use super::{StoreError, tokens};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use std::time::Duration;
use swarm_manifests::name::Name;

/// How long a session lasts.
pub const LASTS: Duration = Duration::from_secs(3600);

/// The most sessions that one box has at a time; the oldest goes first.
const MOST: i64 = 8;

/// What became of a challenge whose signature fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The session's secret.
    Session(String),
    /// No box has this key.
    UnknownKey,
    /// The nonce was used before.
    NonceUsed,
}

/// Opens a session for the box with this key, and uses the nonce up.
pub fn open(
    db: &mut Connection,
    fingerprint: &str,
    nonce: &str,
    nonce_expires: Timestamp,
    now: Timestamp,
) -> Result<Opened, StoreError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute(
        "DELETE FROM session WHERE expires <= ?1",
        [now.as_millisecond()],
    )?;
    let owner = tx
        .query_row(
            "SELECT name FROM box WHERE fingerprint = ?1",
            [fingerprint],
            |row| row.get::<_, String>(0),
        )
        .optional()?;
    // A stranger's nonce is not noted: only boxes that we know may fill the table.
    let Some(owner) = owner else {
        return Ok(Opened::UnknownKey);
    };
    if !use_nonce(&tx, nonce, nonce_expires, now)? {
        return Ok(Opened::NonceUsed);
    }
    let session = tokens::random()?;
    let lasts = i64::try_from(LASTS.as_millis()).unwrap_or(i64::MAX);
    let expires = now.as_millisecond() + lasts;
    tx.execute(
        "INSERT INTO session VALUES (?1, ?2, ?3)",
        params![tokens::hashed(&session), owner, expires],
    )?;
    tx.execute(
        "DELETE FROM session WHERE box = ?1 AND rowid NOT IN (SELECT rowid FROM session WHERE box = ?1 ORDER BY expires DESC, rowid DESC LIMIT ?2)",
        params![owner, MOST],
    )?;
    tx.commit()?;
    Ok(Opened::Session(session))
}

/// Uses a nonce up; false where it was used before.
pub fn use_nonce(
    db: &Connection,
    nonce: &str,
    expires: Timestamp,
    now: Timestamp,
) -> Result<bool, StoreError> {
    db.execute(
        "DELETE FROM nonce WHERE expires <= ?1",
        [now.as_millisecond()],
    )?;
    let fresh = db.execute(
        "INSERT OR IGNORE INTO nonce VALUES (?1, ?2)",
        params![nonce, expires.as_millisecond()],
    )?;
    Ok(fresh == 1)
}

/// Whose session this is, and by which key.
pub fn owner(
    db: &Connection,
    session: &str,
    now: Timestamp,
) -> Result<Option<(Name, String)>, StoreError> {
    let owner = db
        .prepare_cached(
            "SELECT box.name, box.fingerprint FROM session JOIN box ON box.name = session.box
             WHERE session.hash = ?1 AND session.expires > ?2",
        )?
        .query_row(
            params![tokens::hashed(session), now.as_millisecond()],
            |row| Ok((row.get::<_, String>(0)?, row.get(1)?)),
        )
        .optional()?;
    owner
        .map(|(name, key)| {
            let name = Name::new(&name)
                .map_err(|_| StoreError::Corrupt("the name of a session's box".into()))?;
            Ok((name, key))
        })
        .transpose()
}
