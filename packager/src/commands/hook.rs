//! `hook install`: the verifier as a pre-push hook of this clone, or as the pre-receive hook of a server's bare repository.

use super::here;
use crate::{
    audit::trunk,
    failure::{Failure, Outcome},
    git::Git,
    hook::{self, Hook},
    talk,
};
use std::path::Path;

/// Installs it.
pub fn run(server: bool, introduction: Option<&str>, json: bool) -> Outcome {
    let (path, introduction) = if server {
        on_server(introduction)?
    } else {
        (hook::install(&here()?.git, Hook::PrePush)?, None)
    };
    talk::say(format!("wrote {}", path.display()));
    if server && introduction.is_none() {
        talk::warn(
            "the branch is empty, so the first push says where trust begins; --introduction COMMIT pins it",
        );
    }
    if let Some(introduction) = &introduction {
        talk::say(format!(
            "trust begins at {introduction} (git config swarm.introduction)"
        ));
    }
    if json {
        talk::json(&serde_json::json!({"hook": path, "introduction": introduction}));
    }
    Ok(())
}

fn on_server(introduction: Option<&str>) -> Outcome<(std::path::PathBuf, Option<String>)> {
    let git = Git::at(Path::new("."));
    match git.ask(["rev-parse", "--is-bare-repository"])?.as_deref() {
        Some("true") => {}
        Some(_) => {
            return Err(Failure::new("this is a clone with a working tree, and --server is for the bare repository on the server")
                .hint("swarm-pack hook install  checks before each push; -C DIR names the bare repository"));
        }
        None => {
            return Err(
                Failure::new("this is no git repository").hint("-C DIR names the bare repository")
            );
        }
    }
    let branch = trunk::branch(&git)?;
    let begins = match introduction {
        Some(told) => Some(git.line(["rev-parse", "--verify", &format!("{told}^{{commit}}")])?),
        None if git.ask(["rev-parse", "-q", "--verify", &branch])?.is_some() => {
            Some(trunk::introduction(&git, &branch)?)
        }
        None => None,
    };
    let path = hook::install(&git, Hook::PreReceive)?;
    if let Some(begins) = &begins {
        git.set_config("swarm.introduction", begins)?;
    }
    Ok((path, begins))
}
