//! `swarm-map token`: a token that lets one box in, once.

use crate::{
    settings::sqlite,
    store::{schema, tokens},
};
use anyhow::Result;
use jiff::Timestamp;
use std::time::Duration;
use swarm_manifests::name::Name;

/// Makes the token and prints it, alone, on stdout.
pub fn run(store: &str, name: &Name, replace: bool, valid: Duration) -> Result<()> {
    let mut db = schema::open_or_create(&sqlite(store)?)?;
    if !replace && tokens::is_enrolled(&db, name)? {
        eprintln!(
            "swarm-map: {name} is enrolled already; this token lets it in again with the key it has, and --replace would make one for a new key"
        );
    }
    println!(
        "{}",
        tokens::make(&mut db, name, replace, valid, Timestamp::now())?
    );
    Ok(())
}
