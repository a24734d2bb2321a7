//! One file that people write: every problem in it. Which kind it is, its name and place say. Reads the file.

use super::{literal, placeholder};
use crate::{
    failure::{Failure, Finding, Outcome},
    pack::read_limited,
};
use std::{collections::BTreeMap, path::Path};
use swarm_manifests::{
    bundle, lock::Lock, manifest, policy, problem::Problem, roster, settings, shape,
};

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bundle,
    Lock,
    Policy,
    Agent,
    Roster,
    Manifest,
}

/// Reads the file at `path`, which people know as `shown` (relative to the repository, where it is in one).
pub fn check(path: &Path, shown: &str) -> Outcome<Vec<Finding>> {
    let text = read_limited(path, shape::MAX_TEXT as u64 + 1)?;
    Ok(Finding::of(problems(shown, &text)?, &text))
}

/// The problems of a text.
pub fn problems(shown: &str, text: &[u8]) -> Outcome<Vec<Problem>> {
    let kind = kind(shown, text).ok_or_else(|| {
        Failure::new(format!("{shown} is no file that swarm-pack knows"))
            .hint("it checks bundle.toml, bundle.lock, policy.toml, agent.toml, manifests and roster entries (*.toml), folders of bundles, and the repository")
    })?;
    Ok(match kind {
        Kind::Bundle => {
            let (bundle, mut problems) = bundle::read(shown, text);
            let texts = bundle.as_ref().map(placeholder::of_bundle);
            problems.extend(unfillable(shown, text, texts));
            with_literals(shown, text, bundle.map(|bundle| bundle.env), problems)
        }
        Kind::Policy => policy::read(shown, text).1,
        Kind::Agent => settings::read(shown, text).1,
        Kind::Roster => roster::read(shown, text).1,
        Kind::Manifest => {
            let (manifest, mut problems) = manifest::read(shown, text);
            let texts = manifest.as_ref().map(placeholder::of_manifest);
            problems.extend(unfillable(shown, text, texts));
            with_literals(shown, text, manifest.map(|manifest| manifest.env), problems)
        }
        Kind::Lock => Lock::parse(text)
            .err()
            .map(|refusal| crate::folder::of_refusal(shown, refusal))
            .into_iter()
            .collect(),
    })
}

fn unfillable(shown: &str, text: &[u8], texts: Option<Vec<&String>>) -> Vec<Problem> {
    let text = String::from_utf8_lossy(text);
    placeholder::problems(shown, &text, texts.unwrap_or_default())
}

fn with_literals(
    shown: &str,
    text: &[u8],
    env: Option<BTreeMap<String, String>>,
    mut problems: Vec<Problem>,
) -> Vec<Problem> {
    let env = env.unwrap_or_default();
    problems.extend(literal::problems(
        shown,
        &String::from_utf8_lossy(text),
        &env,
    ));
    problems
}

fn kind(shown: &str, text: &[u8]) -> Option<Kind> {
    let name = shown.rsplit('/').next().unwrap_or(shown);
    match name {
        "bundle.toml" => return Some(Kind::Bundle),
        "bundle.lock" => return Some(Kind::Lock),
        "policy.toml" => return Some(Kind::Policy),
        "agent.toml" => return Some(Kind::Agent),
        _ if !is_toml(name) => return None,
        _ if shown.starts_with("boxes/") || shown.contains("/boxes/") => return Some(Kind::Roster),
        _ if shown.starts_with("manifests/") || shown.contains("/manifests/") => {
            return Some(Kind::Manifest);
        }
        _ => {}
    }
    // Elsewhere, what stands in it tells; what tells nothing is taken for a manifest.
    let text = String::from_utf8_lossy(text);
    let has = |word: &str| text.lines().any(|line| line.trim_start().starts_with(word));
    Some(if has("[people") || has("[[grant]]") {
        Kind::Policy
    } else if has("[trust]") || has("[repository]") {
        Kind::Agent
    } else if has("engine") && has("entry") {
        Kind::Bundle
    } else {
        Kind::Manifest
    })
}

/// Whether a path has the ending of the files that people write.
pub fn is_toml(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|ending| ending == "toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_file_says_what_it_is() {
        assert_eq!(kind("manifests/lab/ramp.toml", b""), Some(Kind::Manifest));
        assert_eq!(kind("boxes/lab-1.toml", b""), Some(Kind::Roster));
        assert_eq!(kind("/etc/swarm/agent.toml", b""), Some(Kind::Agent));
        assert_eq!(kind("x/other.toml", b"[trust]\n"), Some(Kind::Agent));
        assert_eq!(kind("README.md", b""), None);
    }
}
