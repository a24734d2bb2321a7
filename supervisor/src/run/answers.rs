//! Requests of the control socket are answered: orders go to the machines, questions to what is known here or to the agent.

use super::{Supervisor, install::INSTALL, watch::Source};
use crate::{
    control::{Feed, Follow, Goal, PORTION},
    machine::{self, Event, Order, Phase},
    os::{clock, read, users},
    protocol::{LogLine, Query, Request, Response},
    time::Wall,
};
use std::os::fd::AsFd as _;
use swarm_manifests::{name::Name, status::Row};

/// At most so many lines of a log are looked at for one answer without `-n`.
const LINES: usize = 100_000;
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

    fn drop_client(&mut self, id: u64) {
        if let Some(client) = self.control.clients.remove(&id) {
            self.watch.remove(client.token, client.fd());
        }
    }

    fn answer(&mut self, id: u64, request: Request) {
        match request {
            Request::List => {
                let rows = self.rows();
                self.control.say(id, &Response::Rows(rows));
                self.control.say(
                    id,
                    &Response::Done {
                        exit: 0,
                        message: None,
                    },
                );
            }
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
                let order = self.order(id, reason);
                self.command(id, &workflow, Event::Start(order), Goal::Settled, "started");
            }
            Request::Restart { workflow, reason } => {
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
            Request::Ask(query) => self.answer_query(id, query),
        }
    }

    fn order(&self, id: u64, reason: Option<String>) -> Order {
        let uid = self
            .control
            .clients
            .get(&id)
            .map_or(u32::MAX, |client| client.uid);
        Order {
            by: users::describe(uid),
            reason: reason.map(|reason| reason.chars().take(REASON).collect()),
        }
    }

    /// Every row of this box, with what each tree uses.
    fn rows(&self) -> Vec<Row> {
        let now = clock::now();
        self.workflows
            .values()
            .flat_map(|workflow| {
                let usage = |instance: u16| {
                    let used = workflow
                        .rooms
                        .get(&instance)
                        .and_then(|room| room.tree.as_ref())
                        .map(crate::os::tree::Tree::usage);
                    used.map_or_else(machine::Usage::default, |used| machine::Usage {
                        memory: Some(used.memory_bytes),
                        cpu: Some(used.cpu),
                    })
                };
                machine::rows(&workflow.state, &self.settings.box_name, now, usage)
            })
            .collect()
    }

    fn known(&mut self, id: u64, workflow: &str) -> Option<Name> {
        let name = Name::new(workflow)
            .ok()
            .filter(|name| self.workflows.contains_key(name));
        if name.is_none() {
            self.unknown(id, workflow);
        }
        name
    }

    fn unknown(&mut self, id: u64, workflow: &str) {
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
            if reached {
                let message = Some(message.clone());
                client.say(&Response::Done { exit: 0, message });
            }
        }
    }

    fn answer_logs(
        &mut self,
        id: u64,
        workflow: &str,
        follow: bool,
        lines: Option<usize>,
        since: Option<i64>,
    ) {
        let name = Name::new(workflow).ok();
        let Some(name) =
            name.filter(|name| self.workflows.contains_key(name) || self.log_folder(name).exists())
        else {
            return self.unknown(id, workflow);
        };
        let limit = lines.unwrap_or(LINES).min(LINES);
        let mut all = Vec::new();
        let mut positions = std::collections::BTreeMap::new();
        for instance in self.logged_instances(&name) {
            match read::tail(
                &self.log_folder(&name),
                instance,
                Some(limit),
                since.map(Wall),
            ) {
                Ok((found, position)) => {
                    all.extend(found.into_iter().map(|line| shown(line, instance)));
                    positions.insert(instance, position);
                }
                Err(error) => {
                    return self.control.fail(
                        id,
                        1,
                        &format!("the log of {name} cannot be read: {error}"),
                        None,
                    );
                }
            }
        }
        all.sort_by(|a, b| a.time.cmp(&b.time));
        let all = all.split_off(all.len().saturating_sub(limit));
        let follow = follow.then(|| Follow {
            workflow: name,
            positions,
        });
        if let Some(client) = self.control.clients.get_mut(&id) {
            client.feed = Feed::Logs {
                lines: all.into_iter(),
                follow,
            };
        }
    }

    fn logged_instances(&self, name: &Name) -> Vec<u16> {
        logged_instances(&self.log_folder(name))
    }

    fn answer_history(&mut self, id: u64, workflow: Option<String>, verify: bool) {
        let feed = if verify {
            self.journal
                .verify()
                .map(|check| Feed::Verify(Box::new(check)))
        } else {
            self.journal.history().map(|records| Feed::History {
                records: Box::new(records),
                workflow,
            })
        };
        match feed {
            Err(error) => {
                self.control
                    .fail(id, 1, &format!("the journal cannot be read: {error}"), None)
            }
            Ok(feed) => {
                if let Some(client) = self.control.clients.get_mut(&id) {
                    client.feed = feed;
                }
            }
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

    fn answer_query(&mut self, id: u64, query: Query) {
        if self.ask_agent(id, query.clone()) {
            return;
        }
        let body = match &query {
            Query::Why { workflow } => match self.known(id, workflow) {
                Some(name) => self
                    .actual(&name)
                    .and_then(|actual| serde_json::to_value(actual).ok()),
                None => return,
            },
            Query::Status => Some(serde_json::json!({
                "box": self.settings.box_name,
                "agent": "away",
                "workflows": self.workflows.len(),
                "trees": self.trees.describe(),
            })),
            Query::Sync { .. } | Query::Plan | Query::Reload => None,
        };
        if let Some(body) = body {
            self.control.say(id, &Response::Body(body));
        }
        self.control.fail(
            id,
            5,
            "the agent is away; this is what the supervisor knows by itself",
            Some("it is started again by itself; the reason is in the supervisor's own output"),
        );
    }

    /// Everybody gets as much as they read.
    pub(super) fn pump_clients(&mut self) {
        let printed = std::mem::take(&mut self.control.printed);
        let folder = self.settings.state.join("supervisor/logs");
        let mut over = Vec::new();
        for (id, client) in &mut self.control.clients {
            loop {
                fill(client, &printed, &folder);
                let full = client.out.len() >= PORTION;
                if !client.write() {
                    over.push(*id);
                    break;
                }
                if !full || !client.out.is_empty() {
                    break;
                }
            }
            let waits = !client.out.is_empty();
            if waits != client.writing
                && self
                    .watch
                    .writing(client.token, client.stream.as_fd(), waits)
                    .is_ok()
            {
                client.writing = waits;
            }
        }
        for id in over {
            self.drop_client(id);
        }
    }
}

/// Takes from a client's feed until its buffer is full or the feed is empty.
fn fill(
    client: &mut crate::control::Client,
    printed: &std::collections::BTreeSet<Name>,
    folder: &std::path::Path,
) {
    while client.out.len() < PORTION {
        let response = match &mut client.feed {
            Feed::None | Feed::Until { .. } => return,
            Feed::Logs { lines, follow } => match (lines.next(), follow) {
                (Some(line), _) => Response::Log(line),
                (None, None) => Response::Done {
                    exit: 0,
                    message: None,
                },
                (None, Some(follow)) => {
                    if !printed.contains(&follow.workflow) {
                        return;
                    }
                    let new = follow_on(follow, folder);
                    if new.is_empty() {
                        return;
                    }
                    *lines = new.into_iter();
                    continue;
                }
            },
            Feed::History { records, workflow } => {
                match records.find(|record| workflow.is_none() || record.workflow == *workflow) {
                    Some(record) => Response::Record(record),
                    None => Response::Done {
                        exit: 0,
                        message: None,
                    },
                }
            }
            Feed::Verify(check) => match check.step() {
                Ok(None) => continue,
                Ok(Some(verified)) => Response::Done {
                    exit: 0,
                    message: Some(format!(
                        "{} records, {} to {}: the chain is whole",
                        verified.records, verified.first, verified.last
                    )),
                },
                Err(broken) => Response::Failed {
                    exit: 1,
                    message: format!("the journal was changed: {broken}"),
                    hint: Some(
                        "somebody with root's rights wrote there, or the disk is failing".into(),
                    ),
                },
            },
        };
        client.say(&response);
    }
}

/// Lines of all instances that were written since.
fn follow_on(follow: &mut Follow, folder: &std::path::Path) -> Vec<LogLine> {
    let folder = folder.join(follow.workflow.as_str());
    let mut new = Vec::new();
    for instance in logged_instances(&folder) {
        let from = follow.positions.get(&instance).copied().flatten();
        if let Ok((lines, position)) = read::follow(&folder, instance, from, 1000) {
            new.extend(lines.into_iter().map(|line| shown(line, instance)));
            follow.positions.insert(instance, position);
        }
    }
    new
}

/// Instances that have a log; the install's is shown with the first one's.
fn logged_instances(folder: &std::path::Path) -> Vec<u16> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = files.filter_map(|file| {
        file.file_name()
            .to_str()?
            .strip_suffix(".log")?
            .parse()
            .ok()
    });
    let sorted: std::collections::BTreeSet<u16> = numbers.collect();
    sorted.into_iter().collect()
}

fn shown(line: LogLine, instance: u16) -> LogLine {
    if instance == INSTALL {
        LogLine {
            instance: 0,
            ..line
        }
    } else {
        line
    }
}

fn is_settled(phase: &Phase) -> bool {
    !matches!(
        phase,
        Phase::Vacant | Phase::Starting | Phase::Stopping { .. } | Phase::Clearing { .. }
    )
}
