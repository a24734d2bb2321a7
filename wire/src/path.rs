//! A remote that is a path: `git upload-pack` on this machine, with nobody's configuration. Touches processes.

use crate::pipe::{Ended, Session};
use std::{io, path::Path};
use swarm_manifests::{problem::Refusal, rules::remote as rules};
use tokio::process::Command;

/// Starts the server. Our own options let it filter, whatever the repository's configuration says; hooks it runs none.
pub fn start(path: &Path) -> io::Result<Session> {
    let mut git = Command::new("git");
    git.args([
        "-c",
        "safe.directory=*",
        "-c",
        "uploadpack.allowFilter=true",
        "upload-pack",
    ])
    .arg("--")
    .arg(path);
    git.env_clear();
    git.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    git.envs([
        ("GIT_PROTOCOL", "version=2"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("HOME", "/nonexistent"),
        ("LC_ALL", "C"),
    ]);
    Session::start(git)
}

/// What it means that the server could not be started.
pub fn not_started(error: &io::Error) -> Refusal {
    let refusal = Refusal::new(
        &rules::UNREACHABLE,
        format!("git cannot be started: {error}"),
    );
    if error.kind() == io::ErrorKind::NotFound {
        refusal.hint("install git: apt-get install git")
    } else {
        refusal
    }
}

/// What it means that the server ended before it was done.
pub fn judge(shown: &str, ended: &Ended) -> Refusal {
    Refusal::new(
        &rules::UNREACHABLE,
        format!("{shown}: git upload-pack ended early: {}", ended.complaint),
    )
}
