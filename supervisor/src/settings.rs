//! What the supervisor has to know of its box. Pure: values only.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};
use swarm_manifests::{policy::Ceiling, settings::Logs};

/// A box, as its supervisor sees it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name.
    pub box_name: String,
    /// Everything that is kept lies below it: `supervisor/` is ours, `agent/` and `store/` the agent's, `workflows/` the workflows'.
    pub state: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// What no workflow here may exceed.
    pub ceiling: Ceiling,
    /// Where that is read from anew, and how, when we are told that the configuration changed.
    pub ceiling_file: Option<(PathBuf, ReadCeiling)>,
    /// Whether each workflow runs as a user of its own; only root can.
    pub switch_users: bool,
    /// The user ids for that, both included.
    pub users: (u32, u32),
    /// Whom the agent runs as; none: `swarm` where there is such a user, else the first id of the range.
    pub agent_user: Option<String>,
    /// How long the state folder of a removed workflow is kept.
    pub keep_state: Duration,
    /// Where lines of logs go besides.
    pub logs: Option<Logs>,
    /// What becomes of the workflows when the supervisor is told to end.
    pub on_exit: OnExit,
    /// The agent.
    pub agent: Agent,
    /// The cgroup of the unit that holds the workflows, below the cgroup2 mount; none: theirs are made at the top, or beside ours.
    pub holder: Option<PathBuf>,
}

/// Reads the ceiling from the box's configuration; the error in words.
pub type ReadCeiling = fn(&std::path::Path) -> Result<Ceiling, String>;

/// What becomes of the workflows when the supervisor is told to end (SIGTERM, SIGINT).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnExit {
    /// They run on, and the next supervisor finds them: as `systemctl restart` of the agent wants it.
    #[default]
    Leave,
    /// They are stopped: for `local`, `demo` and tests, or with `SWARM_ON_EXIT=stop`.
    Stop,
}

/// How the agent is reached.
#[derive(Debug, Clone)]
pub enum Agent {
    /// It is started as a child, with its end of the socket as fd 3 and `SWARM_ROLE=agent`, and started again when it ends.
    Command {
        /// Program and arguments; usually `/proc/self/exe run --config FILE`.
        argv: Vec<OsString>,
        /// Its environment, besides `SWARM_ROLE`.
        env: BTreeMap<OsString, OsString>,
        /// Files and folders of its configuration that it has to read wherever they lie. A file that its user may not read is
        /// handed over as a copy of its own, in the same place (as with systemd's `LoadCredential=`).
        given: Vec<PathBuf>,
    },
    /// Somebody else holds the other end, such as a test.
    Socket(std::sync::Arc<std::os::unix::net::UnixStream>),
    /// There is none.
    None,
}
