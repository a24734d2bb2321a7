//! `swarm-map audit verify`: whether anybody changed what was written.

use crate::{
    key,
    settings::sqlite,
    store::{
        audit::{self, Verdict, verify},
        schema, seal,
    },
};
use anyhow::{Result, bail};
use swarm_manifests::id::Digest;

/// Looks at every row and at the seal; an error where one does not fit, or where the head noted earlier is not among the rows.
pub fn run(store: &str, expected: Option<Digest>) -> Result<()> {
    let store = sqlite(store)?;
    let db = schema::open(&store)?;
    let (count, head) = match verify(&db)? {
        Verdict::Whole { count, head } => (count, head),
        Verdict::Broken { id, what } => bail!("the audit is broken at row {id}: {what}"),
    };
    let own = key::beside(&store);
    let is_sealed = own.exists();
    if !is_sealed && seal::was_made(&db, &store)? {
        bail!(
            "the audit was sealed, and {} is gone: put the map's key back",
            own.display()
        );
    }
    // Tokens may have been made before the map ever ran: then there is no key, and nothing is sealed.
    if is_sealed
        && let Some(why) = seal::why_broken(&db, key::open(&own)?.public_key(), Some(&store))?
    {
        bail!("the audit is broken: {why}");
    }
    if let Some(expected) = expected
        && !audit::has(&db, expected)?
    {
        bail!(
            "the audit is broken: the head {expected} was expected, and no row has it: rows were removed, or all were written anew"
        );
    }
    let sealed = if is_sealed { "" } else { "not sealed yet, " };
    println!("{count} entries, {sealed}none changed, removed or reordered; head {head}");
    Ok(())
}
