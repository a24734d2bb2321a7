//! The indexer's sandbox: from here on this process writes below one folder and does nothing else.

use std::path::Path;

/// Why the sandbox could not be closed; the caller must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {text}")]
#[allow(missing_docs)]
pub struct SandboxError {
    pub step: &'static str,
    pub text: String,
}

/// Confines the calling process, for good: nothing but the standard descriptors and what is open already, files below `quarantine`
/// alone, no socket, no new program, 300 MiB of address space. Returns what this kernel does not have.
pub fn sandbox_self_for_indexer(quarantine: &Path) -> Result<Vec<&'static str>, SandboxError> {
    let _ = quarantine;
    todo!()
}
