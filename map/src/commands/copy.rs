//! `swarm-map backup` and `restore`: a copy of everything, consistent while the map runs. The map's own key is in it, or the boxes
//! that pinned it would no longer know the map that was put back.

use crate::{
    key,
    settings::sqlite,
    store::{
        audit::{Verdict, verify},
        noted, schema, seal,
    },
};
use anyhow::{Context as _, Result, bail};
use rusqlite::{Connection, OptionalExtension as _};
use ssh_key::{LineEnding, PrivateKey};
use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// Where a copy has the map's own key.
const KEY_TABLE: &str = "CREATE TABLE map_key (openssh TEXT NOT NULL) STRICT";

/// Writes a copy of the store to a new file, which is there once it is whole.
pub fn backup(store: &str, file: &Path) -> Result<()> {
    let store = sqlite(store)?;
    let db = schema::open(&store)?;
    if file.exists() {
        bail!("{} is there already", file.display());
    }
    let own = key::open(&key::beside(&store))?;
    // What is not sealed could not be told from what was cut off when the copy is put back.
    if let Err(error) = seal::renew(&db, &own, &store) {
        eprintln!(
            "swarm-map: {error}: this copy cannot be put back; swarm-map audit verify says more"
        );
    }
    let begun = begun(file)?;
    copy(&db, &begun)?;
    let writing = || format!("writing {}", begun.display());
    let copied = Connection::open(&begun).with_context(writing)?;
    copied.execute_batch(KEY_TABLE).with_context(writing)?;
    let text = own.to_openssh(LineEnding::LF)?;
    copied
        .execute("INSERT INTO map_key VALUES (?1)", [text.as_str()])
        .with_context(writing)?;
    finish(copied, &begun, file)?;
    eprintln!(
        "swarm-map: everything is in {}, the map's own key too: keep it where nobody else reads",
        file.display()
    );
    Ok(())
}

/// Puts a copy back, where there is no store yet and its audit is whole and sealed. First the key, then the seal, then the store:
/// wherever this ends, no map begins with another key than the store's, and to restore again goes on.
pub fn restore(store: &str, file: &Path) -> Result<()> {
    let target = sqlite(store)?;
    let key_file = key::beside(&target);
    let from = schema::open(file).with_context(|| format!("{}", file.display()))?;
    let own = copied_key(&from)?;
    let sealed = seal::read(&from)?;
    whole(&from, own.as_ref(), file)?;
    let is_other_key = key_file.exists()
        && own.as_ref().is_none_or(|own| {
            key::open(&key_file).map_or(true, |there| there.public_key() != own.public_key())
        });
    let seal_file = noted::beside(&target);
    let is_other_seal = seal_file.exists() && noted::read(&target).ok().flatten() != sealed;
    // SQLite would take what an earlier store left beside the file for changes of this one.
    let left = ["-wal", "-shm", "-journal"].map(|suffix| with(&target, suffix));
    let mut in_the_way = vec![
        (&target, target.exists()),
        (&key_file, is_other_key),
        (&seal_file, is_other_seal),
    ];
    in_the_way.extend(left.iter().map(|path| (path, path.exists())));
    if let Some((path, _)) = in_the_way.iter().find(|(_, is_there)| *is_there) {
        bail!(
            "{} is there already; stop the map and move it away first",
            path.display()
        );
    }
    let begun = begun(&target)?;
    copy(&from, &begun)?;
    let db = schema::open(&begun)?;
    // The key belongs beside the store, and leaves no trace in it. Sessions of then are not worth trusting now; boxes open new
    // ones by themselves.
    db.pragma_update(None, "secure_delete", true)?;
    db.execute_batch("DROP TABLE IF EXISTS map_key; DELETE FROM session;")?;
    if let Some(own) = &own {
        key::put(&key_file, own)?;
    }
    if let Some(sealed) = sealed.filter(|_| own.is_some()) {
        noted::write(&target, &sealed)?;
    }
    finish(db, &begun, &target)?;
    if own.is_some() {
        eprintln!(
            "swarm-map: {} is as it was when the copy was made, with the map's own key",
            target.display()
        );
    } else {
        eprintln!(
            "swarm-map: {} is as it was when the copy was made, which was before copies had the map's own key: put {} back too, or give boxes the new one (swarm-map key)",
            target.display(),
            key_file.display()
        );
    }
    Ok(())
}

/// Whether the copy's audit is whole, and its seal, where it has the key that shows it.
fn whole(from: &Connection, own: Option<&PrivateKey>, file: &Path) -> Result<()> {
    let file = file.display();
    if let Verdict::Broken { id, what } = verify(from)? {
        bail!("the audit in {file} is broken at row {id}: {what}");
    }
    if let Some(own) = own
        && let Some(why) = seal::why_broken(from, own.public_key(), None)?
    {
        bail!("the audit in {file} is broken: {why}");
    }
    Ok(())
}

/// Where a file is written until it is whole; what an earlier attempt left there is gone.
fn begun(file: &Path) -> Result<PathBuf> {
    for suffix in [".begun", ".begun-wal", ".begun-shm"] {
        let left = with(file, suffix);
        match std::fs::remove_file(&left) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| left.display().to_string());
            }
            _ => {}
        }
    }
    Ok(with(file, ".begun"))
}

/// The path with this behind its name.
fn with(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Closes what was written, and gives it its name where nobody has it.
fn finish(written: Connection, begun: &Path, file: &Path) -> Result<()> {
    let writing = || format!("writing {}", file.display());
    // The last connection that closes puts the log of what was written into the file.
    written
        .close()
        .map_err(|(_, error)| error)
        .with_context(writing)?;
    File::open(begun)
        .and_then(|file| file.sync_all())
        .with_context(writing)?;
    give_name(begun, file).with_context(writing)?;
    if let Some(folder) = file.parent().filter(|folder| *folder != Path::new("")) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(writing)?;
    }
    Ok(())
}

/// Where a file system knows no links (FAT, some of the network), nobody else is to have made the file in between.
fn give_name(begun: &Path, file: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(begun, file) {
        Ok(()) => std::fs::remove_file(begun),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(_) if file.exists() => Err(ErrorKind::AlreadyExists.into()),
        Err(_) => std::fs::rename(begun, file),
    }
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
