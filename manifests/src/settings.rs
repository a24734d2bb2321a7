//! agent.toml: a box's own configuration (SPEC §6). Pure: paths are named here, not looked at.

use crate::{
    facts::Value,
    id::{Digest, Oid},
    name::Name,
    policy::Ceiling,
};
use serde::{Deserialize, Serialize};
use ssh_key::PublicKey;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

mod engines;
mod logs;
mod named;
mod read;

pub use engines::built_in_engines;
pub use named::{NamedFile, files};
pub use read::{SHAPE, control_of, read};

/// agent.toml as it was written; what is absent has its default where SPEC names one.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Settings {
    /// None: the short host name in lower case.
    pub name: Option<Name>,
    pub labels: BTreeMap<String, Value>,
    pub location: Option<(f64, f64)>,
    /// Default `/var/lib/swarm`.
    pub state: PathBuf,
    pub control: Option<PathBuf>,
    pub repository: Option<Repository>,
    pub trust: Option<Trust>,
    pub map: Option<Map>,
    pub webhook: Option<Webhook>,
    /// `[metrics] listen`: where figures are served.
    pub metrics: Option<String>,
    /// `[logs]`: where lines of logs go besides.
    pub logs: Option<Logs>,
    pub ceiling: Ceiling,
    pub engines: BTreeMap<Name, Engine>,
    /// `[users] range = [64000, 65000]`: the ids that workflows get where users are switched. Default 64100 to 65400.
    pub users: (u32, u32),
    /// `[users] agent = "swarm"`: the user the agent itself runs as. Default `swarm`, and where there is none, the first id of the range.
    pub agent_user: Option<String>,
    /// `[users] switch = false`: run everything as the caller. Default true for root.
    pub switch_users: bool,
    /// How long a removed workflow's state folder is kept. `[state] keep` cannot stand beside `state = "…"`, so it is `keep-state = "30d"`.
    pub keep_state: Duration,
}

/// `[repository]`
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Repository {
    /// Tried in order.
    pub urls: Vec<String>,
    pub branch: String,
    pub poll: Duration,
    pub credentials_file: Option<PathBuf>,
    pub known_hosts: Option<PathBuf>,
    /// A private key for ssh urls: `identity-file`.
    pub identity_file: Option<PathBuf>,
    /// An authority for https urls beside the system's: `ca`.
    pub ca: Option<PathBuf>,
}

/// `[trust]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Trust {
    pub introduction: Oid,
    pub policy: Digest,
    pub position: u64,
}

/// `[map]`
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Map {
    pub url: String,
    pub ca: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// The map's own key: what it bears witness of is taken only if this key signed it.
    pub key: Option<PublicKey>,
}

/// `[webhook]`
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Webhook {
    pub listen: String,
    pub secret_file: Option<PathBuf>,
}

/// `[logs]`
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Logs {
    pub forward: Forward,
    /// The socket they go to.
    pub socket: PathBuf,
}

/// What takes them there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Forward {
    Journald,
    Syslog,
}

impl Forward {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Journald => "journald",
            Self::Syslog => "syslog",
        }
    }

    /// The socket of every box that has it.
    pub fn socket(self) -> &'static str {
        match self {
            Self::Journald => "/run/systemd/journal/socket",
            Self::Syslog => "/dev/log",
        }
    }
}

/// `[engines.NAME]`, and each engine that is built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Engine {
    /// With placeholders; the bundle's args follow, unless one of the words is `{args}`.
    pub command: Vec<String>,
    /// Its output's first version-like word becomes the fact `engine.NAME`; none: the engine needs no probe.
    pub version: Option<Vec<String>>,
}
