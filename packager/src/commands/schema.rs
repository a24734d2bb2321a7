//! `schema bundle|manifest|policy|agent`: the JSON Schema that editors take.

use crate::{
    cli::SchemaOf,
    failure::{Failure, Outcome},
    talk,
};

/// Prints a file's schema.
pub fn run(of: SchemaOf) -> Outcome {
    let word = match of {
        SchemaOf::Bundle => "bundle",
        SchemaOf::Manifest => "manifest",
        SchemaOf::Policy => "policy",
        SchemaOf::Agent => "agent",
    };
    let schema = swarm_manifests::schema::schema(word)
        .ok_or_else(|| Failure::new(format!("there is no schema of {word}")))?;
    talk::json(&schema);
    Ok(())
}
