//! `who reads NAME`: which secrets a box can read, so that they can be rotated when it leaves; or who reads a workflow's.

use crate::{
    deploy_repository::DeployRepository,
    failure::{Exit, Failure, Outcome},
    secrets, talk, words,
};
use serde_json::json;
use swarm_manifests::name::Name;

/// Prints them; the name is a box's of the roster, else a workflow's.
pub fn run(repository: &DeployRepository, name: &Name, as_json: bool) -> Outcome {
    let readers = secrets::readers(repository)?;
    let is_box = repository.top().join(format!("boxes/{name}.toml")).exists();
    let chosen: Vec<_> = readers
        .iter()
        .filter(|secret| {
            if is_box {
                secret.boxes.contains(name)
            } else {
                secret.workflow == *name
            }
        })
        .collect();
    if !is_box && chosen.is_empty() {
        return Err(Failure::new(format!(
            "{name} is no box of the roster, and no workflow with secrets"
        ))
        .exit(Exit::Unknown)
        .hint("boxes/ has the roster, secrets/ the secrets"));
    }
    if as_json {
        let values: Vec<_> = chosen
            .iter()
            .map(|secret| json!({"workflow": secret.workflow, "secret": secret.name, "file": secret.file(), "boxes": secret.boxes}))
            .collect();
        talk::json(&values);
    } else if chosen.is_empty() {
        talk::say(format!("{name} reads no secret: nothing to rotate"));
    } else {
        let rows: Vec<_> = chosen
            .iter()
            .map(|secret| vec![secret.file(), words::listed(&secret.boxes)])
            .collect();
        talk::table(&["SECRET", "READ BY"], &rows);
        if is_box {
            talk::say(format!(
                "when {name} leaves: remove boxes/{name}.toml, then make each of these anew at its source and swarm-pack encrypt it again"
            ));
        }
    }
    Ok(())
}
