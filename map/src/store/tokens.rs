//! Enrolment: tokens that let a box in once, and the keys they brought. Touches the database it is given.

use super::{StoreError, audit};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use swarm_manifests::name::Name;

/// What became of a token that was shown.
#[derive(Debug, Clone, PartialEq)]
pub enum Redeemed {
    /// The key now stands for the box, and so says the audit.
    Enrolled(Box<audit::Entry>),
    /// This very token brought this very key before: its answer was lost on the way.
    Already,
    /// The token is unknown, used, expired, or another box's.
    NoSuchToken,
    /// The box has another key, and the token may not replace it.
    KeyInPlace,
    /// The key is another box's.
    KeyOfAnother,
}

/// 32 random bytes, in hexadecimal.
pub fn random() -> Result<String, StoreError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(StoreError::Random)?;
    Ok(hex::encode(bytes))
}

/// What is kept of a token or a session: whoever reads the database cannot use it.
pub fn hashed(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

/// Makes a token for one enrolment of this box, and says in the audit that it did.
pub fn make(
    db: &mut Connection,
    box_name: &Name,
    may_replace: bool,
    valid: Duration,
    now: Timestamp,
) -> Result<String, StoreError> {
    let token = random()?;
    let expires = now
        .as_millisecond()
        .saturating_add(i64::try_from(valid.as_millis()).unwrap_or(i64::MAX));
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Used tokens are kept until they expire, for the box whose answer was lost.
    tx.execute(
        "DELETE FROM token WHERE expires <= ?1",
        [now.as_millisecond()],
    )?;
    tx.execute(
        "INSERT INTO token (hash, box, may_replace, expires) VALUES (?1, ?2, ?3, ?4)",
        params![hashed(&token), box_name.as_str(), may_replace, expires],
    )?;
    let what = if may_replace {
        "a token that may replace the box's key was made"
    } else {
        "a token was made"
    };
    audit::append(
        &tx,
        audit::Body::of_map(now, box_name, "token", None, what.into()),
    )?;
    tx.commit()?;
    Ok(token)
}

/// Whether the box has a key already.
pub fn is_enrolled(db: &Connection, box_name: &Name) -> Result<bool, StoreError> {
    Ok(db
        .prepare_cached("SELECT 1 FROM box WHERE name = ?1")?
        .exists([box_name.as_str()])?)
}

/// Takes a key for a box, where the token says so.
pub fn redeem(
    db: &mut Connection,
    box_name: &Name,
    token: &str,
    key: &ssh_key::PublicKey,
    now: Timestamp,
) -> Result<Redeemed, StoreError> {
    let fingerprint = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let hash = hashed(token);
    let found = tx
        .query_row(
            "SELECT may_replace, used_by FROM token WHERE hash = ?1 AND box = ?2 AND expires > ?3",
            params![hash, box_name.as_str(), now.as_millisecond()],
            |row| Ok((row.get::<_, bool>(0)?, row.get::<_, Option<String>>(1)?)),
        )
        .optional()?;
    let held = tx
        .query_row(
            "SELECT fingerprint FROM box WHERE name = ?1",
            [box_name.as_str()],
            |row| row.get::<_, String>(0),
        )
        .optional()?;
    let may_replace = match found {
        Some((_, Some(used_by)))
            if used_by == fingerprint && held.as_deref() == Some(&*fingerprint) =>
        {
            return Ok(Redeemed::Already);
        }
        None | Some((_, Some(_))) => return Ok(Redeemed::NoSuchToken),
        Some((may_replace, None)) => may_replace,
    };
    if held.as_ref().is_some_and(|held| *held != fingerprint) && !may_replace {
        return Ok(Redeemed::KeyInPlace);
    }
    let other = "SELECT 1 FROM box WHERE fingerprint = ?1 AND name <> ?2";
    if tx
        .prepare_cached(other)?
        .exists(params![fingerprint, box_name.as_str()])?
    {
        return Ok(Redeemed::KeyOfAnother);
    }
    let line = key
        .to_openssh()
        .map_err(|_| StoreError::Corrupt("a public key".into()))?;
    tx.execute(
        "INSERT INTO box (name, key, fingerprint, enrolled) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (name) DO UPDATE SET key = ?2, fingerprint = ?3, enrolled = ?4",
        params![box_name.as_str(), line, fingerprint, now.as_millisecond()],
    )?;
    tx.execute(
        "UPDATE token SET used_by = ?2 WHERE hash = ?1",
        params![hash, fingerprint],
    )?;
    tx.execute("DELETE FROM session WHERE box = ?1", [box_name.as_str()])?;
    let what = match held {
        None => "the box was enrolled".to_owned(),
        Some(held) if held == fingerprint => {
            "the box was enrolled again with the key it had".to_owned()
        }
        Some(held) => format!("the box was enrolled with a new key in place of {held}"),
    };
    let entry = audit::append(
        &tx,
        audit::Body::of_map(now, box_name, "enrol", Some(fingerprint), what),
    )?;
    tx.commit()?;
    entry
        .map(Box::new)
        .map(Redeemed::Enrolled)
        .ok_or_else(|| StoreError::Corrupt("the audit".into()))
}
