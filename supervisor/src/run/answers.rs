//! Requests of the control socket are answered: orders go to the machines, questions to what is known here or to the agent.

use super::{Supervisor, room::Workflow, watch::Source};
use crate::{
    control::{Feed, Goal},
    machine::{self, Event, Order, Phase},
    os::{clock, users},
    protocol::{Request, Response, Traffic},
    time::BootTime,
};
use std::os::fd::AsFd as _;
use swarm_manifests::{name::Name, report::Measure, status::Row};

/// So many workflows are told of at once.
const PORTION: usize = 100;
/// The longest reason that is kept, in characters.
const REASON: usize = 1000;

impl Supervisor {
    pub(super) fn accept_clients(&mut self) {
        while let Some((id, stream, uid)) = self.control.accept() {
            match self.watch.read(stream.as_fd(), Source::Client(id)) {
                Ok(token) => self.control.add(id, stream, token, uid),
                Err(error) => tracing::warn!(%error, "a client cannot be watched"),
            }
        }
    }

    pub(super) fn client_ready(&mut self, id: u64) {
        let Some(client) = self.control.clients.get_mut(&id) else {
            return;
        };
        match client.read() {
            Ok(Some(request)) => self.answer(id, request),
            Ok(None) => {}
            Err(_) => self.drop_client(id),
        }
    }

    pub(super) fn drop_client(&mut self, id: u64) {
        if let Some(client) = self.control.clients.remove(&id) {
            self.watch.remove(client.token, client.fd());
            self.agent.forget_questions(id);
        }
    }

    fn answer(&mut self, id: u64, request: Request) {
        self.refresh_agent();
        let client = self.control.clients.get(&id);
        if client.is_some_and(|client| client.person.is_some()) && !request.is_for_afar() {
            let message = "this is done on the box itself only";
            return self.control.fail(id, 4, message, None);
        }
        if self.was_followed(id) {
            let message = "it was begun before, and the agent ended before it was done";
            let hint = "swarm-agent list says how it stands";
            return self.control.fail(id, 1, message, Some(hint));
        }
        match request {
            Request::List { full } => self.answer_list(id, full),
            Request::Kill {
                workflow,
                reason,
                hold,
            } => {
                let order = self.order(id, reason);
                let words = if hold {
                    "killed, and held over new revisions"
                } else {
                    "killed"
                };
                self.command(id, &workflow, Event::Kill(order, hold), Goal::Still, words);
            }
            Request::Start { workflow, reason } => {
                self.look_anew(&workflow);
                let order = self.order(id, reason);
                self.command(id, &workflow, Event::Start(order), Goal::Settled, "started");
            }
            Request::Restart { workflow, reason } => {
                self.look_anew(&workflow);
                let order = self.order(id, reason);
                self.command(
                    id,
                    &workflow,
                    Event::Restart(order),
                    Goal::Settled,
                    "restarted",
                );
            }
            Request::Logs {
                workflow,
                follow,
                lines,
                since_unix_ms,
            } => self.answer_logs(id, &workflow, follow, lines, since_unix_ms),
            Request::History { workflow, verify } => self.answer_history(id, workflow, verify),
            Request::Purge { workflow } => self.answer_purge(id, &workflow),
            Request::Upgrade { binary } => self.answer_upgrade(id, binary),
            Request::Ask(query) => self.answer_query(id, &query),
        }
    }

    /// In portions, each on its way while the next is made: whoever reads has something to do meanwhile.
    fn answer_list(&mut self, id: u64, full: bool) {
        for portion in self.names().chunks(PORTION) {
            let rows = self.rows(portion, full);
            let Some(client) = self.control.clients.get_mut(&id) else {
                return;
            };
            client.say(&Response::Rows(rows));
            // What does not fit now goes when there is room.
            client.write();
        }
        let trouble = self.agent.trouble.as_ref().filter(|_| !full);
        let message =
            trouble.map(|it| format!("the trunk does not move on: {} [{}]", it.reason, it.rule));
        self.control.say(id, &Response::Done { exit: 0, message });
    }

    fn order(&self, id: u64, reason: Option<String>) -> Order {
        let client = self.control.clients.get(&id);
        let person = client.and_then(|client| client.person.as_ref());
        let uid = client.map_or(u32::MAX, |client| client.uid);
        Order {
            by: person.map_or_else(|| users::describe(uid), |person| person.name.clone()),
            key: person.map(|person| person.key.clone()),
            request: person.and_then(|person| person.request.clone()),
            reason: reason.map(|reason| reason.chars().take(REASON).collect()),
        }
    }

    /// Every workflow of this box.
    pub(super) fn names(&self) -> Vec<Name> {
        self.workflows.keys().cloned().collect()
    }

    /// Every row of these workflows, with what each tree uses.
    pub(super) fn rows(&mut self, names: &[Name], full: bool) -> Vec<Row> {
        if full {
            for name in names {
                self.read_protections(name);
            }
        }
        let now = clock::now();
        let workflows = names.iter().filter_map(|name| self.workflows.get(name));
        let rows = workflows.flat_map(|workflow| self.rows_of(workflow, full, now));
        rows.collect()
    }

    /// What each tree read and wrote, where the kernel tells.
    pub(super) fn traffic(&self) -> Vec<Traffic> {
        let rooms = self.workflows.iter().flat_map(|(name, workflow)| {
            let rooms = workflow.rooms.iter();
            rooms.map(move |(instance, room)| (name, *instance, room))
        });
        let known = rooms.filter_map(|(name, instance, room)| {
            let (read, written) = room.tree.as_ref()?.traffic()?;
            Some(Traffic {
                workflow: name.clone(),
                instance,
                read,
                written,
            })
        });
        known.collect()
    }

    /// What each tree uses whose main process is known.
    pub(super) fn measures(&self) -> Vec<Measure> {
        let rooms = self.workflows.values().flat_map(|one| one.rooms.values());
        let measured = rooms.filter_map(|room| {
            let (process, tree) = (room.process.as_ref()?, room.tree.as_ref()?);
            Some(Measure {
                pid: process.pid,
                memory_bytes: tree.memory(),
                cpu_s: tree.cpu().as_secs_f64(),
            })
        });
        measured.collect()
    }

    fn rows_of(&self, workflow: &Workflow, full: bool, now: BootTime) -> Vec<Row> {
        let usage = |instance: u16| {
            let tree = workflow
                .rooms
                .get(&instance)
                .and_then(|room| room.tree.as_ref());
            tree.map_or_else(machine::Usage::default, |tree| machine::Usage {
                memory: Some(tree.memory()),
                cpu: full.then(|| tree.cpu()),
            })
        };
        let mut rows = machine::rows(&workflow.state, &self.settings.box_name, now, usage);
        for row in rows.iter_mut().filter(|_| full) {
            row.dropped = self.dropped(workflow, row.instance);
        }
        for row in rows.iter_mut().filter(|row| full && row.pid.is_some()) {
            let room = workflow.rooms.get(&row.instance);
            row.protections = room.map(|room| room.protections()).unwrap_or_default();
        }
        rows
    }

    pub(super) fn known(&mut self, id: u64, workflow: &str) -> Option<Name> {
        let name = Name::new(workflow)
            .ok()
            .filter(|name| self.workflows.contains_key(name));
        if name.is_none() {
            self.unknown(id, workflow);
        }
        name
    }

    pub(super) fn unknown(&mut self, id: u64, workflow: &str) {
        let clipped: String = workflow.chars().take(80).collect();
        let near = self
            .workflows
            .keys()
            .find(|name| name.as_str().starts_with(&clipped) || clipped.starts_with(name.as_str()));
        let hint = near.map_or_else(
            || "swarm-agent list shows what there is".to_owned(),
            |name| format!("did you mean {name}?"),
        );
        self.control.fail(
            id,
            3,
            &format!("there is no workflow {clipped:?} on this box"),
            Some(&hint),
        );
    }

    fn command(&mut self, id: u64, workflow: &str, event: Event, goal: Goal, done: &str) {
        let Some(name) = self.known(id, workflow) else {
            return;
        };
        self.feed(&name, event);
        let runs = self
            .workflows
            .get(&name)
            .is_some_and(|workflow| workflow.state.current.is_some());
        let message = if runs {
            format!("{name}: {done}")
        } else {
            format!("{name}: nothing of it runs; noted")
        };
        if let Some(client) = self.control.clients.get_mut(&id) {
            client.feed = Feed::Until {
                workflow: name,
                goal,
                message,
            };
        }
    }

    /// Whoever waits for a workflow that is now as they asked is told.
    pub(super) fn answer_waiting(&mut self) {
        for client in self.control.clients.values_mut() {
            let Feed::Until {
                workflow,
                goal,
                message,
            } = &client.feed
            else {
                continue;
            };
            let state = self.workflows.get(workflow).map(|workflow| &workflow.state);
            let reached = state.is_none_or(|state| match goal {
                Goal::Still => state.is_still(),
                Goal::Settled => state
                    .instances
                    .iter()
                    .all(|instance| is_settled(&instance.phase)),
            });
            if !reached {
                continue;
            }
            let obstacle = state
                .filter(|_| *goal == Goal::Settled)
                .and_then(machine::obstacle);
            let answer = match obstacle {
                Some((kind, trouble)) => super::allow::not_started(workflow, kind, &trouble),
                None => Response::Done {
                    exit: 0,
                    message: Some(message.clone()),
                },
            };
            client.say(&answer);
        }
    }

    fn answer_purge(&mut self, id: u64, workflow: &str) {
        let Some(name) = Name::new(workflow)
            .ok()
            .filter(|name| self.workflows.contains_key(name) || self.has_remains(name))
        else {
            return self.unknown(id, workflow);
        };
        if self.workflows.contains_key(&name) {
            let hint = format!("delete its manifest first; to end it now: swarm-agent kill {name}");
            return self.control.fail(
                id,
                1,
                &format!("{name} is not removed: its manifest is still there"),
                Some(&hint),
            );
        }
        let order = self.order(id, None);
        let record = swarm_manifests::report::Event {
            by: Some(order.by),
            ..machine::record_about(&name, "purge")
        };
        self.record(record, machine::Sync::Now);
        match self.purge(&name) {
            Ok(()) => self.control.say(
                id,
                &Response::Done {
                    exit: 0,
                    message: Some(format!("{name}: its state folder and log are removed")),
                },
            ),
            Err(error) => self.control.fail(
                id,
                1,
                &format!("the state folder of {name} cannot be removed: {error}"),
                None,
            ),
        }
    }
}

fn is_settled(phase: &Phase) -> bool {
    !matches!(
        phase,
        Phase::Vacant
            | Phase::Installing
            | Phase::Starting
            | Phase::Born(_)
            | Phase::Stopping { .. }
            | Phase::Clearing { .. }
    )
}
