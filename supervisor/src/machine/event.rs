//! What a machine is told, and what it wants done. Pure.

use super::{
    calendar::NextRun,
    state::{Process, Trouble},
};
use crate::{
    protocol::{Origin, RunSpec, Standing},
    time::{BootTime, Wall},
};
use std::time::Duration;
use swarm_manifests::{id::Digest, report, status::LastExit};

/// The moment of a step: both clocks, and the dice, which are thrown outside.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Now {
    pub boot: BootTime,
    pub wall: Wall,
    /// Any number, for jitter.
    pub dice: u32,
}

/// Who wants something, locally or through a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Order {
    /// `uid 1000 (ann)`, or a person of the policy.
    pub by: String,
    /// The fingerprint of their key, where it came as a signed request.
    pub key: Option<String>,
    pub reason: Option<String>,
    /// That request's id.
    pub request: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The agent wants this to run.
    Put(Box<RunSpec>),
    /// The agent wants this, and the box's own ceiling or users forbid it.
    Forbidden(Box<RunSpec>, Trouble),
    /// The box's own ceiling was held anew against a revision that is known already.
    Judged(Digest, Result<(), Trouble>),
    /// The manifest is gone.
    Remove {
        /// Who took it away.
        origin: Origin,
        /// In words.
        reason: String,
    },
    /// What the agent says of something that may not run.
    Standing(Option<Standing>),
    /// `kill`; with `hold` new revisions stay killed.
    Kill(Order, bool),
    /// `start`
    Start(Order),
    /// `restart`
    Restart(Order),
    /// `[install]` of this revision is done; the result's hash.
    Installed(Digest, Digest),
    /// `[install]` of this revision ended with an error.
    InstallFailed(Digest, Trouble),
    /// Of one instance's process; the number is its run.
    Instance(u16, u64, Change),
    /// We, or the box, started again: how each instance was found.
    Recovered(Vec<Survivor>),
    /// What its schedule says of the next run.
    NextRun(NextRun),
    /// The time of the next run has come.
    Due,
    /// Somebody set the clock.
    ClockSet,
    /// Time passed.
    Tick,
}

/// What happened to one process.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is made, and on its way to its program.
    Born(Process),
    /// It executes.
    Started(Process),
    /// It could not be started; `true`: which is not its own fault, and may pass (a port, the disk).
    StartFailed(Trouble, bool),
    /// The main process ended. It may be that others of its tree did not.
    Exited(LastExit),
    /// The same, and it was the kernel that killed it because its tree was over the memory limit.
    Starved(LastExit),
    /// No process of its tree is left.
    TreeGone,
    /// The probe, its notification or its output says that it is ready.
    Ready,
    /// A probe succeeded, or failed and why.
    Probed(Result<(), String>),
    /// It says how it is, for people (`STATUS=`).
    Status(String),
    /// It says that it ends by itself (`STOPPING=1`).
    Going,
    /// It asks for so long from now for what it is at, its start or its end (`EXTEND_TIMEOUT_USEC=`).
    Extend(Duration),
    /// Its stop command ended; `false`: with an error.
    StopCommandDone(bool),
}

/// How an instance was found after we or the box started again.
#[derive(Debug, Clone, PartialEq)]
pub enum Survivor {
    /// The box was rebooted.
    Rebooted,
    /// The main process lives.
    Alive(Process),
    /// The main process is gone; `true`: others of its tree are, or may be, there.
    Gone(LastExit, bool),
}

/// When a journal record must be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before what follows is done.
    Now,
    /// Within 100 ms.
    Soon,
}

/// What to do, in this order, after the state was saved.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Effect {
    /// Write this down; sequence and time are filled in there.
    Journal(Box<report::Event>, Sync),
    /// Run `[install]` of this revision, or find its result. Answer: `Installed` or `InstallFailed`.
    Install(Digest),
    /// Its result is not wanted any more.
    CancelInstall(Digest),
    /// Start the process of `current`. Answer: `Born`, and then or at once `Started` or `StartFailed`.
    Spawn { instance: u16, run: u64 },
    /// Ask the program whether it is well. Answer: `Ready`, `Probed`.
    Probe { instance: u16, run: u64 },
    /// Run `[stop] command`. Answer: `StopCommandDone`.
    StopCommand { instance: u16, run: u64 },
    /// Send `[stop] signal` to the tree.
    Signal { instance: u16, run: u64 },
    /// Kill the tree, and a start under way. Answer: `TreeGone`.
    KillTree { instance: u16, run: u64 },
    /// The workflow is gone: forget it, keep its state folder.
    Forget,
}
