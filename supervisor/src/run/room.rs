//! What the supervisor holds of one instance and of one workflow, besides the machine's state: descriptors, its tree, its log.

use super::watch::Token;
use crate::{
    machine::{State, Trail},
    os::{
        identity::Pidfd, launch::Ids, logs::LogWriter, notify::NotifySocket, pipes::Pipes,
        protections::Protections, report::Report, tree::Tree,
    },
    protocol::Stream,
    time::BootTime,
};
use std::{collections::BTreeMap, sync::Arc};
use swarm_manifests::bundle::LinePattern;

/// One workflow.
pub(super) struct Workflow {
    pub state: State,
    /// What was over when it was removed is known again, and is yet to be saved with it.
    pub came_back: bool,
    /// It is removed, and that could not be noted yet: until then its last state stays saved.
    pub unnoted: bool,
    /// The trail of what was saved last.
    pub saved: Option<Trail>,
    /// Boxed: a node of the map has place for eleven, and most workflows have one.
    pub rooms: BTreeMap<u16, Box<Room>>,
    /// When the machine wants a tick.
    pub deadline: Option<BootTime>,
}

/// One instance.
#[derive(Default)]
pub(super) struct Room {
    pub process: Option<Held>,
    pub tree: Option<Tree>,
    pub tree_token: Option<Token>,
    /// How many of its tree the kernel had killed for want of memory when it was last asked.
    pub oom_kills: u64,
    pub output: Option<Output>,
    /// What `[ready] log-regex` says, compiled once.
    pub pattern: Option<(String, Arc<LinePattern>)>,
    pub notify: Option<(NotifySocket, Token)>,
    /// What it said there and was not passed on yet.
    pub said: Said,
    pub ids: Option<Ids>,
    /// It is made, and not yet at its program.
    pub birth: Option<Box<Birth>>,
    /// What could not be given to it, and which of its limits are not enforced.
    pub unprotected: Vec<String>,
    /// What the kernel says of it, once somebody asked.
    pub protections: Option<Protections>,
    /// A probe or stop command under way.
    pub job: Option<u64>,
}

/// What an instance said of itself.
#[derive(Default)]
pub(super) struct Said {
    /// Whether it said that it is well since it was asked last.
    pub well: bool,
    /// How it is; passed on at [`Said::pass_on`], as often as people can read.
    pub status: Option<String>,
    /// When what it says of itself may be passed on again.
    pub pass_on: BootTime,
}

/// The main process, held.
pub(super) struct Held {
    pub pidfd: Arc<Pidfd>,
    pub token: Token,
    pub pid: i32,
}

/// A main process between its fork and its program.
pub(super) struct Birth {
    pub report: Report,
    pub token: Token,
    pub run: u64,
}

/// What it prints.
pub(super) struct Output {
    pub pipes: Pipes,
    pub tokens: [Token; 2],
    pub log: LogWriter,
    /// Whether a line without its end is kept on the disk, by stream.
    pub kept_rest: [bool; 2],
}

/// Both streams, in the order of [`Output::tokens`].
pub(super) const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Room {
    /// In words: what the kernel says, and what it was not given.
    pub(super) fn protections(&self) -> Vec<String> {
        let said = self.protections.iter().flat_map(Protections::words);
        let rest = self.unprotected.iter().map(String::as_str);
        said.chain(rest).map(str::to_owned).collect()
    }
}

impl Workflow {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            came_back: false,
            unnoted: false,
            saved: None,
            rooms: BTreeMap::new(),
            deadline: None,
        }
    }
}
