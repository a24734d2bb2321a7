//! `upgrade`: another program is tried, and takes our place in this very process. Touches everything that is handed on.
//!
//! A program that does not run, or cannot read what it would be handed, is refused before anything changes. What is not handed on is
//! left as a crash would leave it, and found in the same way.

use super::{Supervisor, watch::Source, watch::Token};
use crate::{
    control::{Client, Feed, Follow},
    handover::{CHECK, FORMAT, Handed, Handover, VARIABLE, Waiting, Waits},
    machine::{self, Sync},
    os::{clock, identity::Pidfd, reexec},
    protocol::ToAgent,
    time::BootTime,
};
use nix::unistd::Uid;
use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use swarm_manifests::report;

/// A program that is tried has so long.
const TRIAL: Duration = Duration::from_secs(10);
/// So much of what it says is told, in bytes.
const SAYS: u64 = 400;

/// Whether we are being replaced.
pub(super) struct Upgrade {
    installed: PathBuf,
    trial: Option<Trial>,
    tried: Option<File>,
}

/// A program being tried.
struct Trial {
    program: File,
    pidfd: Pidfd,
    token: Token,
    says: File,
    until: BootTime,
}

impl Upgrade {
    /// `installed`: where the program lies, if who came before us knew; else where we were started from.
    pub(super) fn new(installed: Option<PathBuf>) -> Self {
        Self {
            installed: installed
                .or_else(|| std::env::current_exe().ok())
                .unwrap_or_else(|| reexec::SELF.into()),
            trial: None,
            tried: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.trial.as_ref().map(|trial| trial.until)
    }
}

impl Supervisor {
    pub(super) fn answer_upgrade(&mut self, id: u64, binary: Option<PathBuf>) {
        let uid = self.control.clients.get(&id).map(|client| client.uid);
        let owns = uid.is_some_and(|uid| uid == 0 || uid == Uid::effective().as_raw());
        if binary.is_some() && !owns {
            let hint = "without --binary it takes the program that is installed";
            return self.control.fail(
                id,
                4,
                "only root and the supervisor's own user say which program takes its place",
                Some(hint),
            );
        }
        if self.upgrade.trial.is_some() || self.upgrade.tried.is_some() {
            return self.control.fail(id, 1, "an upgrade is under way", None);
        }
        if let Some(client) = self.control.clients.get_mut(&id) {
            client.feed = Feed::Upgrade;
        }
        self.begin_upgrade(binary, Some(id));
    }

    /// Tries the program; our place is taken once it has passed.
    pub(super) fn begin_upgrade(&mut self, binary: Option<PathBuf>, id: Option<u64>) {
        if self.upgrade.trial.is_some() {
            return;
        }
        let path = binary.unwrap_or_else(|| self.upgrade.installed.clone());
        let by = id
            .and_then(|id| self.control.clients.get(&id))
            .map(|client| crate::os::users::describe(client.uid));
        let record = report::Event {
            by,
            reason: Some(path.display().to_string()),
            ..swarm_manifests::report::Event::new("upgrade")
        };
        self.record(record, Sync::Now);
        if let Err(error) = self.try_program(&path) {
            self.upgrade_failed(&format!("{}: {error}", path.display()));
        }
    }

    fn try_program(&mut self, path: &Path) -> io::Result<()> {
        let program = File::open(path)?;
        let handover = self.write_handover()?;
        let says = reexec::in_memory(b"")?;
        let mut command = Command::new(reexec::path_of(&program));
        command
            .args(std::env::args_os().skip(1))
            .env("SWARM_ROLE", CHECK)
            .stdin(Stdio::from(handover))
            .stdout(Stdio::null())
            .stderr(says.try_clone()?);
        let child = command.spawn()?;
        let pidfd = Pidfd::open(child.id().cast_signed())?;
        let token = self.watch.read(pidfd.as_fd(), Source::Trial)?;
        self.upgrade.trial = Some(Trial {
            program,
            pidfd,
            token,
            says,
            until: clock::now() + TRIAL,
        });
        Ok(())
    }

    pub(super) fn trial_due(&mut self, now: BootTime) {
        if let Some(trial) = self.upgrade.trial.as_mut().filter(|t| t.until <= now) {
            // Its end is heard like any other.
            let _ = trial.pidfd.signal(libc::SIGKILL);
            trial.until = now + TRIAL;
        }
    }

    pub(super) fn trial_ended(&mut self) {
        let Some(trial) = &self.upgrade.trial else {
            return;
        };
        let Some(exit) = trial.pidfd.exit() else {
            return;
        };
        let Some(mut trial) = self.upgrade.trial.take() else {
            return;
        };
        self.watch.remove(trial.token, trial.pidfd.as_fd());
        if exit == (swarm_manifests::status::LastExit::Code { code: 0 }) {
            self.upgrade.tried = Some(trial.program);
            return;
        }
        let says = reexec::contents(&mut trial.says, SAYS).unwrap_or_default();
        let says = String::from_utf8_lossy(&says);
        self.upgrade_failed(&format!(
            "the new program was tried and {}: {}",
            machine::in_words(&exit),
            says.trim()
        ));
    }

    /// The old one goes on.
    fn upgrade_failed(&mut self, reason: &str) {
        tracing::error!(reason, "the upgrade is refused; what runs goes on");
        let record = report::Event {
            reason: Some(reason.into()),
            ..swarm_manifests::report::Event::new("upgrade-refused")
        };
        self.record(record, Sync::Soon);
        let waiting: Vec<u64> = self
            .control
            .clients
            .iter()
            .filter(|(_, client)| matches!(client.feed, Feed::Upgrade))
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            let hint = "nothing was replaced: supervisor, agent and workflows go on as they are";
            self.control.fail(id, 1, reason, Some(hint));
        }
    }

    /// Everything of this turn is done and saved: now.
    pub(super) fn upgrade_if_tried(&mut self) {
        // A process that is just being made is waited for: a moment.
        if !self.births.is_empty() || !self.queue.is_empty() {
            return;
        }
        let Some(program) = self.upgrade.tried.take() else {
            return;
        };
        if !self.unsaved.is_empty() {
            return self.upgrade_failed("some states could not be saved: is the disk full?");
        }
        self.sync_journal_now();
        self.agent.say(&ToAgent::Stop);
        self.agent.flush();
        self.end_indexers();
        let error = match self.hand_over(&program) {
            Ok(error) | Err(error) => error,
        };
        // Whatever was opened for the new program is closed to children again.
        let _ = self.let_inherit(false);
        self.upgrade_failed(&format!("the new program could not take over: {error}"));
    }

    fn hand_over(&mut self, program: &File) -> io::Result<io::Error> {
        self.tell_losses();
        let handover = self.write_handover()?;
        self.let_inherit(true)?;
        reexec::inherit(handover.as_fd(), true)?;
        let number = reexec::number(handover.as_fd()).to_string();
        let mut env: Vec<_> = std::env::vars_os()
            .filter(|(name, _)| name != VARIABLE)
            .collect();
        env.push((VARIABLE.into(), number.into()));
        Ok(reexec::exec(program, std::env::args_os().collect(), env))
    }

    fn write_handover(&self) -> io::Result<File> {
        let number = |fd: BorrowedFd<'_>| reexec::number(fd);
        let rooms = self.workflows.iter().flat_map(|(name, workflow)| {
            let rooms = workflow.rooms.iter();
            rooms.map(move |(instance, room)| (name, *instance, room))
        });
        let instances = rooms.map(|(name, instance, room)| Handed {
            workflow: name.clone(),
            instance,
            main: room.process.as_ref().map(|held| number(held.pidfd.as_fd())),
            notify: room.notify.as_ref().map(|(socket, _)| number(socket.fd())),
            well: room.said.well,
            unprotected: room.unprotected.clone(),
        });
        let clients = self.control.clients.values().filter_map(|client| {
            Some(Waiting {
                stream: number(client.fd()),
                uid: client.uid,
                out: client.out.clone(),
                waits: waits(client)?,
            })
        });
        let handover = Handover {
            format: FORMAT,
            from: env!("CARGO_PKG_VERSION").into(),
            installed: self.upgrade.installed.clone(),
            began_us: u64::try_from(clock::now().0.as_micros()).unwrap_or(u64::MAX),
            lock: number(self.lock.as_fd()),
            listener: number(self.control.listener().as_fd()),
            agent: self.agent.pid(),
            instances: instances.collect(),
            clients: clients.collect(),
        };
        reexec::in_memory(&serde_json::to_vec(&handover)?)
    }

    /// Opens what is handed on to the next program, or closes it again.
    fn let_inherit(&self, inherited: bool) -> io::Result<()> {
        let set = |fd: BorrowedFd<'_>| reexec::inherit(fd, inherited);
        set(self.lock.as_fd())?;
        set(self.control.listener().as_fd())?;
        for client in self.control.clients.values() {
            if waits(client).is_some() {
                set(client.fd())?;
            }
        }
        for room in self.workflows.values().flat_map(|w| w.rooms.values()) {
            if let Some(held) = &room.process {
                set(held.pidfd.as_fd())?;
            }
            if let Some((socket, _)) = &room.notify {
                set(socket.fd())?;
            }
        }
        Ok(())
    }
}

/// What a client waits for, where the next program can go on with it. Others ask again.
fn waits(client: &Client) -> Option<Waits> {
    match &client.feed {
        Feed::Upgrade => Some(Waits::Upgrade),
        Feed::Until {
            workflow,
            goal,
            message,
        } => Some(Waits::Until {
            workflow: workflow.clone(),
            goal: *goal,
            message: message.clone(),
        }),
        Feed::Logs {
            lines,
            follow:
                Some(Follow {
                    workflow,
                    positions,
                }),
        } if lines.len() == 0 => Some(Waits::Follow {
            workflow: workflow.clone(),
            positions: positions.clone(),
        }),
        _ => None,
    }
}

/// The trial of a program, in the role [`CHECK`]: whether it can read what it would be handed. The handover is its standard input.
pub fn check(state: &Path) -> Result<(), String> {
    let handover: Handover =
        serde_json::from_reader(io::stdin().lock()).map_err(|error| error.to_string())?;
    if handover.format != FORMAT {
        return Err(format!(
            "it is handed format {}, and reads {FORMAT}",
            handover.format
        ));
    }
    crate::snapshot::check(&state.join("supervisor/workflows"))
}
