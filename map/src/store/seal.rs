//! The audit's seal: which row is the newest, and its hash, signed by the map's own key. Touches the database it is given.
//!
//! The chain shows what was changed within it, not that its end was cut off together with the note of where it ends. One seal is
//! kept, that of the newest head: whoever cuts rows off would have to sign an older head, and has no key to do it with.

use super::{StoreError, audit};
use rusqlite::{Connection, OptionalExtension as _, params};
use ssh_key::{PrivateKey, PublicKey};
use swarm_manifests::{
    id::Digest,
    signature::{self, Signature},
};

/// The namespace of its signature.
pub const NAMESPACE: &str = "swarm-audit@v1";

/// What version 4 added.
pub const TABLES: &str = "
CREATE TABLE audit_seal (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id INTEGER NOT NULL,
    hash BLOB NOT NULL,
    signature TEXT NOT NULL
) STRICT;
PRAGMA user_version = 4;
";

/// The bytes that are signed.
fn statement(id: u64, hash: Digest) -> String {
    format!("swarm-audit-seal-v1\nrow {id}\nhash {hash}\n")
}

/// Seals the newest row, where it is not sealed yet.
pub fn renew(db: &Connection, key: &PrivateKey) -> Result<(), StoreError> {
    let (id, hash) = audit::head(db)?;
    let sealed = read(db)?;
    let is_newest = |(row, of, _): &(u64, Digest, String)| *row == id && *of == hash;
    if sealed.is_none() && id == 0 || sealed.as_ref().is_some_and(is_newest) {
        return Ok(());
    }
    // What was cut off must not be sealed over: the seal before is what shows it.
    if sealed.is_some()
        && let Some(why) = why_broken(db, key.public_key())?
    {
        return Err(StoreError::Corrupt(format!("the audit: {why}")));
    }
    let text = statement(id, hash);
    let signed = signature::sign(key, NAMESPACE, text.as_bytes())
        .map_err(|_| StoreError::Corrupt("the map's own key".into()))?;
    db.execute(
        "INSERT INTO audit_seal VALUES (1, ?1, ?2, ?3)
         ON CONFLICT (one) DO UPDATE SET id = ?1, hash = ?2, signature = ?3",
        params![id, &hash.0[..], signed],
    )?;
    Ok(())
}

/// What is wrong with the seal of an audit whose chain is whole, in words: none is there, it is not by this key, or its row is gone.
pub fn why_broken(db: &Connection, key: &PublicKey) -> Result<Option<String>, StoreError> {
    let Some((id, hash, armour)) = read(db)? else {
        let none = audit::head(db)?.0 == 0;
        let why = "it bears no seal of this map: that was removed, or the map has not run since it learned to seal (start it once)";
        return Ok((!none).then(|| why.into()));
    };
    let by_us = Signature::parse(armour.as_bytes()).is_ok_and(|signature| {
        signature.key().key_data() == key.key_data()
            && signature
                .verify(NAMESPACE, statement(id, hash).as_bytes())
                .is_ok()
    });
    if !by_us {
        return Ok(Some(format!(
            "the seal of row {id} is not by this map's key"
        )));
    }
    if audit::hash_of(db, id)? != Some(hash) {
        return Ok(Some(format!(
            "row {id} was sealed with the hash {hash}, and is not there as it was: rows were removed at the end, or all were written anew"
        )));
    }
    Ok(None)
}

fn read(db: &Connection) -> Result<Option<(u64, Digest, String)>, StoreError> {
    let found = db
        .prepare_cached("SELECT id, hash, signature FROM audit_seal")?
        .query_row([], |row| {
            Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?))
        })
        .optional()?;
    found
        .map(|(id, hash, armour)| Ok((id, audit::digest(hash, id)?, armour)))
        .transpose()
}
