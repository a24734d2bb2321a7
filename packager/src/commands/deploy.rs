//! `deploy NAME VERSION`: sets what a workflow runs, and commits.

use super::here;
use crate::{
    cli::{KeyOption, WishOptions},
    commit::Change,
    edit::Wish,
    failure::{Failure, Outcome},
    key::Key,
    published, talk, workflow,
};
use semver::Version;
use swarm_manifests::{manifest, name::Name};

/// Sets the version.
pub fn run(
    name: &Name,
    version: &Version,
    bundle: Option<Name>,
    wish: &WishOptions,
    key: &KeyOption,
    json: bool,
) -> Outcome {
    let repository = here()?;
    let wish = wish.wish().map_err(Failure::usage)?;
    let file = workflow::find(&repository, name)?;
    let current = file
        .text
        .as_deref()
        .and_then(|text| manifest::read(&file.path, text.as_bytes()).0);
    let runs = bundle
        .clone()
        .or_else(|| current.map(|manifest| manifest.bundle))
        .unwrap_or_else(|| name.clone());
    published::Head::of(&repository.git)?.need(&runs, version)?;
    let key = Key::find(key.key.as_deref(), &repository.git)?;
    let mut change = Change::default();
    workflow::set(
        &repository,
        name,
        &Wish {
            bundle,
            version: Some(version.to_string()),
            ..wish
        },
        &mut change,
    )?;
    let commit = change.commit(
        &repository,
        &key,
        &format!("deploy {name}: {runs} {version}"),
    )?;
    match &commit {
        None => talk::say(format!("{} says so already: nothing to do", file.path)),
        Some(commit) => talk::say(format!(
            "{} sets {name} to {runs} {version}, in commit {commit:.10}; next: git push",
            file.path
        )),
    }
    if json {
        talk::json(
            &serde_json::json!({"workflow": name, "bundle": runs, "version": version.to_string(), "file": file.path, "commit": commit}),
        );
    }
    Ok(())
}
