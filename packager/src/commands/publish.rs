//! `publish DIR`: builds, signs, places and commits.

use crate::{
    cli::KeyOption, commit::Change, deploy_repository::DeployRepository, failure::Outcome,
    key::Key, pack, place, talk,
};
use std::path::Path;

/// Publishes the bundle in this folder.
pub fn run(dir: &Path, repo: Option<&Path>, key: &KeyOption, json: bool) -> Outcome {
    let packed = pack::pack(dir)?;
    let repository = match repo {
        Some(repo) => DeployRepository::need(&[repo])?,
        None => DeployRepository::need(&[Path::new("."), dir])?,
    };
    let key = Key::find(key.key.as_deref(), &repository.git)?;
    let mut change = Change::default();
    let placed = place::place(&repository, &packed, &key, &mut change)?;
    let digest = packed.lock.digest();
    let commit = if placed.already {
        None
    } else {
        change.commit(&repository, &key, &format!("publish {}", packed.title()))?
    };
    match &commit {
        None => talk::say(format!(
            "{} is published already, with these very bytes ({digest}): nothing to do",
            packed.title()
        )),
        Some(commit) => {
            talk::say(format!(
                "published {} ({digest}), signed with {}, in commit {:.10}",
                packed.title(),
                placed.key,
                commit
            ));
            talk::say(format!(
                "next: swarm-pack deploy {} {}, and git push",
                packed.bundle.name, packed.bundle.version
            ));
        }
    }
    if json {
        talk::json(&serde_json::json!({
            "name": packed.bundle.name, "version": packed.bundle.version.to_string(), "digest": digest,
            "key": placed.key, "files": packed.items.len(), "bytes": packed.bytes(), "commit": commit,
        }));
    }
    Ok(())
}
