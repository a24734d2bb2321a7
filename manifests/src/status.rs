//! The state of a workflow on a box, as `list --json` prints it (SPEC §5, §6). Pure.

use serde::{Deserialize, Serialize};

/// Where an instance of a workflow is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum State {
    Waiting,
    Fetching,
    Installing,
    Starting,
    Running,
    Ready,
    Backoff,
    Stopping,
    Finished,
    Failed,
    Expired,
    Killed,
    Interrupted,
    Refused,
    Blocked,
}

impl State {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Fetching => "fetching",
            Self::Installing => "installing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Killed => "killed",
            Self::Interrupted => "interrupted",
            Self::Refused => "refused",
            Self::Blocked => "blocked",
        }
    }

    /// Whether a process exists in this state.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Ready | Self::Stopping)
    }
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LastExit {
    /// By itself.
    Code {
        /// Its exit code.
        code: i32,
    },
    /// By a signal, `SIGKILL`.
    Signal {
        /// The signal's name.
        signal: String,
    },
    /// It ended while nobody looked, and the kernel no longer knows how: `{"seen": false}`.
    Unseen {
        /// Always false.
        seen: bool,
    },
}

/// A successor that may not or cannot run yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Next {
    pub version: Option<String>,
    pub commit: Option<String>,
    pub state: State,
    pub reason: String,
    pub rule: Option<String>,
}

/// Lines that a log, or who takes it besides, does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Dropped {
    /// Because they came too fast, or the disk is full: since the supervisor or this instance began.
    pub lines: u64,
    pub bytes: u64,
    /// Lines that journald or syslog did not take.
    pub unforwarded: u64,
}

/// One row of `list`: an instance of a workflow on a box. Absent values are null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Row {
    #[serde(rename = "box")]
    pub box_name: String,
    pub workflow: String,
    pub bundle: Option<String>,
    pub version: Option<String>,
    pub digest: Option<String>,
    pub mode: Option<String>,
    pub state: State,
    pub reason: Option<String>,
    pub rule: Option<String>,
    /// RFC 3339.
    pub since: Option<String>,
    pub pid: Option<i32>,
    pub instance: u16,
    pub restarts: u64,
    pub up_s: Option<f64>,
    pub time_left_s: Option<f64>,
    pub last_exit: Option<LastExit>,
    pub memory_bytes: Option<u64>,
    pub cpu_s: Option<f64>,
    pub commit: Option<String>,
    pub by: Option<String>,
    pub next: Option<Next>,
    /// When its schedule runs it next, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<String>,
    /// What its log lacks, where anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// What the kernel says of its process, in words, and what it was asked to enforce and does not; where somebody asked.
    #[serde(default)]
    pub protections: Vec<String>,
}
