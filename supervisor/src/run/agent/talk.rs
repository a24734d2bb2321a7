//! What agent and supervisor say to each other: orders and answers come in, what changed and what is asked goes out. Touches their socket.

use super::{super::Supervisor, OUT, START};
use crate::{
    ceiling,
    control::Person,
    machine::{self, Event, Sync},
    os::{clock, pass, protections},
    protocol::{Actual, FromAgent, Query, Response, Standing, ToAgent},
    time::BootTime,
};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::AsFd as _,
    time::Duration,
};
use swarm_manifests::name::Name;

/// Between two tellings of what changed.
const PACE: Duration = Duration::from_millis(20);
/// The same while processes are being started: they come first.
const START_PACE: Duration = Duration::from_millis(500);
/// So many bytes are read at once.
const READ: usize = 64 << 10;
/// So many descriptors may have come with what is not decoded yet.
const PASSED: usize = 512;
/// More records than this at once are much.
const MANY: usize = 64;
/// So many workflows in one telling.
const PORTION: usize = 64;

impl Supervisor {
    /// Bytes came, or room for ours.
    pub(crate) fn agent_ready(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(READ, 0);
        let Some((socket, _)) = &mut self.agent.socket else {
            return;
        };
        let read = pass::receive(socket, &mut buffer, &mut self.agent.passed);
        if let Ok(count) = read {
            self.agent.decoder.push(&buffer[..count]);
        }
        self.buffer = buffer;
        match read {
            Ok(0) => return self.agent_gone("it closed its socket"),
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return self.agent_gone(&error.to_string()),
        }
        if self.agent.passed.len() > PASSED {
            return self.agent_gone("it hands over more than it says");
        }
        loop {
            match self.agent.decoder.next_frame::<FromAgent>() {
                Ok(Some(message)) => {
                    if let Err(reason) = self.hear(message) {
                        return self.agent_gone(&reason);
                    }
                }
                Ok(None) => break,
                Err(error) => return self.agent_gone(&error.to_string()),
            }
        }
    }

    /// Errors: it is not to be listened to any more.
    fn hear(&mut self, message: FromAgent) -> Result<(), String> {
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
            FromAgent::Secret { workflow, digest } => {
                let memory = self.agent.passed.pop_front();
                let memory = memory.ok_or("it announced a secret and handed none over")?;
                self.keep_secret(workflow, digest, memory)
                    .map_err(|error| error.to_string())?;
            }
            FromAgent::Speak {
                by: name,
                key,
                request,
            } => {
                let socket = self.agent.passed.pop_front();
                let socket = socket.ok_or("it announced somebody and handed no socket over")?;
                self.let_speak(Person { name, key, request }, socket)
                    .map_err(|error| error.to_string())?;
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
            FromAgent::Trouble(trouble) => self.agent.trouble = trouble,
            FromAgent::Journal(record) => {
                let sync = if record.action == "trust" {
                    Sync::Now
                } else {
                    Sync::Soon
                };
                self.record(record, sync);
            }
            FromAgent::Measure => {
                let (rows, traffic) = (self.rows(&self.names(), true), self.traffic());
                self.agent.say(&ToAgent::Measured { rows, traffic });
            }
            FromAgent::Weigh => {
                let measures = self.measures();
                self.agent.say(&ToAgent::Weighed(measures));
            }
            FromAgent::Mark(mark) => self.agent.mark = Some(mark),
            FromAgent::Answer {
                id,
                body,
                exit,
                last,
            } => self.answered(id, body, exit, last),
        }
        Ok(())
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
        // It answers from what it was told.
        self.tell_agent(usize::MAX);
        let id = self.agent.next_query;
        self.agent.next_query += 1;
        self.agent.queries.insert(id, (client, query.clone()));
        self.agent.say(&ToAgent::Query { id, query });
        true
    }

    pub(crate) fn ask_agent_to_reload(&mut self) {
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
            self.agent.queries.get(&id).cloned()
        };
        let Some((client, _)) = client else { return };
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

    /// When the agent is to be told what changed. Not at once: a workflow that starts again and again would keep both of us busy.
    pub(crate) fn publish_by(&self) -> Option<BootTime> {
        let link = &self.agent;
        let news = !self.changed.is_empty() || !link.dirty.is_empty() || !link.backlog.is_empty();
        let pace = if self.births.is_empty() {
            PACE
        } else {
            START_PACE
        };
        (news && link.is_there() && link.out.len() < OUT)
            .then(|| link.told.map_or_else(clock::now, |told| told + pace))
    }

    /// The agent seals what was journalled.
    fn seal_due(&mut self, now: BootTime) {
        if self.agent.seal.is_some_and(|at| at <= now) && self.agent.is_there() {
            if !self.journal.is_synced() {
                // A power cut must not take what is sealed.
                self.agent.seal = Some(now + PACE * 5);
                return;
            }
            self.agent.seal = None;
            let (sequence, hash) = self.journal.head();
            let hash = hash.to_owned();
            self.agent.say(&ToAgent::Seal { sequence, hash });
        }
    }

    /// What the agent has not heard yet goes out, as far as it is time and it listens.
    pub(crate) fn publish(&mut self) {
        self.seal_due(clock::now());
        if self.publish_by().is_some_and(|by| by <= clock::now()) {
            self.tell_agent(PORTION);
        }
        self.reach_mark();
        if !self.agent.flush() {
            return self.agent_gone("it does not listen any more");
        }
        let waiting = !self.agent.out.is_empty();
        if waiting != self.agent.writing
            && let Some((socket, token)) = &self.agent.socket
        {
            match self.watch.writing(*token, socket.as_fd(), waiting) {
                Ok(()) => self.agent.writing = waiting,
                Err(error) => tracing::error!(%error, "the agent's socket cannot be watched"),
            }
        }
    }

    /// Whoever set a mark waits for no pace.
    fn reach_mark(&mut self) {
        if self.agent.mark.is_none() || !self.queue.is_empty() || self.agent.out.len() >= OUT {
            return;
        }
        self.tell_agent(usize::MAX);
        if self.agent.dirty.is_empty()
            && let Some(mark) = self.agent.mark.take()
        {
            self.agent.say(&ToAgent::Marked(mark));
        }
    }

    /// So many of the workflows that changed, and what was journalled.
    fn tell_agent(&mut self, most: usize) {
        self.agent.told = Some(clock::now());
        self.agent.dirty.append(&mut self.changed);
        for _ in 0..most {
            if self.agent.out.len() >= OUT {
                return;
            }
            let Some(name) = self.agent.dirty.pop_first() else {
                break;
            };
            self.read_protections(&name);
            let actual = self.actual(&name).unwrap_or_else(|| gone(name));
            self.agent.say(&ToAgent::Changed(actual));
        }
        while self.agent.out.len() < OUT {
            let Some(record) = self.agent.backlog.pop_front() else {
                break;
            };
            self.agent.say(&ToAgent::Journaled(record));
        }
        let backlog = &mut self.agent.backlog;
        if backlog.is_empty() && backlog.capacity() > MANY {
            // The place of a thousand records is a megabyte; and much has happened that needed more for a while.
            *backlog = VecDeque::new();
            let later = || clock::now() + START;
            self.agent.settled.get_or_insert_with(later);
        }
    }

    /// A workflow as the agent and `list` see it.
    pub(crate) fn actual(&self, name: &Name) -> Option<Actual> {
        let workflow = self.workflows.get(name)?;
        let protections = workflow
            .rooms
            .values()
            .find(|room| room.process.is_some())
            .map(|room| room.protections());
        let mut actual = machine::actual(
            &workflow.state,
            &self.settings.box_name,
            clock::now(),
            |_| machine::Usage::default(),
            protections.unwrap_or_default(),
        );
        for row in &mut actual.rows {
            row.dropped = self.dropped(workflow, row.instance);
        }
        Some(actual)
    }

    /// What logs lack grows without anything else happening: whoever asks why is told how much it is now.
    pub(crate) fn tell_dropped(&mut self, workflow: &str) {
        let name = Name::new(workflow).ok();
        let actual = name.and_then(|name| self.actual(&name));
        let lacks = |actual: &Actual| actual.rows.iter().any(|row| row.dropped.is_some());
        if let Some(actual) = actual.filter(lacks) {
            self.agent.say(&ToAgent::Changed(actual));
        }
    }

    /// Asks the kernel about the processes of a workflow, of which it was not asked yet.
    pub(crate) fn read_protections(&mut self, name: &Name) {
        let rooms = self.workflows.get_mut(name).map(|w| w.rooms.values_mut());
        for room in rooms.into_iter().flatten() {
            if let (Some(held), None, None) = (&room.process, &room.birth, &room.protections) {
                room.protections = Some(protections::read_back(held.pid));
            }
        }
    }
}

fn gone(workflow: Name) -> Actual {
    Actual {
        workflow,
        revision: None,
        successor: None,
        footings: Vec::new(),
        held: false,
        installed: None,
        protections: Vec::new(),
        rows: Vec::new(),
    }
}
