//! How remotes are reached, as the configuration says. Pure.

use std::path::PathBuf;

/// How remotes are reached.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Options {
    pub credentials_file: Option<PathBuf>,
    pub known_hosts: Option<PathBuf>,
    pub identity_file: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    /// Where an ssh `ControlMaster`'s socket and the like may lie.
    pub run_dir: Option<PathBuf>,
}
