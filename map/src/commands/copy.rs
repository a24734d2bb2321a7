//! `swarm-map backup` and `restore`: a copy of everything, consistent while the map runs.

use crate::{
    settings::sqlite,
    store::{
        audit::{Verdict, verify},
        schema,
    },
};
use anyhow::{Context as _, Result, bail};
use std::path::Path;

/// Writes a copy of the store to a new file.
pub fn backup(store: &str, file: &Path) -> Result<()> {
    let db = schema::open(&sqlite(store)?)?;
    if file.exists() {
        bail!("{} is there already", file.display());
    }
    let target = file
        .to_str()
        .with_context(|| format!("{} is not UTF-8", file.display()))?;
    db.execute("VACUUM INTO ?1", [target])
        .with_context(|| format!("writing {}", file.display()))?;
    std::fs::File::open(file)
        .and_then(|file| file.sync_all())
        .with_context(|| format!("writing {}", file.display()))?;
    eprintln!(
        "swarm-map: everything is in {}; it holds no secret that lets anybody in, but every name",
        file.display()
    );
    Ok(())
}

/// Puts a copy back, where there is no store yet and its audit is whole.
pub fn restore(store: &str, file: &Path) -> Result<()> {
    let target = sqlite(store)?;
    if target.exists() {
        bail!(
            "{} is there already; stop the map and move it away first",
            target.display()
        );
    }
    let copy = schema::open(file).with_context(|| format!("{}", file.display()))?;
    if let Verdict::Broken { id, what } = verify(&copy)? {
        bail!(
            "the audit in {} is broken at row {id}: {what}",
            file.display()
        );
    }
    let to = target
        .to_str()
        .with_context(|| format!("{} is not UTF-8", target.display()))?;
    copy.execute("VACUUM INTO ?1", [to])
        .with_context(|| format!("writing {}", target.display()))?;
    // Sessions of then are not worth trusting now; boxes open new ones by themselves.
    schema::open(&target)?.execute("DELETE FROM session", [])?;
    eprintln!(
        "swarm-map: {} is as it was when the copy was made",
        target.display()
    );
    Ok(())
}
