//! The map's own key: made at the first start beside the store, for nobody else. What the map bears witness of is signed by it.
//!
//! Touches one file.

use anyhow::{Context as _, Result, bail};
use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair, private::KeypairData};
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// `map.db.key`, beside `map.db`.
pub fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

/// Reads the key, or makes one. One that others may read is refused: whoever did can bear witness in this map's name.
pub fn open(file: &Path) -> Result<PrivateKey> {
    let name = file.display();
    match fs::symlink_metadata(file) {
        Ok(about) if !about.is_file() || about.mode() & 0o077 != 0 => bail!(
            "{name} can be read by others (mode {:o}): remove it, and give boxes the new key (swarm-map key)",
            about.mode() & 0o777
        ),
        Ok(_) => {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
            PrivateKey::from_openssh(&text).with_context(|| format!("{name} is no private key"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(file),
        Err(error) => Err(error).with_context(|| format!("cannot look at {name}")),
    }
}

fn make(file: &Path) -> Result<PrivateKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let pair = Ed25519Keypair::from_seed(&seed);
    let key = PrivateKey::new(KeypairData::Ed25519(pair), "swarm map")?;
    if put(file, &key)? {
        return Ok(key);
    }
    // Another process was faster: its key counts.
    open(file)
}

/// Writes the key into a new file, for nobody else; false where there is one already.
pub fn put(file: &Path, key: &PrivateKey) -> Result<bool> {
    let text = key.to_openssh(LineEnding::LF)?;
    // Whole or absent: a key that was half written would stop the map for ever.
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut new = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .with_context(|| format!("cannot make {}", beside.display()))?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    let linked = fs::hard_link(&beside, file);
    fs::remove_file(&beside)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot make {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_and_refused_where_others_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = beside(&folder.path().join("map.db"));
        let made = open(&file).expect("a key");
        assert_eq!(
            open(&file).expect("the same").public_key(),
            made.public_key()
        );
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("chmod");
        assert!(open(&file).is_err());
    }
}
