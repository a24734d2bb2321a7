//! One signed commit that changes exactly the files it is about. Touches git: objects, index, branch.
//!
//! The tree is made from HEAD's, without index and working tree; of the person's index only the changed paths are set. What
//! else they have staged, or changed in the working tree, stays as it is. No filter, hook or attribute sees a byte.

use crate::{
    audit::trunk::git_dir,
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    git::Git,
    key::Key,
};
use anyhow::Context;
use swarm_manifests::{id::Oid, lock::Kind};
use swarm_repository::{
    tree::Mode,
    write::{Changes, Writer},
};

/// What a commit changes against its parent.
#[derive(Debug, Default)]
pub struct Change {
    files: Changes,
}

impl Change {
    /// This blob at this path.
    pub fn put(&mut self, kind: Kind, blob: Oid, path: impl Into<String>) {
        let mode = match kind {
            Kind::Plain => Mode::File,
            Kind::Executable => Mode::Executable,
            Kind::Link => Mode::Link,
        };
        self.files.insert(path.into(), Some((mode, blob)));
    }

    /// Nothing at this path.
    pub fn remove(&mut self, path: impl Into<String>) {
        self.files.insert(path.into(), None);
    }

    /// Stages the files, and commits nothing.
    pub fn stage(&self, repository: &DeployRepository) -> Outcome {
        self.index(&repository.git)
    }

    /// Makes the commit upon HEAD and moves the branch to it; the commit's id, or none where it would change nothing.
    pub fn commit(
        &self,
        repository: &DeployRepository,
        key: &Key,
        message: &str,
    ) -> Outcome<Option<String>> {
        let git = &repository.git;
        let head = git.head()?;
        let base = head
            .as_ref()
            .map(|head| git.line(["rev-parse", &format!("{head}^{{tree}}")]))
            .transpose()?;
        let old = base
            .as_deref()
            .map(str::parse)
            .transpose()
            .context("repositories with SHA-256 are not taken")?;
        let tree = Writer::open(&git_dir(git)?)?
            .update_tree(old, &self.files)?
            .to_string();
        if base.as_ref() == Some(&tree) {
            // The same as HEAD: only the person's index may differ.
            self.index(git)?;
            return Ok(None);
        }
        let commit = commit_tree(
            &key.in_git(&identified(git)?),
            &tree,
            head.as_deref().as_slice(),
            message,
        )?;
        // The index first: were it last and failed, the person's next commit would quietly take ours back.
        self.index(git)?;
        let old = head.unwrap_or_else(|| "0".repeat(40));
        git.run([
            "update-ref",
            "-m",
            &format!("swarm-pack: {message}"),
            "HEAD",
            &commit,
            &old,
        ])?;
        Ok(Some(commit))
    }

    fn index(&self, git: &Git) -> Outcome {
        let lines = self.files.iter().map(|(path, to)| match to {
            Some((mode, blob)) => format!("{:o} {blob}\t{path}\0", mode.bits()),
            None => format!("0 {}\t{path}\0", "0".repeat(40)),
        });
        git.feed(
            ["update-index", "-z", "--add", "--replace", "--index-info"],
            lines.collect::<String>().as_bytes(),
        )
        .map(drop)
    }
}

/// A signed commit of this tree; nothing points at it yet.
pub fn commit_tree(git: &Git, tree: &str, parents: &[&str], message: &str) -> Outcome<String> {
    let mut words = vec!["commit-tree", "-S", tree];
    words.extend(parents.iter().flat_map(|parent| ["-p", parent]));
    let made = git
        .feed(&words, format!("{message}\n").as_bytes())
        .map_err(|failure| Failure {
            hint: Some(
                "git could not sign the commit: swarm-pack setup says what is missing".into(),
            ),
            ..failure
        })?;
    Ok(String::from_utf8_lossy(&made).trim().to_string())
}

/// Git that knows who commits, also where the person never told it: the signature says who it was, the name is for people.
pub fn identified(git: &Git) -> Outcome<Git> {
    if git.ask(["var", "GIT_COMMITTER_IDENT"])?.is_some()
        && git.ask(["var", "GIT_AUTHOR_IDENT"])?.is_some()
    {
        return Ok(git.clone());
    }
    let user = std::env::var("USER")
        .ok()
        .filter(|user| !user.is_empty())
        .unwrap_or_else(|| "somebody".into());
    Ok(git
        .clone()
        .with_setting("user.name", &user)
        .with_setting("user.email", &format!("{user}@localhost")))
}
