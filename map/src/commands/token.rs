//! `swarm-map token`: a token that lets one box in, once.

use crate::{
    settings::sqlite,
    store::{schema, tokens},
};
use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use std::time::Duration;
use swarm_manifests::{name::Name, units::parse_duration};

/// Makes the token and prints it, alone, on stdout.
pub fn run(store: &str, name: &str, replace: bool, valid: &str) -> Result<()> {
    let name = Name::new(name).context("--box")?;
    let valid = parse_duration(valid).context("--valid")?;
    if valid.is_zero() || valid > Duration::from_secs(30 * 86400) {
        bail!("--valid is at most 30d, and not 0s");
    }
    let mut db = schema::open_or_create(&sqlite(store)?)?;
    if !replace && tokens::is_enrolled(&db, &name)? {
        eprintln!(
            "swarm-map: {name} is enrolled already; this token lets it in again with the key it has, and --replace would make one for a new key"
        );
    }
    println!(
        "{}",
        tokens::make(&mut db, &name, replace, valid, Timestamp::now())?
    );
    Ok(())
}
