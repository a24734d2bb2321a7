//! `swarm-map audit verify`: whether anybody changed what was written.

use crate::{
    settings::sqlite,
    store::{
        audit::{Verdict, verify},
        schema,
    },
};
use anyhow::{Result, bail};

/// Looks at every row; an error where one does not fit.
pub fn run(store: &str) -> Result<()> {
    let db = schema::open(&sqlite(store)?)?;
    match verify(&db)? {
        Verdict::Whole { count, head } => {
            println!("{count} entries, none changed, removed or reordered; head {head}");
            Ok(())
        }
        Verdict::Broken { id, what } => bail!("the audit is broken at row {id}: {what}"),
    }
}
