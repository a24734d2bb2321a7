//! A workflow's manifest in the working tree: where it lies, what it says, how it is changed. Touches files and git.

use crate::{
    audit::file::is_toml,
    commit::Change,
    deploy_repository::DeployRepository,
    edit::{self, Wish},
    failure::{Failure, Outcome},
    pack::read_limited,
    place,
};
use swarm_manifests::{
    manifest::{self, Manifest},
    name::Name,
    rules::file::{DUPLICATE, SYNTAX},
    shape::MAX_TEXT,
};

/// A manifest's file.
#[derive(Debug)]
pub struct File {
    /// `manifests/…/NAME.toml`
    pub path: String,
    /// Its text; none where it is not there yet.
    pub text: Option<String>,
}

/// Where a workflow's manifest lies, or would.
pub fn find(repository: &DeployRepository, workflow: &Name) -> Outcome<File> {
    let paths: Vec<String> = paths(repository)?
        .into_iter()
        .filter(|path| manifest::workflow_of(path) == Some(workflow.as_str()))
        .collect();
    match paths.as_slice() {
        [] => Ok(File {
            path: format!("manifests/{workflow}.toml"),
            text: None,
        }),
        [path] => {
            let bytes = read_limited(&repository.top().join(path), MAX_TEXT as u64 + 1)?;
            let text = String::from_utf8(bytes)
                .map_err(|_| Failure::rule(&SYNTAX, format!("{path} is not UTF-8")))?;
            Ok(File {
                path: path.clone(),
                text: Some(text),
            })
        }
        several => Err(Failure::rule(
            &DUPLICATE,
            format!(
                "the workflow {workflow} has several manifests: {}",
                several.join(", ")
            ),
        )
        .hint(DUPLICATE.remedy)),
    }
}

/// Every manifest of the working tree, committed or not, but for what git ignores.
pub fn paths(repository: &DeployRepository) -> Outcome<Vec<String>> {
    let mut paths = repository.files(&["manifests"])?;
    paths.retain(|path| is_toml(path));
    Ok(paths)
}

/// Sets the wish in the manifest's file, and in the change; what it says then.
pub fn set(
    repository: &DeployRepository,
    workflow: &Name,
    wish: &Wish,
    change: &mut Change,
) -> Outcome<Manifest> {
    let file = find(repository, workflow)?;
    let text = edit::manifest(&file.path, workflow, file.text.as_deref(), wish)?;
    place::write_file(repository, &file.path, &text, change)?;
    let (manifest, _) = manifest::read(&file.path, text.as_bytes());
    manifest.ok_or_else(|| {
        Failure::new(format!(
            "{} does not read back as it was written",
            file.path
        ))
    })
}
