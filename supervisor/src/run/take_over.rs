//! We are the new program in an old process: what was handed on is taken, and goes where a start would put it. Touches inherited descriptors.

use super::{Supervisor, watch::Source};
use crate::{
    control::{Feed, Follow},
    handover::{FORMAT, Handed, Handover, VARIABLE, Waiting, Waits},
    machine,
    os::{clock, identity::Pidfd, inherited, notify::NotifySocket},
    protocol::Response,
};
use nix::fcntl::{Flock, FlockArg};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    os::{
        fd::{AsFd as _, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::Duration,
};
use swarm_manifests::{name::Name, report};

/// The old agent has so long to go by itself.
const AGENT_GRACE: Duration = Duration::from_secs(3);

/// A child of a supervisor that was killed holds its lock too, until it has come to its program or has ended.
const LET_GO: Duration = Duration::from_secs(2);

/// Holds the lock; none: another supervisor does.
pub(super) fn hold(mut lock: File) -> Option<Flock<File>> {
    let begun = clock::now();
    loop {
        match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Some(held),
            Err((back, _)) if clock::now().since(begun) < LET_GO => lock = back,
            Err(_) => return None,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What was handed on and is not taken yet; nothing in an ordinary start.
#[derive(Default)]
pub(super) struct Taken {
    handover: Option<Handover>,
    instances: BTreeMap<(Name, u16), Handed>,
}

impl Taken {
    /// As the variable says.
    pub(super) fn from_environment() -> Self {
        let Some(number) = std::env::var(VARIABLE).ok().and_then(|n| n.parse().ok()) else {
            return Self::default();
        };
        let read = inherited::take(number)
            .map(File::from)
            .and_then(|mut file| {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes)?;
                Ok(serde_json::from_slice::<Handover>(&bytes)?)
            });
        match read {
            Ok(mut handover) if handover.format == FORMAT => {
                let instances = std::mem::take(&mut handover.instances).into_iter();
                Self {
                    instances: instances
                        .map(|handed| ((handed.workflow.clone(), handed.instance), handed))
                        .collect(),
                    handover: Some(handover),
                }
            }
            // Everything is found again as after a crash.
            Ok(_) => Self::default(),
            Err(error) => {
                tracing::error!(%error, "what the program before handed on cannot be read");
                Self::default()
            }
        }
    }

    pub(super) fn is_some(&self) -> bool {
        self.handover.is_some()
    }

    pub(super) fn lock(&self) -> Option<File> {
        take(self.handover.as_ref()?.lock).map(File::from)
    }

    pub(super) fn listener(&self) -> Option<OwnedFd> {
        take(self.handover.as_ref()?.listener)
    }

    pub(super) fn installed(&self) -> Option<PathBuf> {
        Some(self.handover.as_ref()?.installed.clone())
    }

    fn of(&mut self, name: &Name, instance: u16) -> Option<&mut Handed> {
        self.instances.get_mut(&(name.clone(), instance))
    }

    pub(super) fn main(&mut self, name: &Name, instance: u16) -> Option<Pidfd> {
        let number = self.of(name, instance)?.main.take()?;
        take(number).map(Pidfd::from_fd)
    }

    pub(super) fn notify(&mut self, name: &Name, instance: u16) -> Option<NotifySocket> {
        let number = self.of(name, instance)?.notify.take()?;
        take(number).map(NotifySocket::from_fd)
    }

    /// What could not be given to it, and whether it said that it is well.
    pub(super) fn words(&mut self, name: &Name, instance: u16) -> Option<(Vec<String>, bool)> {
        let handed = self.of(name, instance)?;
        Some((std::mem::take(&mut handed.unprotected), handed.well))
    }
}

fn take(number: RawFd) -> Option<OwnedFd> {
    inherited::take(number)
        .map_err(
            |error| tracing::error!(number, %error, "a descriptor that was handed on is not there"),
        )
        .ok()
}

impl Supervisor {
    /// The agent before is waited for; without one, ours is started.
    pub(super) fn take_over_agent(&mut self) {
        let old = self.taken.handover.as_ref().and_then(|h| h.agent);
        if let Some(pidfd) = old.and_then(|pid| Pidfd::open(pid).ok())
            && let Ok(token) = self.watch.read(pidfd.as_fd(), Source::AgentExit)
        {
            self.agent.replace(
                pidfd,
                token,
                old.unwrap_or_default(),
                clock::now() + AGENT_GRACE,
            );
        } else {
            self.start_agent();
        }
    }

    /// Everything is ours: whoever waits is looked after, and told.
    pub(super) fn took_over(&mut self) {
        let Some(handover) = &mut self.taken.handover else {
            return;
        };
        let clients = std::mem::take(&mut handover.clients);
        let began = Duration::from_micros(handover.began_us);
        let words = format!(
            "upgraded in place from {} to {} in {} ms",
            handover.from,
            env!("CARGO_PKG_VERSION"),
            clock::now().0.saturating_sub(began).as_millis()
        );
        tracing::info!("{words}");
        let record = report::Event {
            reason: Some(words.clone()),
            ..swarm_manifests::report::Event::new("upgraded")
        };
        self.record(record, machine::Sync::Soon);
        for client in clients {
            self.take_client(client, &words);
        }
        // Who is not ours any more ends unseen, or as a zombie of ours.
        self.reap_strangers();
        for leftover in std::mem::take(&mut self.taken.instances).into_values() {
            let fds = [leftover.main, leftover.notify];
            fds.into_iter().flatten().for_each(|fd| drop(take(fd)));
        }
        self.turn_over();
    }

    fn take_client(&mut self, client: Waiting, words: &str) {
        let Some(stream) = take(client.stream).map(UnixStream::from) else {
            return;
        };
        let id = self.control.next_id();
        let Ok(token) = self.watch.read(stream.as_fd(), Source::Client(id)) else {
            return;
        };
        self.control.add(id, stream, token, client.uid);
        let Some(taken) = self.control.clients.get_mut(&id) else {
            return;
        };
        taken.out = client.out;
        match client.waits {
            Waits::Upgrade => taken.say(&Response::Done {
                exit: 0,
                message: Some(words.to_owned()),
            }),
            Waits::Until {
                workflow,
                goal,
                message,
            } => {
                taken.feed = Feed::Until {
                    workflow,
                    goal,
                    message,
                };
            }
            Waits::Follow {
                workflow,
                positions,
            } => {
                self.control.printed.insert(workflow.clone());
                taken.feed = Feed::Logs {
                    lines: Vec::new().into_iter(),
                    follow: Some(Follow {
                        workflow,
                        positions,
                    }),
                };
            }
        }
    }
}
