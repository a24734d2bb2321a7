//! The agent: started as our first child, started again when it ends, believed in nothing but what it may ask for. Touches its process and socket.

use super::{
    Supervisor, given,
    watch::{Source, Token},
};
use crate::{
    ceiling,
    frame::{Decoder, encode},
    machine::{self, Event, Sync},
    os::{
        clock,
        identity::Pidfd,
        launch::{Launch, Profile},
        spawn,
    },
    protocol::{Actual, FromAgent, Query, Response, Standing, ToAgent},
    settings::Agent,
    time::BootTime,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};
use swarm_manifests::{name::Name, report};

/// More than this is not buffered for an agent that does not read, in bytes.
const OUT: usize = 4 << 20;
/// So many journal records wait for an agent that is away; older ones are in the journal only.
const BACKLOG: usize = 10_000;
/// An agent that lived so long may be started again at once.
const SETTLED: Duration = Duration::from_secs(60);
const AGAIN_FROM: Duration = Duration::from_millis(100);
const AGAIN_TO: Duration = Duration::from_secs(30);

/// Our end.
pub(super) struct Link {
    socket: Option<(UnixStream, Token)>,
    decoder: Decoder,
    out: Vec<u8>,
    pub(super) child: Option<Child>,
    /// When it is started again.
    pub(super) again: Option<BootTime>,
    deaths: u32,
    backlog: VecDeque<report::Event>,
    dirty: BTreeSet<Name>,
    /// Who asked: the query's number and the client.
    queries: BTreeMap<u64, u64>,
    next_query: u64,
}

pub(super) struct Child {
    pub pidfd: Pidfd,
    token: Token,
    pid: i32,
    since: BootTime,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            socket: None,
            decoder: Decoder::new(),
            out: Vec::new(),
            child: None,
            again: None,
            deaths: 0,
            backlog: VecDeque::new(),
            dirty: BTreeSet::new(),
            queries: BTreeMap::new(),
            next_query: 1,
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn pid(&self) -> Option<i32> {
        self.child.as_ref().map(|child| child.pid)
    }

    /// A record was written: the agent hands it on to the map.
    pub(super) fn journaled(&mut self, record: report::Event) {
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
        true
    }
}

impl Supervisor {
    /// Starts the agent, or takes the socket that was given.
    pub(super) fn start_agent(&mut self) {
        self.agent.again = None;
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
            Ok(())
        });
        if let Err(reason) = connected {
            tracing::error!(reason, "the agent could not be started");
            return self.agent_later();
        }
        let workflows = self
            .workflows
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .iter()
            .filter_map(|name| self.actual(name))
            .collect();
        self.agent.dirty.clear();
        self.agent.say(&ToAgent::Hello { workflows });
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
        let terminal = || io::stderr().as_fd().try_clone_to_owned();
        let given = self.users.agent.as_ref().map_or_else(
            || Ok(given::Given::default()),
            |ids| given::hand_over(&self.settings.state, ids, given),
        );
        let given = given.map_err(text)?;
        let launch = Launch {
            profile: Profile::Agent,
            argv,
            env,
            workdir: "/".into(),
            user: self.users.agent.clone(),
            stdout: terminal().map_err(text)?,
            stderr: terminal().map_err(text)?,
            extra: Some(OwnedFd::from(theirs)),
            cgroup: None,
            limits: swarm_manifests::bundle::Limits::default(),
            sandbox: swarm_manifests::bundle::Sandbox::default(),
            read: given.read,
            write: ["agent", "store"]
                .map(|name| self.settings.state.join(name))
                .into(),
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

    /// Bytes came, or room for ours.
    pub(super) fn agent_ready(&mut self) {
        let mut buffer = vec![0; 256 << 10];
        let Some((socket, _)) = &mut self.agent.socket else {
            return;
        };
        match socket.read(&mut buffer) {
            Ok(0) => return self.agent_gone("it closed its socket"),
            Ok(count) => self.agent.decoder.push(&buffer[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return self.agent_gone(&error.to_string()),
        }
        loop {
            match self.agent.decoder.next_frame::<FromAgent>() {
                Ok(Some(message)) => self.hear(message),
                Ok(None) => break,
                Err(error) => return self.agent_gone(&error.to_string()),
            }
        }
    }

    fn hear(&mut self, message: FromAgent) {
        match message {
            FromAgent::Put(mut spec) => {
                spec.instances = spec.instances.max(1);
                let name = spec.workflow.clone();
                let event = match ceiling::apply((*spec).clone(), &self.settings.ceiling) {
                    Ok(spec) => Event::Put(Box::new(spec)),
                    Err(trouble) => Event::Forbidden(spec, trouble),
                };
                self.queue.push_back((name, event));
            }
            FromAgent::Remove {
                workflow,
                origin,
                reason,
            } => {
                if self.workflows.contains_key(&workflow) {
                    self.queue
                        .push_back((workflow, Event::Remove { origin, reason }));
                }
            }
            FromAgent::Standing(standings) => self.stand(standings),
            FromAgent::Journal(record) => {
                let sync = if record.action == "trust" {
                    Sync::Now
                } else {
                    Sync::Soon
                };
                self.record(record, sync);
            }
            FromAgent::Answer {
                id,
                body,
                exit,
                last,
            } => self.answered(id, body, exit, last),
        }
    }

    /// The whole set: who is not in it stands no more.
    fn stand(&mut self, standings: Vec<Standing>) {
        let named: BTreeMap<Name, Standing> = standings
            .into_iter()
            .map(|s| (s.workflow.clone(), s))
            .collect();
        let before = self
            .workflows
            .iter()
            .filter(|(name, w)| w.state.standing.is_some() && !named.contains_key(*name));
        let gone: Vec<Name> = before.map(|(name, _)| name.clone()).collect();
        for name in gone {
            self.queue.push_back((name, Event::Standing(None)));
        }
        for (name, standing) in named {
            let same = self
                .workflows
                .get(&name)
                .is_some_and(|w| w.state.standing.as_ref() == Some(&standing));
            if !same {
                self.queue
                    .push_back((name, Event::Standing(Some(standing))));
            }
        }
    }

    /// A query for the agent. `false`: it is away.
    pub(crate) fn ask_agent(&mut self, client: u64, query: Query) -> bool {
        if !self.agent.is_there() {
            return false;
        }
        let id = self.agent.next_query;
        self.agent.next_query += 1;
        self.agent.queries.insert(id, client);
        self.agent.say(&ToAgent::Query { id, query });
        true
    }

    pub(super) fn ask_agent_to_reload(&mut self) {
        let id = self.agent.next_query;
        self.agent.next_query += 1;
        self.agent.say(&ToAgent::Query {
            id,
            query: Query::Reload,
        });
    }

    fn answered(&mut self, id: u64, body: serde_json::Value, exit: u8, last: bool) {
        let client = if last {
            self.agent.queries.remove(&id)
        } else {
            self.agent.queries.get(&id).copied()
        };
        let Some(client) = client else { return };
        if !body.is_null() {
            self.control.say(client, &Response::Body(body));
        }
        if last {
            self.control.say(
                client,
                &Response::Done {
                    exit,
                    message: None,
                },
            );
        }
    }

    /// What the agent has not heard yet goes out, as far as it listens.
    pub(super) fn publish(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        if !self.agent.is_there() {
            return;
        }
        self.agent.dirty.extend(changed);
        while self.agent.out.len() < OUT {
            let Some(name) = self.agent.dirty.pop_first() else {
                break;
            };
            let actual = self.actual(&name).unwrap_or_else(|| gone(name));
            self.agent.say(&ToAgent::Changed(actual));
        }
        while self.agent.out.len() < OUT {
            let Some(record) = self.agent.backlog.pop_front() else {
                break;
            };
            self.agent.say(&ToAgent::Journaled(record));
        }
        if !self.agent.flush() {
            return self.agent_gone("it does not listen any more");
        }
        let waiting = !self.agent.out.is_empty();
        if let Some((socket, token)) = &self.agent.socket
            && let Err(error) = self.watch.writing(*token, socket.as_fd(), waiting)
        {
            tracing::error!(%error, "the agent's socket cannot be watched");
        }
    }

    /// A workflow as the agent and `list` see it.
    pub(crate) fn actual(&self, name: &Name) -> Option<Actual> {
        let workflow = self.workflows.get(name)?;
        let protections = workflow
            .rooms
            .values()
            .find(|room| room.process.is_some())
            .map(|room| room.protections.clone());
        Some(machine::actual(
            &workflow.state,
            &self.settings.box_name,
            clock::now(),
            |_| machine::Usage::default(),
            protections.unwrap_or_default(),
        ))
    }

    fn agent_gone(&mut self, reason: &str) {
        if let Some((socket, token)) = self.agent.socket.take() {
            tracing::warn!(reason, "the agent is gone; workflows are not concerned");
            self.watch.remove(token, socket.as_fd());
        }
        self.agent.decoder = Decoder::new();
        self.agent.out.clear();
        for (_, client) in std::mem::take(&mut self.agent.queries) {
            self.control.fail(
                client,
                5,
                "the agent ended before it answered",
                Some("it is started again by itself; try again"),
            );
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
            Ok(Some(exit)) => tracing::warn!(
                exit = machine::in_words(&exit),
                "the agent ended; it is started again"
            ),
            Err(error) => tracing::warn!(%error, "the agent ended; it is started again"),
        }
        self.watch.remove(child.token, child.pidfd.as_fd());
        self.agent_gone("it ended");
        if clock::now().since(child.since) >= SETTLED {
            self.agent.deaths = 0;
        }
        self.agent_later();
    }

    fn agent_later(&mut self) {
        let wait = AGAIN_FROM
            .saturating_mul(1 << self.agent.deaths.min(10))
            .min(AGAIN_TO);
        self.agent.deaths += 1;
        self.agent.again = Some(clock::now() + wait);
    }
}

fn gone(workflow: Name) -> Actual {
    Actual {
        workflow,
        revision: None,
        successor: None,
        origin: None,
        held: false,
        protections: Vec::new(),
        rows: Vec::new(),
    }
}
