//! A [`Launch`] goes in, a running process comes out, confined before its first instruction; or the step that failed, and nothing runs.

use super::{
    identity::{Identity, Pidfd},
    launch::Launch,
};

/// A process that executes its program.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Child {
    pub pid: i32,
    pub pidfd: Pidfd,
    pub identity: Identity,
    /// Protections that could not be given here, and why: `no own user: not root`.
    pub missing: Vec<&'static str>,
}

/// Why a process was not started. Nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {text}")]
pub struct SpawnError {
    /// What was being done: `execute /usr/bin/node`, `mount namespace`.
    pub step: String,
    /// The kernel's error number; 0 where it did not come from the kernel.
    pub errno: i32,
    /// The error in words.
    pub text: String,
}

/// Starts it. Returns when it executes its program.
pub fn spawn(launch: Launch) -> Result<Child, SpawnError> {
    let _ = launch;
    todo!()
}
