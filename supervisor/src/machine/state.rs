//! What is known of one workflow, and is kept over our own death. Pure.

use super::{calendar::Calendar, over::Over};
use crate::{
    protocol::{Origin, RunSpec, Standing},
    time::{BootTime, Wall},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use swarm_manifests::{id::Digest, name::Name, status::LastExit};

/// One workflow with its instances. It is saved, as it is, before anything that it decides is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent of each other, and saved under these names"
)]
pub struct State {
    pub workflow: Name,
    /// What runs, or ran last.
    pub current: Option<Version>,
    /// What was put last, where it has not taken over.
    pub successor: Option<Version>,
    /// The last good version, while the current one has not shown yet that it is good.
    #[serde(default)]
    pub good: Option<Version>,
    /// Some version of it was good: it is never given up.
    #[serde(default)]
    pub proven: bool,
    /// When it runs by itself, where it has a schedule.
    #[serde(default)]
    pub calendar: Option<Calendar>,
    /// What the agent says of something that may not run.
    pub standing: Option<Standing>,
    /// Since when it says so.
    #[serde(default)]
    pub standing_since: Option<Wall>,
    /// A kill stands: nothing starts until `start`, `restart` or a new revision.
    pub killed: bool,
    /// `kill --hold`: new revisions stay killed.
    pub held: bool,
    /// It is being removed.
    pub leaving: bool,
    /// Of `current`, by number; empty where there is none.
    pub instances: Vec<Instance>,
    /// What was over when it was removed, for when the same revision comes back.
    #[serde(default)]
    pub over: Option<Over>,
}

/// A spec and how far its preparation is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Version {
    /// Shared: a state is copied at each of its events.
    pub spec: Arc<RunSpec>,
    pub preparation: Preparation,
    /// It has shown that it is of use: it gives way to nothing older.
    #[serde(default)]
    pub good: bool,
}

/// Whether a version can be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preparation {
    /// It has no `[install]`, or nobody asked for it yet.
    Unasked,
    /// `[install]` runs.
    Installing,
    /// Done; the hash of the result, where there was something to install.
    Done(Option<Digest>),
    /// It may not or cannot run.
    Failed(Trouble),
    /// It did not get ready and gave way to the last good one: until there is a newer.
    Held(Trouble),
}

/// Why something is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Trouble {
    pub reason: String,
    /// Its rule's id.
    pub rule: Option<String>,
    /// False: refused before anything was tried.
    pub tried: bool,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Instance {
    pub number: u16,
    /// Counts the processes that were started for it: what is said of an earlier one is not meant for this one.
    pub run: u64,
    pub phase: Phase,
    /// When what people see changed last.
    pub since: Wall,
    pub reason: Option<String>,
    pub rule: Option<String>,
    /// Starts again, since `start`, `restart` or the new revision.
    pub restarts: u64,
    /// Exits in a row before `settled`, or failed attempts.
    pub streak: u32,
    /// Attempts in a row that ended before it was ready, since this version came.
    #[serde(default)]
    pub attempts: u32,
    /// It was ready since this version came.
    #[serde(default)]
    pub proven: bool,
    /// Its schedule, or a person, wants a run that did not begin yet.
    #[serde(default)]
    pub due: bool,
    pub last_exit: Option<LastExit>,
}

/// A process as the kernel knows it; only together with the boot id does it mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Field 22 of /proc/PID/stat, in clock ticks since boot.
    pub start_time: u64,
}

/// Where an instance is in its life, with what is true there and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing is there; it waits for its siblings to be gone too.
    Vacant,
    /// It starts when `[install]` is done.
    Installing,
    /// A process is being made.
    Starting,
    /// It is made, and on its way to its program: whoever comes after us finds it by this.
    Born(Process),
    /// A process is there.
    Alive(Alive),
    /// The process is asked to go.
    Stopping {
        /// None: the main process is gone already, others of its tree are not.
        process: Option<Process>,
        /// Since when the process ran.
        started: BootTime,
        /// How it is asked.
        step: StopStep,
        /// When it is no longer asked.
        until: BootTime,
        /// What it may put that off to.
        #[serde(default)]
        latest: BootTime,
        /// What comes when the tree is gone.
        then: Then,
    },
    /// The whole tree was killed, and is looked after until it is gone.
    Clearing {
        /// When it is killed once more.
        again: BootTime,
        /// What comes when it is gone.
        then: Then,
    },
    /// It starts again by itself.
    Backoff {
        /// When.
        until: BootTime,
    },
    /// It cannot start, which is not its own fault; it is tried again by itself.
    Blocked {
        /// When.
        until: BootTime,
    },
    /// Nothing is there until its schedule says so.
    Scheduled,
    /// Until `start`, `restart`, a new revision, or its schedule.
    Ended(Ended),
}

/// A process that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Alive {
    pub process: Process,
    pub started: BootTime,
    pub ready: Readiness,
    /// Probes that failed in a row.
    pub failures: u32,
    /// When the next probe is due, where one is asked for.
    pub probe: Option<BootTime>,
    /// How it is, in its own words.
    #[serde(default)]
    pub status: Option<String>,
    /// By when it has to be ready, where it asked for longer than `[ready] timeout`.
    #[serde(default)]
    pub patience: Option<BootTime>,
    /// It ends by itself, as it says.
    #[serde(default)]
    pub going: Option<Going>,
}

/// By when a process that said that it ends has to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Going {
    pub until: BootTime,
    /// What it may put that off to.
    pub latest: BootTime,
}

/// What is known of readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Readiness {
    NotAsked,
    Awaited,
    Ready,
}

/// How a process is asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum StopStep {
    Command,
    Signal,
}

/// What comes when a tree is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// It stays ended.
    End(Ended),
    /// It starts again, after the delay that is its due.
    Again,
    /// It starts again at once, as a person wants it.
    Restart,
    /// The successor takes over, or the workflow is removed.
    Leave,
}

/// Ended for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Ended {
    Finished,
    Failed,
    Expired,
    Killed,
    Interrupted,
    /// It may not run.
    Refused,
}

/// Which trees a state leads to: its revision and how many instances it has. None: to none.
pub type Trail = (Digest, usize);

/// The trail of a state.
pub fn trail(state: &State) -> Option<Trail> {
    let current = state.current.as_ref()?;
    Some((current.spec.revision, state.instances.len()))
}

impl State {
    /// Every version that runs, is to run, or may come back.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        let known = self.current.iter().chain(&self.successor);
        known.chain(&self.good)
    }

    /// A workflow that nothing is known of yet.
    pub fn new(workflow: Name) -> Self {
        Self {
            workflow,
            current: None,
            successor: None,
            good: None,
            proven: false,
            calendar: None,
            standing: None,
            standing_since: None,
            killed: false,
            held: false,
            leaving: false,
            instances: Vec::new(),
            over: None,
        }
    }

    /// Whether no version is known: nothing runs, and nothing waits to.
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.successor.is_none()
    }

    /// Whether nothing is left to be looked after.
    pub fn is_gone(&self) -> bool {
        self.is_empty() && self.standing.is_none()
    }

    /// Whether every instance is at rest without a process: what `kill` waits for.
    pub fn is_still(&self) -> bool {
        self.instances
            .iter()
            .all(|instance| !instance.phase.has_tree())
    }

    /// The version of this revision, be it current or successor.
    pub fn version(&self, revision: &Digest) -> Option<&Version> {
        self.current
            .iter()
            .chain(&self.successor)
            .find(|version| version.spec.revision == *revision)
    }
}

impl Version {
    /// As it was put.
    pub fn new(spec: RunSpec) -> Self {
        Self {
            spec: Arc::new(spec),
            preparation: Preparation::Unasked,
            good: false,
        }
    }

    /// Whether it gave way, or does.
    pub fn is_held(&self) -> bool {
        matches!(self.preparation, Preparation::Held(_))
    }

    /// Whether it was refused before anything was tried.
    pub fn is_refused(&self) -> bool {
        matches!(&self.preparation, Preparation::Failed(trouble) if !trouble.tried)
    }

    /// Whether it may be started now.
    pub fn is_prepared(&self) -> bool {
        self.spec.install.is_none() || matches!(self.preparation, Preparation::Done(_))
    }

    /// Who put it there.
    pub fn origin(&self) -> &Origin {
        &self.spec.origin
    }
}

impl Instance {
    /// One that never ran.
    pub fn new(number: u16, since: Wall) -> Self {
        Self {
            number,
            run: 0,
            phase: Phase::Vacant,
            since,
            reason: None,
            rule: None,
            restarts: 0,
            streak: 0,
            attempts: 0,
            proven: false,
            due: false,
            last_exit: None,
        }
    }
}

impl Phase {
    /// Whether processes of its tree are, or may be, there.
    pub fn has_tree(&self) -> bool {
        matches!(
            self,
            Self::Starting
                | Self::Born(_)
                | Self::Alive(_)
                | Self::Stopping { .. }
                | Self::Clearing { .. }
        )
    }

    /// The main process.
    pub fn process(&self) -> Option<Process> {
        match self {
            Self::Born(process) => Some(*process),
            Self::Alive(alive) => Some(alive.process),
            Self::Stopping { process, .. } => *process,
            _ => None,
        }
    }
}
