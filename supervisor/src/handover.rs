//! What a supervisor hands to the one that takes its place in the same process: descriptors by number, and who waits. Wire types.
//!
//! Everything else is where a crash would leave it: the saved states, the journal, the pipes, the spool.

use crate::{control::Goal, os::read::Position};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, os::fd::RawFd, path::PathBuf};
use swarm_manifests::name::Name;

/// The variable that names the descriptor of the handover.
pub const VARIABLE: &str = "SWARM_HANDOVER";
/// The role of a program that is tried: it reads what it would be handed, and ends.
pub const CHECK: &str = "upgrade-check";
/// Another format is refused by the check, and the old program goes on.
pub const FORMAT: u32 = 1;

/// The whole of it.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Handover {
    pub format: u32,
    /// The version that hands over.
    pub from: String,
    /// Where the program is installed, whatever runs now.
    pub installed: PathBuf,
    /// When it began, in microseconds of the clock that nobody can set.
    pub began_us: u64,
    pub lock: RawFd,
    pub listener: RawFd,
    /// The agent, which was told to go.
    pub agent: Option<i32>,
    pub instances: Vec<Handed>,
    pub clients: Vec<Waiting>,
}

/// What is held of an instance.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Handed {
    pub workflow: Name,
    pub instance: u16,
    /// The pidfd of its main process: what an adopted process exits with is known by it alone.
    pub main: Option<RawFd>,
    /// The socket that it notifies, with what lies in it.
    pub notify: Option<RawFd>,
    pub well: bool,
    /// What could not be given to it.
    pub unprotected: Vec<String>,
}

/// A client of the control socket.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Waiting {
    pub stream: RawFd,
    pub uid: u32,
    pub out: Vec<u8>,
    pub waits: Waits,
}

/// What for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Waits {
    Upgrade,
    Until {
        workflow: Name,
        goal: Goal,
        message: String,
    },
    Follow {
        workflow: Name,
        positions: BTreeMap<u16, Option<Position>>,
    },
}
