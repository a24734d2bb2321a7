//! The box's own key: made at the first start, kept to ourselves.
//!
//! Touches one file of the agent's own.

use crate::chance;
use anyhow::{Context, bail};
use ssh_key::{Algorithm, LineEnding, PrivateKey};
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// The box's own key; made at first start. One that others may read is refused.
pub fn box_key(file: &Path) -> anyhow::Result<PrivateKey> {
    match std::fs::symlink_metadata(file) {
        Ok(meta) if !meta.is_file() || meta.mode() & 0o077 != 0 => {
            bail!(
                "{} can be read by others (mode {:o}): whoever did is this box now. Remove it, and enrol the box anew with a token made with --replace",
                file.display(),
                meta.mode() & 0o777
            )
        }
        Ok(_) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            PrivateKey::from_openssh(&text)
                .with_context(|| format!("{} is no private key", file.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make_key(file),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", file.display())),
    }
}

fn make_key(file: &Path) -> anyhow::Result<PrivateKey> {
    let seed: [u8; 32] = chance::bytes().context("no randomness")?;
    let pair = ssh_key::private::Ed25519Keypair::from_seed(&seed);
    let key = PrivateKey::new(ssh_key::private::KeypairData::Ed25519(pair), "swarm box")?;
    debug_assert_eq!(key.algorithm(), Algorithm::Ed25519);
    let text = key.to_openssh(LineEnding::LF)?;
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("cannot make {}", file.display()))?;
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    Ok(key)
}
