//! Long answers, as fast as each client reads: logs, followed logs, history. Touches log files, the journal and the clients' sockets.

use super::{Supervisor, install::INSTALL};
use crate::{
    control::{Client, Feed, Follow, PORTION},
    journal::{Broken, Verified, Verify},
    os::read,
    protocol::{LogLine, Response},
    time::Wall,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read as _},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::Path,
};
use swarm_manifests::{
    name::Name,
    seal::{self, Seal},
};

/// At most so many lines of a log are looked at for one answer without `-n`.
const LINES: usize = 100_000;
/// So many bytes of seals are read: more than are kept.
const SEALS: u64 = 4 << 20;

impl Supervisor {
    pub(super) fn answer_logs(
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
        let mut positions = BTreeMap::new();
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
        let follow = follow.then_some(Follow {
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

    /// The check of the journal against the seals that the agent keeps.
    fn verify(&self) -> Result<Verify, Unsound> {
        let check = self.journal.verify().map_err(Unsound::Unreadable)?;
        let file = self.settings.state.join("agent").join(seal::FILE);
        let opened = File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(file);
        let mut text = String::new();
        match opened {
            Ok(file) => {
                let read = file.take(SEALS).read_to_string(&mut text);
                read.map_err(Unsound::Unreadable)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Unsound::Unreadable(error)),
        }
        // A line that a crash left half written seals nothing.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let seals = whole.lines().map(serde_json::from_str);
        let seals: Vec<Seal> = seals.collect::<Result<_, _>>().map_err(|error| {
            Unsound::Broken(Broken {
                file: seal::FILE.into(),
                line: error.line(),
                what: "this is no seal".into(),
            })
        })?;
        check
            .with_seals(&self.settings.box_name, &seals)
            .map_err(Unsound::Broken)
    }

    pub(super) fn answer_history(&mut self, id: u64, workflow: Option<String>, verify: bool) {
        let feed = if verify {
            match self.verify() {
                Ok(check) => Ok(Feed::Verify(Box::new(check))),
                Err(Unsound::Unreadable(error)) => Err(error),
                Err(Unsound::Broken(broken)) => {
                    return self.control.say(id, &broken_chain(&broken));
                }
            }
        } else {
            self.journal.history().map(|records| Feed::History {
                records: Box::new(records),
                workflow,
            })
        };
        match feed {
            Err(error) => {
                self.control
                    .fail(id, 1, &format!("the journal cannot be read: {error}"), None);
            }
            Ok(feed) => {
                if let Some(client) = self.control.clients.get_mut(&id) {
                    client.feed = feed;
                }
            }
        }
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
fn fill(client: &mut Client, printed: &BTreeSet<Name>, folder: &Path) {
    while client.out.len() < PORTION {
        let response = match &mut client.feed {
            Feed::None | Feed::Agent | Feed::Upgrade | Feed::Until { .. } => return,
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
                    message: Some(in_words(&verified)),
                },
                Err(broken) => broken_chain(&broken),
            },
        };
        client.say(&response);
    }
}

fn in_words(verified: &Verified) -> String {
    let sealed = match &verified.sealed {
        Some((sequence, key)) => format!("sealed up to {sequence} by {key}"),
        None => "not sealed yet".into(),
    };
    format!(
        "{} records, {} to {}: the chain is whole, {sealed}",
        verified.records, verified.first, verified.last
    )
}

fn broken_chain(broken: &Broken) -> Response {
    Response::Failed {
        exit: 1,
        message: format!("the journal was changed: {broken}"),
        hint: Some("somebody with root's rights wrote there, or the disk is failing".into()),
    }
}

/// Why the journal cannot be checked, or need not be.
enum Unsound {
    Unreadable(io::Error),
    Broken(Broken),
}

/// Lines of all instances that were written since.
fn follow_on(follow: &mut Follow, folder: &Path) -> Vec<LogLine> {
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
fn logged_instances(folder: &Path) -> Vec<u16> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let numbers = files.filter_map(|file| {
        file.file_name()
            .to_str()?
            .strip_suffix(".log")?
            .parse()
            .ok()
    });
    let sorted: BTreeSet<u16> = numbers.collect();
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
