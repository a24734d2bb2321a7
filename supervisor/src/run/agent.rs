//! The agent: started as our first child, started again when it ends, believed in nothing but what it may ask for. Touches its process and socket.

mod group;
mod talk;
mod waiting;

use super::{
    Supervisor, given,
    watch::{Source, Token},
};
use crate::{
    frame::{Decoder, encode},
    machine::{self},
    os::{
        clock,
        identity::Pidfd,
        launch::{Launch, Profile},
        pages, spawn,
        tree::Tree,
    },
    protocol::{Query, ToAgent},
    settings::Agent,
    time::BootTime,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};
use swarm_manifests::{
    name::Name,
    report::{self, Trouble},
};

/// So long after a record the journal is sealed with it, and with what came meanwhile.
const SEAL: Duration = Duration::from_secs(5);
/// More than this is not buffered for an agent that does not read, in bytes.
const OUT: usize = 4 << 20;
/// So many journal records wait for an agent that is away; older ones are in the journal only.
const BACKLOG: usize = 10_000;
/// An agent that lived so long may be started again at once.
const SETTLED: Duration = Duration::from_secs(60);
/// So long after the agent was started the start is over.
const START: Duration = Duration::from_secs(5);
const AGAIN_FROM: Duration = Duration::from_millis(100);
const AGAIN_TO: Duration = Duration::from_secs(30);

/// Our end.
pub(super) struct Link {
    socket: Option<(UnixStream, Token)>,
    decoder: Decoder,
    /// Descriptors that came with what is not decoded yet.
    passed: VecDeque<OwnedFd>,
    /// Why the trunk does not move, as the agent said last.
    pub(super) trouble: Option<Trouble>,
    out: Vec<u8>,
    pub(super) child: Option<Child>,
    /// When it is started again.
    pub(super) again: Option<BootTime>,
    /// When everything that a start needs has run: its pages are given back then.
    pub(super) settled: Option<BootTime>,
    /// By when the agent of the program before us has to be gone.
    pub(super) retire: Option<BootTime>,
    deaths: u32,
    /// We end it ourselves, so that it sees what changed: it is started again at once.
    is_refreshed: bool,
    /// Clients whose questions wait until it is there again, and until when.
    waiting: Vec<(BootTime, u64, Query)>,
    backlog: VecDeque<report::Event>,
    /// When it is asked to seal what was journalled.
    pub(super) seal: Option<BootTime>,
    dirty: BTreeSet<Name>,
    /// When it was told last what changed.
    told: Option<BootTime>,
    /// It waits for what follows from what it said up to here.
    mark: Option<u64>,
    /// Whether its socket is watched for room.
    writing: bool,
    /// By the query's number: which client asked, and what.
    queries: BTreeMap<u64, (u64, Query)>,
    next_query: u64,
}

pub(super) struct Child {
    pub pidfd: Pidfd,
    token: Token,
    pid: i32,
    since: BootTime,
    /// What it was given to see, as it was then.
    given: (Vec<std::path::PathBuf>, Vec<given::Identity>),
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            socket: None,
            decoder: Decoder::new(),
            passed: VecDeque::new(),
            trouble: None,
            out: Vec::new(),
            child: None,
            again: None,
            settled: None,
            retire: None,
            deaths: 0,
            is_refreshed: false,
            waiting: Vec::new(),
            backlog: VecDeque::new(),
            seal: None,
            dirty: BTreeSet::new(),
            told: None,
            mark: None,
            writing: false,
            queries: BTreeMap::new(),
            next_query: 1,
        }
    }

    /// The start is over: what only it needed of the program is given back.
    pub(super) fn settle(&mut self, now: BootTime) {
        if self.settled.take_if(|at| *at <= now).is_none() {
            return;
        }
        pages::give_back_heap();
        if let Err(error) = pages::give_back_text() {
            tracing::debug!(%error, "the program's text stays resident");
        }
    }

    /// The agent of the program before us: it was told to go, and ours comes after it.
    pub(super) fn replace(&mut self, pidfd: Pidfd, token: Token, pid: i32, until: BootTime) {
        self.child = Some(Child {
            pidfd,
            token,
            pid,
            since: clock::now(),
            given: (Vec::new(), Vec::new()),
        });
        self.retire = Some(until);
    }

    /// When it is started again; or, while it is there, when it is asked to seal the journal.
    pub(super) fn begins_or_seals(&self) -> Option<BootTime> {
        let seal = self.seal.filter(|_| self.is_there());
        let waiting = self.waiting.iter().map(|(until, ..)| *until);
        self.again.into_iter().chain(seal).chain(waiting).min()
    }

    pub(super) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.child.as_ref().map(|child| child.pid)
    }

    /// A record was written: the agent hands it on to the map.
    pub(super) fn journaled(&mut self, record: report::Event) {
        self.seal.get_or_insert_with(|| clock::now() + SEAL);
        if self.backlog.len() == BACKLOG {
            self.backlog.pop_front();
        }
        self.backlog.push_back(record);
    }

    /// Into the buffer.
    pub(super) fn say(&mut self, message: &ToAgent) {
        if self.socket.is_some() {
            self.out.extend(encode(message));
        }
    }

    /// As much as the socket takes. `false`: the agent is gone.
    pub(super) fn flush(&mut self) -> bool {
        let Some((socket, _)) = &mut self.socket else {
            return true;
        };
        while !self.out.is_empty() {
            match socket.write(&self.out) {
                Ok(0) => return false,
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        // What was much once must not cost its memory for ever.
        self.out = Vec::new();
        true
    }
}

impl Supervisor {
    /// Starts the agent, or takes the socket that was given.
    pub(super) fn start_agent(&mut self) {
        self.agent.again = None;
        self.agent.settled = Some(clock::now() + START);
        let started = match self.settings.agent.clone() {
            Agent::None => return,
            Agent::Socket(socket) => {
                // It is there once: who holds the other end does not come again.
                self.settings.agent = Agent::None;
                socket.try_clone().map_err(|error| error.to_string())
            }
            Agent::Command { argv, env, given } => self.spawn_agent(argv, env, &given),
        };
        let connected = started.and_then(|socket| {
            socket
                .set_nonblocking(true)
                .map_err(|error| error.to_string())?;
            let token = self
                .watch
                .read(socket.as_fd(), Source::Agent)
                .map_err(|error| error.to_string())?;
            self.agent.socket = Some((socket, token));
            self.agent.writing = false;
            Ok(())
        });
        if let Err(reason) = connected {
            tracing::error!(reason, "the agent could not be started");
            return self.agent_later();
        }
        let names: Vec<Name> = self.workflows.keys().cloned().collect();
        let workflows = names.iter().filter_map(|name| self.actual(name)).collect();
        self.agent.say(&ToAgent::Hello { workflows });
        // What the kernel says of their processes follows.
        self.agent.dirty.extend(names);
        for (_, client, query) in std::mem::take(&mut self.agent.waiting) {
            self.ask_agent(client, query);
        }
    }

    fn spawn_agent(
        &mut self,
        argv: Vec<std::ffi::OsString>,
        env: BTreeMap<std::ffi::OsString, std::ffi::OsString>,
        given: &[std::path::PathBuf],
    ) -> Result<UnixStream, String> {
        let text = |error: io::Error| error.to_string();
        self.agent_folders().map_err(text)?;
        let (ours, theirs) = UnixStream::pair().map_err(text)?;
        let mut env = env;
        env.insert("SWARM_ROLE".into(), "agent".into());
        let mut user = self.users.agent.clone();
        let mut write = ["agent", "store"]
            .map(|name| self.settings.state.join(name))
            .to_vec();
        self.give_indexers(&mut env, &mut user, &mut write);
        let terminal = || io::stderr().as_fd().try_clone_to_owned();
        // Without a user of its own it sees every path as it is.
        let paths = if self.users.agent.is_some() {
            given.to_vec()
        } else {
            Vec::new()
        };
        let seen = (paths.clone(), given::identities(&paths));
        let given = self.users.agent.as_ref().map_or_else(
            || Ok(given::Given::default()),
            |ids| given::hand_over(&self.settings.state, ids, given),
        );
        let given = given.map_err(text)?;
        let group = self.agent_group();
        let launch = Launch {
            profile: Profile::Agent,
            argv,
            env,
            workdir: "/".into(),
            user,
            stdout: terminal().map_err(text)?,
            stderr: terminal().map_err(text)?,
            extra: Some(OwnedFd::from(theirs)),
            cgroup: group.as_ref().and_then(Tree::cgroup).map(Path::to_owned),
            limits: swarm_manifests::bundle::Limits::default(),
            sandbox: swarm_manifests::bundle::Sandbox::default(),
            read: given.read,
            write,
            stand_ins: given.stand_ins,
            hide: Vec::new(),
            join: None,
        };
        let child = spawn::spawn(launch).map_err(|error| error.to_string())?;
        let token = self
            .watch
            .read(child.pidfd.as_fd(), Source::AgentExit)
            .map_err(text)?;
        self.agent.child = Some(Child {
            pidfd: child.pidfd,
            token,
            pid: child.pid,
            since: clock::now(),
            given: seen,
        });
        Ok(ours)
    }

    /// `agent/` for itself, `store/` for the bundles that it verified, which workflows may pass through.
    fn agent_folders(&self) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        for (name, mode) in [("agent", 0o700), ("store", 0o755)] {
            let folder = self.settings.state.join(name);
            std::fs::create_dir_all(&folder)?;
            if let Some(ids) = &self.users.agent {
                std::os::unix::fs::lchown(&folder, Some(ids.uid), Some(ids.gid))?;
            }
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }

    fn agent_gone(&mut self, reason: &str) {
        if let Some((socket, token)) = self.agent.socket.take() {
            tracing::warn!(reason, "the agent is gone; workflows are not concerned");
            self.watch.remove(token, socket.as_fd());
        }
        self.agent.decoder = Decoder::new();
        self.agent.mark = None;
        self.agent.passed.clear();
        self.agent.out.clear();
        for (client, query) in std::mem::take(&mut self.agent.queries).into_values() {
            self.agent_is_away(client, &query, "the agent ended before it answered");
        }
        if let Some(child) = &self.agent.child {
            let _ = child.pidfd.signal(libc::SIGKILL);
        }
    }

    pub(super) fn agent_exited(&mut self) {
        let Some(child) = self.agent.child.take() else {
            return;
        };
        match child.pidfd.wait() {
            Ok(None) => {
                self.agent.child = Some(child);
                return;
            }
            Ok(Some(_)) if self.agent.is_refreshed => {
                tracing::info!("the agent is started again, to see its configuration as it is now");
            }
            Ok(Some(exit)) => tracing::warn!(
                exit = machine::in_words(&exit),
                "the agent ended; it is started again"
            ),
            Err(error) => tracing::warn!(%error, "the agent ended; it is started again"),
        }
        self.watch.remove(child.token, child.pidfd.as_fd());
        self.clear_agents();
        if self.agent.retire.take().is_some() {
            return self.start_agent();
        }
        self.agent_gone("it ended");
        if std::mem::take(&mut self.agent.is_refreshed) {
            return self.start_agent();
        }
        if clock::now().since(child.since) >= SETTLED {
            self.agent.deaths = 0;
        }
        self.agent_later();
    }

    /// The agent of the program before us did not go.
    pub(super) fn retire_agent(&mut self, now: BootTime) {
        if self.agent.retire.is_some_and(|until| until <= now)
            && let Some(child) = &self.agent.child
        {
            // Its end is heard like any other.
            let _ = child.pidfd.signal(libc::SIGKILL);
            self.agent.retire = Some(now + START);
        }
    }

    fn agent_later(&mut self) {
        let wait = AGAIN_FROM
            .saturating_mul(1 << self.agent.deaths.min(10))
            .min(AGAIN_TO);
        self.agent.deaths += 1;
        self.agent.again = Some(clock::now() + wait);
    }
}
