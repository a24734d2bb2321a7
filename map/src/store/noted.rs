//! The audit's newest seal once more, in `map.db.seal` beside the database: what only writes to the database cannot take it away.
//!
//! In: where the database is. Out: the seal. Touches that one file.

use super::StoreError;
use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    path::{Path, PathBuf},
};
use swarm_manifests::id::Digest;

/// A seal: which row, its hash, and the signature over both.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Noted {
    pub id: u64,
    pub hash: Digest,
    pub armour: String,
}

/// `map.db.seal`, beside `map.db`.
pub fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".seal");
    PathBuf::from(name)
}

/// The seal, where one was noted.
pub fn read(store: &Path) -> Result<Option<Noted>, StoreError> {
    let file = beside(store);
    match fs::read_to_string(&file) {
        Ok(text) => parse(&text)
            .map(Some)
            .ok_or_else(|| StoreError::Corrupt(format!("{}, which is not", file.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::File(file, error)),
    }
}

/// Notes the seal in place of the one before: whole, or not at all.
pub fn write(store: &Path, seal: &Noted) -> Result<(), StoreError> {
    let file = beside(store);
    let mut new = file.as_os_str().to_owned();
    // A backup notes what it sealed while the map does.
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let written = put(&new, &file, &text(seal), store);
    written.map_err(|error| StoreError::File(file, error))
}

/// Whoever has the store has its seal: a backup by root must not keep the map from the next one.
fn put(new: &Path, file: &Path, text: &str, store: &Path) -> std::io::Result<()> {
    let mut opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(new)?;
    opened.write_all(text.as_bytes())?;
    if let Ok(whose) = fs::metadata(store)
        && whose.uid() != opened.metadata()?.uid()
    {
        fchown(&opened, Some(whose.uid()), Some(whose.gid()))?;
    }
    opened.sync_all()?;
    fs::rename(new, file)?;
    match file.parent().filter(|folder| *folder != Path::new("")) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn text(seal: &Noted) -> String {
    format!("row {}\nhash {}\n{}", seal.id, seal.hash, seal.armour)
}

fn parse(text: &str) -> Option<Noted> {
    let (row, rest) = text.strip_prefix("row ")?.split_once('\n')?;
    let (hash, armour) = rest.strip_prefix("hash ")?.split_once('\n')?;
    Some(Noted {
        id: row.parse().ok()?,
        hash: hash.parse().ok()?,
        armour: armour.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again_and_half_of_it_is_no_seal() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("map.db");
        assert_eq!(read(&store).expect("nothing is there"), None);
        for id in [7, 8] {
            let seal = Noted {
                id,
                hash: Digest([3; 32]),
                armour: "two\nlines\n".into(),
            };
            write(&store, &seal).expect("written");
            assert_eq!(read(&store).expect("read"), Some(seal));
        }
        fs::write(beside(&store), "row 7\nhash").expect("written");
        assert!(read(&store).is_err());
    }

    #[test]
    fn who_has_the_store_has_its_seal() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("map.db");
        fs::write(&store, "").expect("written");
        // Only root can give a file away; anybody else has both anyway.
        let _ = std::os::unix::fs::chown(&store, Some(12345), Some(12345));
        let whose = |file: &Path| fs::metadata(file).expect("it is there").uid();
        let seal = Noted {
            id: 7,
            hash: Digest([3; 32]),
            armour: "a line\n".into(),
        };
        write(&store, &seal).expect("written");
        assert_eq!(whose(&beside(&store)), whose(&store));
    }
}
