//! `swarm-map key`: the map's own public key, for `[map] key` of boxes.

use crate::{key, settings::sqlite};
use anyhow::Result;

/// Prints it, alone, on stdout.
pub fn run(store: &str) -> Result<()> {
    let key = key::open(&key::beside(&sqlite(store)?))?;
    println!("{}", key.public_key().to_openssh()?);
    Ok(())
}
