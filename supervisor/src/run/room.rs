//! What the supervisor holds of one instance and of one workflow, besides the machine's state: descriptors, its tree, its log.

use super::watch::Token;
use crate::{
    machine::State,
    os::{
        identity::Pidfd, launch::Ids, logs::LogWriter, notify::NotifySocket, pipes::Pipes,
        tree::Tree,
    },
    protocol::Stream,
    time::BootTime,
};
use std::{collections::BTreeMap, sync::Arc};
use swarm_manifests::bundle::LinePattern;

/// One workflow.
pub(super) struct Workflow {
    pub state: State,
    /// During which boot its state was saved last; ours, once it is recovered.
    pub rooms: BTreeMap<u16, Room>,
    /// When the machine wants a tick.
    pub deadline: Option<BootTime>,
}

/// One instance.
#[derive(Default)]
pub(super) struct Room {
    pub process: Option<Held>,
    pub tree: Option<Tree>,
    pub tree_token: Option<Token>,
    pub output: Option<Output>,
    /// What `[ready] log-regex` says, compiled once.
    pub pattern: Option<(String, Arc<LinePattern>)>,
    pub notify: Option<(NotifySocket, Token)>,
    /// What it said there and was not passed on yet.
    pub said: Said,
    pub ids: Option<Ids>,
    /// Read back from the kernel.
    pub protections: Vec<String>,
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

impl Workflow {
    pub(super) fn new(state: State) -> Self {
        Self {
            state,
            rooms: BTreeMap::new(),
            deadline: None,
        }
    }
}
