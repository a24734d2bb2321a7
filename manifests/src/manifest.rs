//! The workflow manifest (SPEC §3.3). Text comes in, a [`Manifest`] and every problem go out. Pure.

use crate::{
    bundle::Limits,
    name::{Name, Pattern},
    schedule::Schedule,
    selector::Selector,
};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

mod on;
mod read;
mod variables;

pub use read::{SHAPE, read};

/// The namespace of an approval of a manifest (SPEC §4 rule 7).
pub const NAMESPACE: &str = "swarm-manifest@v1";

/// What should run, where, and how long.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Manifest {
    pub workflow: Name,
    pub bundle: Name,
    pub version: Version,
    /// Replaces the bundle's.
    pub args: Option<Vec<String>>,
    pub on: On,
    pub run: Run,
    pub restart: Restart,
    pub env: BTreeMap<String, String>,
    /// Variable -> secret.
    pub secrets: BTreeMap<String, Name>,
    pub limits: Limits,
}

/// `[on]`: every condition given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct On {
    pub all: bool,
    pub boxes: Option<Vec<Pattern>>,
    pub selector: Option<Selector>,
    pub count: Option<u32>,
}

/// `[run]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Run {
    pub mode: Mode,
    pub time_limit: Option<Duration>,
    pub on_limit: OnLimit,
    pub instances: u16,
    /// When a `once` runs by itself; none: when it is deployed.
    pub schedule: Option<Schedule>,
}

/// What an exit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Mode {
    Once,
    Restart,
    Daemon,
}

impl Mode {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Restart => "restart",
            Self::Daemon => "daemon",
        }
    }
}

/// What happens at the time limit, once the tree is stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum OnLimit {
    #[default]
    Expire,
    Restart,
}

/// `[restart]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Restart {
    pub delay: Duration,
    /// Zero: the delay does not grow.
    pub max_delay: Duration,
    pub settled: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            max_delay: Duration::from_secs(300),
            settled: Duration::from_secs(10),
        }
    }
}

/// The workflow's name from a path `manifests/**/<workflow>.toml`; none for any other path.
pub fn workflow_of(path: &str) -> Option<&str> {
    let stem = path
        .strip_prefix("manifests/")?
        .rsplit('/')
        .next()?
        .strip_suffix(".toml")?;
    (!stem.is_empty()).then_some(stem)
}
