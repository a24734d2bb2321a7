//! `new NAME --engine E`: a bundle to start from, and its manifest. Nothing is committed.

use super::here;
use crate::{
    cli::Engine,
    failure::{Failure, Outcome},
    starter, talk, workflow,
};
use anyhow::Context;
use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path};
use swarm_manifests::name::Name;

/// Writes both.
pub fn run(name: &Name, engine: Engine, json: bool) -> Outcome {
    let repository = here()?;
    let source = format!("sources/{name}");
    let dir = repository.top().join(&source);
    if dir.exists() {
        return Err(Failure::new(format!("{source} is there already"))
            .hint("choose another name, or remove that folder"));
    }
    let manifest = workflow::find(&repository, name)?;
    if manifest.text.is_some() {
        return Err(Failure::new(format!("{} is there already", manifest.path))
            .hint("choose another name: a workflow's name is unique"));
    }
    for file in starter::files(engine, name) {
        let path = dir.join(&file.path);
        write(&path, &file.text)?;
        if file.executable {
            std::fs::set_permissions(&path, Permissions::from_mode(0o755))
                .with_context(|| format!("{} could not be made executable", path.display()))?;
        }
    }
    write(
        &repository.top().join(&manifest.path),
        &starter::manifest(engine),
    )?;
    talk::say(format!(
        "wrote {source}/ and {}\nnext: swarm-pack up {source}    (or, to try it here first: swarm-agent local {source})",
        manifest.path
    ));
    if json {
        talk::json(&serde_json::json!({"name": name, "source": source, "manifest": manifest.path}));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Outcome {
    let told = || format!("{} could not be written", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(told)?;
    }
    Ok(std::fs::write(path, text).with_context(told)?)
}
