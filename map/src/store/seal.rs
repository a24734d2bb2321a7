//! The audit's seal: which row is the newest, and its hash, signed by the map's own key. Touches the database it is given, and the
//! note beside it.
//!
//! The chain shows what was changed within it, not that its end was cut off together with the note of where it ends. One seal is
//! kept, that of the newest head: whoever cuts rows off would have to sign an older head, and has no key to do it with. It is
//! [noted] beside the database too: whoever removes it from there, or puts an older database in its place, shows.

use super::{
    StoreError, audit,
    noted::{self, Noted},
};
use rusqlite::{Connection, OptionalExtension as _, params};
use ssh_key::{PrivateKey, PublicKey};
use std::path::Path;
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

/// Seals the newest row of the database at `store`, where it is not sealed yet.
pub fn renew(db: &Connection, key: &PrivateKey, store: &Path) -> Result<(), StoreError> {
    let (id, hash) = audit::head(db)?;
    let (sealed, beside) = (read(db)?, noted::read(store)?);
    let is_newest = |seal: &Noted| seal.id == id && seal.hash == hash;
    let is_new = sealed.is_none() && beside.is_none();
    if is_new && id == 0 || sealed.as_ref().is_some_and(is_newest) && sealed == beside {
        return Ok(());
    }
    // What was cut off must not be sealed over: the seal before is what shows it.
    if !is_new && let Some(why) = why_broken(db, key.public_key(), Some(store))? {
        return Err(StoreError::Corrupt(format!("the audit: {why}")));
    }
    let text = statement(id, hash);
    let armour = signature::sign(key, NAMESPACE, text.as_bytes())
        .map_err(|_| StoreError::Corrupt("the map's own key".into()))?;
    // What is noted beside it must never be newer than what a power cut leaves of the database.
    db.pragma_update(None, "synchronous", "full")?;
    let kept = db.execute(
        "INSERT INTO audit_seal VALUES (1, ?1, ?2, ?3)
         ON CONFLICT (one) DO UPDATE SET id = ?1, hash = ?2, signature = ?3",
        params![id, &hash.0[..], armour],
    );
    db.pragma_update(None, "synchronous", "normal")?;
    kept?;
    noted::write(store, &Noted { id, hash, armour })
}

/// Whether a seal was ever made.
pub fn was_made(db: &Connection, store: &Path) -> Result<bool, StoreError> {
    Ok(read(db)?.is_some() || noted::read(store)?.is_some())
}

/// What is wrong with the seal of an audit whose chain is whole, in words: none is there, it is not by this key, or its row is gone.
/// A copy (no `store`) has nothing noted beside it.
pub fn why_broken(
    db: &Connection,
    key: &PublicKey,
    store: Option<&Path>,
) -> Result<Option<String>, StoreError> {
    let beside = store.map(noted::read).transpose()?.flatten();
    let sealed = read(db)?;
    for seal in [&beside, &sealed].into_iter().flatten() {
        if let Some(why) = why_wrong(db, key, seal)? {
            return Ok(Some(why));
        }
    }
    Ok(match (sealed, beside) {
        (Some(_), _) => None,
        (None, Some(noted)) => Some(format!(
            "row {} was sealed, and the seal was removed from the database",
            noted.id
        )),
        (None, None) => {
            let none = audit::head(db)?.0 == 0;
            let why = "it bears no seal of this map: that was removed, or the map has not run since it learned to seal (start it once)";
            (!none).then(|| why.into())
        }
    })
}

fn why_wrong(db: &Connection, key: &PublicKey, seal: &Noted) -> Result<Option<String>, StoreError> {
    let Noted { id, hash, armour } = seal;
    let by_us = Signature::parse(armour.as_bytes()).is_ok_and(|signature| {
        signature.key().key_data() == key.key_data()
            && signature
                .verify(NAMESPACE, statement(*id, *hash).as_bytes())
                .is_ok()
    });
    if !by_us {
        return Ok(Some(format!(
            "the seal of row {id} is not by this map's key"
        )));
    }
    let stands = audit::hash_of(db, *id)? == Some(*hash);
    Ok((!stands).then(|| {
        format!(
            "row {id} was sealed with the hash {hash}, and is not there as it was: rows were removed at the end, or all were written anew"
        )
    }))
}

/// The seal in the database.
pub fn read(db: &Connection) -> Result<Option<Noted>, StoreError> {
    let found = db
        .prepare_cached("SELECT id, hash, signature FROM audit_seal")?
        .query_row([], |row| {
            Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get(2)?))
        })
        .optional()?;
    found
        .map(|(id, hash, armour)| {
            let hash = audit::digest(hash, id)?;
            Ok(Noted { id, hash, armour })
        })
        .transpose()
}
