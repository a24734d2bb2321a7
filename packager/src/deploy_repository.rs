//! The deploy repository that a command works on: found from a folder, with its policy. Touches files and git.

use crate::{
    failure::{Failure, Finding, Outcome},
    git::Git,
};
use anyhow::Context;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use swarm_manifests::policy::{self, Policy};

/// A clone of a deploy repository.
#[derive(Debug, Clone)]
pub struct DeployRepository {
    /// Git in it.
    pub git: Git,
}

impl DeployRepository {
    /// The one that this folder lies in; none where there is none.
    pub fn find(folder: &Path) -> Outcome<Option<Self>> {
        let git = Git::find(folder)?;
        Ok(git
            .filter(|git| git.top().join("policy.toml").exists())
            .map(|git| Self { git }))
    }

    /// The first of these folders that lies in one.
    pub fn need(folders: &[&Path]) -> Outcome<Self> {
        for folder in folders {
            if let Some(found) = Self::find(folder)? {
                return Ok(found);
            }
        }
        let shown = folders.first().map_or_else(PathBuf::new, |folder| {
            folder
                .canonicalize()
                .unwrap_or_else(|_| folder.to_path_buf())
        });
        let what = match Git::find(folders.first().copied().unwrap_or(Path::new(".")))? {
            Some(git) => format!(
                "{} is a git repository without policy.toml",
                git.top().display()
            ),
            None => format!("{} is not in a git repository", shown.display()),
        };
        Err(
            Failure::new(format!("{what}, so it is no deploy repository")).hint(
                "go into your deploy repository (or say -C DIR), or make one with swarm-pack init",
            ),
        )
    }

    /// Its top folder.
    pub fn top(&self) -> &Path {
        self.git.top()
    }

    /// The files of the working tree below these paths, committed or not, but for what git ignores; in order.
    pub fn files(&self, below: &[&str]) -> Outcome<Vec<String>> {
        let options = [
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
        ];
        let listed = self.git.run(options.iter().chain(below))?;
        let paths: BTreeSet<String> = listed
            .split(|byte| *byte == 0)
            .filter_map(|path| String::from_utf8(path.to_vec()).ok())
            .filter(|path| self.top().join(path).is_file())
            .collect();
        Ok(paths.into_iter().collect())
    }

    /// The policy as it stands in the working tree.
    pub fn policy(&self) -> Outcome<Policy> {
        let path = self.top().join("policy.toml");
        let text = std::fs::read(&path)
            .with_context(|| format!("{} could not be read", path.display()))?;
        let (policy, problems) = policy::read("policy.toml", &text);
        policy.ok_or_else(|| Failure::findings(Finding::of(problems, &text)))
    }

    /// The commit that HEAD is at.
    pub fn head(&self) -> Outcome<String> {
        self.git.head()?.ok_or_else(|| {
            Failure::new("this deploy repository has no commit yet")
                .hint("swarm-pack init makes the first one, the introduction")
        })
    }
}

/// A path as it is said to people: relative to the working tree where it lies in it.
pub fn shown_path(top: &Path, path: &Path) -> String {
    path.strip_prefix(top)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}
