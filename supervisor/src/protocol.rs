//! What is said over the sockets: agent and supervisor, command line and supervisor. Wire types and framing.
//!
//! A frame is a big-endian `u32` length (at most [`MAX_FRAME`]) and that many bytes of JSON.
//! The agent's socket is a socketpair that the supervisor makes and hands down as the agent's fd 3 (`swarm-agent run` with
//! `SWARM_ROLE=agent` in its environment); the control socket lies in the file system, its peer is known by `SO_PEERCRED`.

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};
use swarm_manifests::{
    bundle::{Health, Install, Limits, PortRange, Ready, Sandbox, Stop, Workdir},
    id::Digest,
    manifest::{Mode, OnLimit, Restart},
    name::Name,
    policy::Ground,
    report::{Event, Measure, Trouble},
    schedule::Schedule,
    status::{Next, Row},
};

pub use crate::frame::{Decoder, FrameError, MAX_FRAME, encode};

/// What runs: everything about one workflow that the supervisor needs, made by the agent from verified bytes.
///
/// Two specs with equal `revision` run the same; the other fields may still differ (commit, restart policy) and are taken over
/// without a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RunSpec {
    pub workflow: Name,
    pub bundle: Name,
    pub version: String,
    pub digest: Digest,
    pub revision: Digest,
    pub origin: Origin,
    pub mode: Mode,
    pub time_limit: Option<Duration>,
    pub on_limit: OnLimit,
    pub instances: u16,
    /// When a `once` runs by itself.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    pub restart: Restart,
    /// The engine's command with entry and args, with every placeholder resolved but `{instance}`, `{state}` and `{bundle}`
    /// (which only the supervisor knows: an install moves the bundle).
    pub command: Vec<String>,
    /// Of bundle and manifest; the same three placeholders may stand in it. The supervisor adds SWARM_*, HOME, TMPDIR, PATH, LANG.
    pub env: BTreeMap<String, String>,
    pub workdir: Workdir,
    pub user: Option<String>,
    pub ports: Vec<PortRange>,
    pub install: Option<InstallSpec>,
    pub ready: Option<Ready>,
    pub health: Option<Health>,
    pub stop: Stop,
    pub limits: Limits,
    pub sandbox: Sandbox,
    /// Variable -> SHA-256 of the encrypted secret: a file with it is laid out before each start, its path stands in the variable.
    /// What is in it came with [`FromAgent::Secret`].
    #[serde(default)]
    pub secrets: BTreeMap<String, Digest>,
    /// What it runs because of, besides the manifest (whose bringer is `origin`) and the bundle.
    #[serde(default)]
    pub grounds: Vec<Ground>,
    /// The stored bundle: `bundle.lock` and the files below `tree/`. The supervisor hashes `tree/` against the lock, and the lock against `digest`, before each start.
    pub store: PathBuf,
}

/// `[install]`, and what its result is kept under besides the digest: engine and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct InstallSpec {
    pub install: Install,
    pub engine: String,
    pub engine_version: String,
}

/// Who put it there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Origin {
    /// None with `local`.
    pub commit: Option<String>,
    pub position: Option<u64>,
    pub by: Option<String>,
    /// Fingerprint.
    pub key: Option<String>,
    pub time: Option<String>,
}

/// What the agent says to the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromAgent {
    /// Run this: a new workflow, a successor of what runs under that name, or the same revision with other particulars.
    /// A successor with another revision replaces what runs once it is installed, and lifts finished, failed, expired, killed (not `--hold`).
    Put(Box<RunSpec>),
    /// A secret of this workflow, decrypted: sealed memory that comes with this frame. Before the `Put` that needs it, anew to each supervisor.
    Secret {
        /// Whose.
        workflow: Name,
        /// SHA-256 of the encrypted secret.
        digest: Digest,
    },
    /// Somebody whose signed request was verified speaks over a socket that comes with this frame, as over the control socket: one
    /// request, of those that [`Request::is_for_afar`] names.
    Speak {
        /// A person of the policy.
        by: String,
        /// The key's fingerprint.
        key: String,
        /// The request's id: one that was followed before is not followed again, whoever hands it over.
        #[serde(default)]
        request: Option<String>,
    },
    /// The manifest is gone: stop the tree, forget the workflow, keep its state folder.
    Remove {
        /// Which.
        workflow: Name,
        /// Who took it away.
        origin: Origin,
        /// In words.
        reason: String,
    },
    /// Something about a successor that may not or cannot run: stands in `next`, or in `state` where nothing runs. None: nothing any more.
    /// The whole set is said anew at each change: a workflow that is not in it has no such thing.
    Standing(Vec<Standing>),
    /// Why the trunk does not move, for whoever asks for a list; none: it does.
    Trouble(Option<Trouble>),
    /// What happened on the agent's side: to the journal.
    Journal(Event),
    /// What each instance uses now, for the agent's metrics. Answer: [`ToAgent::Measured`].
    Measure,
    /// The same in short, for the map. Answer: [`ToAgent::Weighed`].
    Weigh,
    /// Answer, once everything said before it has been acted on and what changed by that was told: [`ToAgent::Marked`].
    Mark(u64),
    /// Trouble and other lines of the box itself, for `status` while the agent is away.
    Answer {
        /// The query's number.
        id: u64,
        /// To be printed (text) or parsed (JSON), as asked.
        body: serde_json::Value,
        /// The exit code of the command.
        exit: u8,
        /// False: more is to come.
        last: bool,
    },
}

/// A workflow that is not, or not yet, as the repository wants it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Standing {
    pub workflow: Name,
    pub bundle: Option<String>,
    pub mode: Option<Mode>,
    pub by: Option<String>,
    pub next: Next,
}

/// What the supervisor says to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToAgent {
    /// First: every workflow there is, and since when journal records are new to this agent.
    Hello {
        /// All of them.
        workflows: Vec<Actual>,
    },
    /// This one is now so; `gone` workflows come with an empty list of rows.
    Changed(Actual),
    /// As it was asked for: every row with what its tree uses, and what it read and wrote.
    Measured {
        /// As `list` has them.
        rows: Vec<Row>,
        /// Where it is known.
        traffic: Vec<Traffic>,
    },
    /// As it was asked for: of every instance that has a main process.
    Weighed(Vec<Measure>),
    /// The mark that was set last: everything said before it has been acted on, and what changed by that stands above.
    Marked(u64),
    /// A journal record was written; the agent hands it on to the map.
    Journaled(Event),
    /// The journal ends with this record: the agent seals that.
    Seal {
        /// Its number.
        sequence: u64,
        /// Its hash, in hexadecimal digits.
        hash: String,
    },
    /// A command that only the agent can answer: `why`, `status`, `sync`, `plan`.
    Query {
        /// To be repeated in the answer.
        id: u64,
        /// What was asked.
        query: Query,
    },
    /// Go away: the supervisor ends, or is replaced.
    Stop,
}

/// What an instance's tree read from and wrote to disks, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Traffic {
    pub workflow: Name,
    pub instance: u16,
    pub read: u64,
    pub written: u64,
}

/// A workflow as it is on this box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Actual {
    pub workflow: Name,
    /// What runs, or ran last.
    pub revision: Option<Digest>,
    /// What was put last, where it has not taken over yet (installing, failed to install).
    pub successor: Option<Digest>,
    /// What each of its versions stands on: what runs or ran last, what is to take over, and what is gone back to.
    #[serde(default)]
    pub footings: Vec<Footing>,
    pub held: bool,
    /// What its `[install]` made: the hash of the sealed copy that it runs from, which is checked before each start.
    #[serde(default)]
    pub installed: Option<Digest>,
    /// Protections that its processes really have, in words, read back from the kernel.
    pub protections: Vec<String>,
    /// A row an instance.
    pub rows: Vec<Row>,
}

/// What a version of a workflow stands on: its manifest (by who brought it), its bundle, and what else it runs because of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Footing {
    pub origin: Origin,
    pub digest: Digest,
    pub grounds: Vec<Ground>,
    /// SHA-256 of each encrypted secret.
    #[serde(default)]
    pub secrets: BTreeSet<Digest>,
}

impl RunSpec {
    /// What it stands on.
    pub fn footing(&self) -> Footing {
        Footing {
            origin: self.origin.clone(),
            digest: self.digest,
            grounds: self.grounds.clone(),
            secrets: self.secrets.values().copied().collect(),
        }
    }
}

/// Commands that the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Query {
    Why {
        workflow: String,
    },
    Status,
    /// `timeout` in milliseconds.
    Sync {
        timeout_ms: u64,
    },
    Plan,
    /// The configuration may have changed: read it again.
    Reload,
}

/// What the command line says to the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Request {
    /// `full`: with what takes longer to find out, that is processor times and protections.
    List {
        full: bool,
    },
    Kill {
        workflow: String,
        reason: Option<String>,
        hold: bool,
    },
    Start {
        workflow: String,
        reason: Option<String>,
    },
    Restart {
        workflow: String,
        reason: Option<String>,
    },
    Logs {
        workflow: String,
        follow: bool,
        lines: Option<usize>,
        since_unix_ms: Option<i64>,
    },
    History {
        workflow: Option<String>,
        verify: bool,
    },
    Purge {
        workflow: String,
    },
    /// Another program takes the supervisor's place, and the agent's; none named: the one that is installed.
    Upgrade {
        binary: Option<PathBuf>,
    },
    /// Handed on to the agent.
    Ask(Query),
}

impl Request {
    /// Whether it may come from somebody who is not on this box.
    pub fn is_for_afar(&self) -> bool {
        matches!(
            self,
            Self::Kill { .. }
                | Self::Start { .. }
                | Self::Restart { .. }
                | Self::Logs { follow: false, .. }
        )
    }
}

/// What comes back; the last one is `Done`, `Failed` or `Busy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time, on its way to a socket"
)]
pub enum Response {
    Rows(Vec<Row>),
    Log(LogLine),
    Record(Event),
    Body(serde_json::Value),
    Done {
        exit: u8,
        message: Option<String>,
    },
    /// There is no room: nothing was done, and it may be asked again.
    Busy,
    /// Exit codes of SPEC §6: 1 failed, 3 no such workflow, 4 not allowed, 5 agent not reachable.
    Failed {
        exit: u8,
        message: String,
        hint: Option<String>,
    },
}

/// One line of a workflow's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LogLine {
    /// RFC 3339 with milliseconds.
    pub time: String,
    pub instance: u16,
    pub stream: Stream,
    /// Without its newline; invalid UTF-8 replaced. As it was printed: who shows it escapes it.
    pub text: String,
}

impl LogLine {
    /// What stands before the text where people read it: time, instance where there are several, stream but for stdout.
    pub fn head(&self, are_several: bool) -> String {
        let stream = match self.stream {
            Stream::Stdout => "",
            Stream::Stderr => " err",
            Stream::Swarm => " --",
        };
        match self.instance {
            instance if are_several => format!("{} /{instance}{stream}", self.time),
            _ => format!("{}{stream}", self.time),
        }
    }
}

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Stream {
    Stdout,
    Stderr,
    /// Our own remarks: started, dropped so many lines.
    Swarm,
}
