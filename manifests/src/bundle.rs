//! bundle.toml (SPEC §3.1). Text comes in, a [`Bundle`] and every problem go out. Pure.

use crate::{name::Name, units::ByteSize};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

mod read;
mod shape;

pub use crate::line_pattern::LinePattern;
pub use read::read;
pub(crate) use read::{limits, size_of_arguments, variables};
pub use shape::SHAPE;
pub(crate) use shape::{LIMITS, MOST_CPU, MOST_LOG, MOST_MEMORY, MOST_OPEN_FILES, MOST_PIDS};

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Bundle {
    pub name: Name,
    pub version: Version,
    pub description: Option<String>,
    pub engine: Name,
    /// A path inside the bundle; may hold `{arch}`, `{os}`.
    pub entry: String,
    pub args: Vec<String>,
    pub workdir: Option<Workdir>,
    pub user: Option<String>,
    pub ports: Vec<PortRange>,
    /// Fact name -> the comparison's text, checked (`">=18"`, `"*"`).
    pub requires: BTreeMap<String, String>,
    pub env: BTreeMap<String, String>,
    pub install: Option<Install>,
    pub ready: Option<Ready>,
    pub health: Option<Health>,
    pub stop: Stop,
    pub limits: Limits,
    pub sandbox: Sandbox,
}

/// Where a process starts: the root, and a path below it (empty: the root itself).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Workdir {
    Bundle(String),
    State(String),
}

/// Ports from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

/// `[install]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Install {
    pub command: Vec<String>,
    pub network: bool,
}

/// How one asks a program whether it is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// `sd_notify`: READY=1.
    Notify,
    /// A TCP port on loopback that accepts.
    Tcp(u16),
    /// A URL that answers 2xx or 3xx.
    Http(String),
    /// A command that exits 0.
    Exec(Vec<String>),
    /// A text that it prints.
    Log(String),
    /// A regular expression that a line of its output matches.
    LogRegex(String),
    /// So long alive.
    After(Duration),
}

/// `[ready]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Ready {
    pub probe: Probe,
    pub timeout: Duration,
}

/// `[health]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Health {
    pub probe: Probe,
    pub every: Duration,
    pub failures: u32,
}

/// `[stop]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Stop {
    /// `SIGTERM` and the like; checked to be one that the system has.
    pub signal: String,
    pub command: Option<Vec<String>>,
    pub grace: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            signal: "SIGTERM".into(),
            command: None,
            grace: Duration::from_secs(10),
        }
    }
}

/// `[limits]`, of bundle, manifest and ceiling alike: absent is no wish.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Limits {
    pub memory: Option<ByteSize>,
    /// Hundredths of one core: `"50%"` is 50.
    pub cpu: Option<u32>,
    pub pids: Option<u32>,
    pub open_files: Option<u64>,
    pub log: Option<ByteSize>,
}

impl Limits {
    /// The tighter one of each.
    #[must_use]
    pub fn tightest(&self, other: &Self) -> Self {
        fn min<T: Ord + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
            a.into_iter().chain(b).min()
        }
        Self {
            memory: min(self.memory, other.memory),
            cpu: min(self.cpu, other.cpu),
            pids: min(self.pids, other.pids),
            open_files: min(self.open_files, other.open_files),
            log: min(self.log, other.log),
        }
    }
}

/// `[sandbox]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Sandbox {
    pub network: Network,
    pub devices: Vec<String>,
    pub groups: Vec<String>,
    pub read: Vec<String>,
    pub write: Vec<String>,
}

/// Which network a workflow sees. Default: the host's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Network {
    #[default]
    Host,
    None,
}
