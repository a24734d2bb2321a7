//! Git hooks that run the verifier: what is pushed is checked first as every box will check it. Touches a repository's hooks.

use crate::{
    failure::{Failure, Outcome},
    git::Git,
};
use anyhow::Context;
use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::PathBuf};

/// How we know a hook for ours.
const MARK: &str = "# made by swarm-pack";

/// Which hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// In a clone, before a push leaves it.
    PrePush,
    /// In the server's bare repository, before anything is taken in.
    PreReceive,
}

impl Hook {
    fn name(self) -> &'static str {
        match self {
            Self::PrePush => "pre-push",
            Self::PreReceive => "pre-receive",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::PrePush => "check --pushed \"$1\"",
            Self::PreReceive => "check --received",
        }
    }
}

/// Writes the hook; one that somebody else made stays, and is an error with advice.
pub fn install(git: &Git, hook: Hook) -> Outcome<PathBuf> {
    let (name, command) = (hook.name(), hook.command());
    let advice = format!(
        "add this line to it:  swarm-pack {command} || exit 1  (it reads the refs from stdin)"
    );
    if let Some(folder) = git.config("core.hooksPath")? {
        // It may serve every repository of this person: nothing of ours belongs there unasked.
        return Err(Failure::new(format!("git's hooks are kept in {folder} (core.hooksPath), which is not this repository's alone"))
            .hint(format!("if it has a {name} hook, {advice}")));
    }
    let path = git.git_path(&format!("hooks/{name}"))?;
    if std::fs::read_to_string(&path).is_ok_and(|text| !text.contains(MARK)) || path.is_symlink() {
        return Err(
            Failure::new(format!("{} exists and is not ours", path.display())).hint(advice),
        );
    }
    let told = || format!("{} could not be written", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(told)?;
    }
    let program = std::env::current_exe().context("this program's own path is not known")?;
    let program = program.to_string_lossy().replace('\'', "'\\''");
    let text = format!(
        "#!/bin/sh\n{MARK}: checks what is pushed as every box will\nif [ -x '{program}' ]; then exec '{program}' {command}; fi\nexec swarm-pack {command}\n"
    );
    std::fs::write(&path, text).with_context(told)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).with_context(told)?;
    Ok(path)
}
