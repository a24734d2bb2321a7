//! `swarm-map backup` and `restore`: a copy of everything, consistent while the map runs. The map's own key is in it, or the boxes
//! that pinned it would no longer know the map that was put back.

use crate::{
    key,
    settings::sqlite,
    store::{
        audit::{Verdict, verify},
        schema,
    },
};
use anyhow::{Context as _, Result, bail};
use rusqlite::{Connection, OptionalExtension as _};
use ssh_key::{LineEnding, PrivateKey};
use std::path::Path;

/// Where a copy has the map's own key.
const KEY_TABLE: &str = "CREATE TABLE map_key (openssh TEXT NOT NULL) STRICT";

/// Writes a copy of the store to a new file.
pub fn backup(store: &str, file: &Path) -> Result<()> {
    let store = sqlite(store)?;
    let db = schema::open(&store)?;
    if file.exists() {
        bail!("{} is there already", file.display());
    }
    let own = key::open(&key::beside(&store))?;
    copy(&db, file)?;
    let writing = || format!("writing {}", file.display());
    let copied = Connection::open(file).with_context(writing)?;
    copied.execute_batch(KEY_TABLE).with_context(writing)?;
    let text = own.to_openssh(LineEnding::LF)?;
    copied
        .execute("INSERT INTO map_key VALUES (?1)", [text.as_str()])
        .with_context(writing)?;
    drop(copied);
    std::fs::File::open(file)
        .and_then(|file| file.sync_all())
        .with_context(writing)?;
    eprintln!(
        "swarm-map: everything is in {}, the map's own key too: keep it where nobody else reads",
        file.display()
    );
    Ok(())
}

/// Puts a copy back, where there is no store yet and its audit is whole.
pub fn restore(store: &str, file: &Path) -> Result<()> {
    let target = sqlite(store)?;
    let key_file = key::beside(&target);
    for path in [&target, &key_file] {
        if path.exists() {
            bail!(
                "{} is there already; stop the map and move it away first",
                path.display()
            );
        }
    }
    let from = schema::open(file).with_context(|| format!("{}", file.display()))?;
    if let Verdict::Broken { id, what } = verify(&from)? {
        bail!(
            "the audit in {} is broken at row {id}: {what}",
            file.display()
        );
    }
    let own = copied_key(&from)?;
    copy(&from, &target)?;
    let db = schema::open(&target)?;
    // The key belongs beside the store, and leaves no trace in it. Sessions of then are not worth trusting now; boxes open new
    // ones by themselves.
    db.pragma_update(None, "secure_delete", true)?;
    db.execute_batch("DROP TABLE IF EXISTS map_key; DELETE FROM session;")?;
    match own {
        Some(own) => {
            key::put(&key_file, &own)?;
            eprintln!(
                "swarm-map: {} is as it was when the copy was made, with the map's own key",
                target.display()
            );
        }
        None => eprintln!(
            "swarm-map: {} is as it was when the copy was made, which was before copies had the map's own key: put {} back too, or give boxes the new one (swarm-map key)",
            target.display(),
            key_file.display()
        ),
    }
    Ok(())
}

/// Copies a whole database into a new file that nobody else may read.
fn copy(db: &Connection, file: &Path) -> Result<()> {
    let name = file
        .to_str()
        .with_context(|| format!("{} is not UTF-8", file.display()))?;
    // `VACUUM INTO` takes a file that is empty, and keeps its mode.
    schema::keep_private(file)?;
    db.execute("VACUUM INTO ?1", [name])
        .with_context(|| format!("writing {}", file.display()))?;
    Ok(())
}

/// The map's own key, in a copy that has it.
fn copied_key(copy: &Connection) -> Result<Option<PrivateKey>> {
    let table = "SELECT 1 FROM sqlite_schema WHERE name = 'map_key'";
    if !copy.prepare(table)?.exists([])? {
        return Ok(None);
    }
    let text: Option<String> = copy
        .query_row("SELECT openssh FROM map_key", [], |row| row.get(0))
        .optional()?;
    text.map(|text| PrivateKey::from_openssh(text).context("the map's own key in the copy"))
        .transpose()
}
