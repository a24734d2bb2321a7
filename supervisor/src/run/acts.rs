//! Effects are carried out: what a machine decided reaches the operating system, and its answer comes back as events.

use super::{
    Supervisor,
    room::{Room, Workflow},
};
use crate::{
    machine::{self, Change, Effect, Event, Trouble},
    os::{
        folders,
        tree::{Marks, Tree},
    },
};
use nix::sys::epoll::EpollFlags;
use std::str::FromStr as _;
use swarm_manifests::{manifest::Mode, name::Name, rules, status::LastExit};

impl Supervisor {
    /// In their order; the state is saved first where that matters.
    pub(super) fn carry_out(&mut self, name: &Name, effects: Vec<Effect>) {
        let first = self.workflows.get(name).is_some_and(|workflow| {
            machine::is_saved_first(workflow.saved, &workflow.state, &effects)
        });
        let saved = !first || self.save(name, machine::must_last(&effects));
        for effect in effects {
            match effect {
                Effect::Journal(record, sync) => self.record(*record, sync),
                Effect::Install(revision) => self.begin_install(name, revision),
                Effect::CancelInstall(revision) => self.cancel_install(name, revision),
                Effect::Spawn { instance, run } if !saved && self.is_once(name) => {
                    let reason =
                        "its start could not be written down, and a once must not run twice"
                            .to_owned();
                    let trouble = Trouble {
                        reason,
                        rule: Some(rules::run::DISK.id.into()),
                        tried: true,
                    };
                    self.tell(name, instance, run, Change::StartFailed(trouble, true));
                }
                Effect::Spawn { instance, run } => self.start_process(name, instance, run),
                Effect::Probe { instance, run } => self.begin_probe(name, instance, run),
                Effect::StopCommand { instance, run } => {
                    self.begin_stop_command(name, instance, run);
                }
                Effect::Signal { instance, .. } => self.signal_tree(name, instance),
                Effect::KillTree { instance, .. } => self.kill_tree(name, instance),
                Effect::Forget => self.forget(name),
            }
        }
    }

    /// An event about one process.
    pub(super) fn tell(&mut self, name: &Name, instance: u16, run: u64, change: Change) {
        self.queue
            .push_back((name.clone(), Event::Instance(instance, run, change)));
    }

    /// The number of the run that goes on now.
    pub(super) fn run_of(&self, name: &Name, instance: u16) -> Option<u64> {
        self.workflows
            .get(name)?
            .state
            .instances
            .get(usize::from(instance))
            .map(|instance| instance.run)
    }

    fn is_once(&self, name: &Name) -> bool {
        let spec = self
            .workflows
            .get(name)
            .and_then(|workflow| workflow.state.current.as_ref());
        spec.is_some_and(|current| current.spec.mode == Mode::Once)
    }

    pub(super) fn room(&mut self, name: &Name, instance: u16) -> Option<&mut Room> {
        Some(
            self.workflows
                .get_mut(name)?
                .rooms
                .entry(instance)
                .or_default(),
        )
    }

    /// The tree of an instance, found or made.
    pub(super) fn tree(&mut self, name: &Name, instance: u16) -> std::io::Result<&mut Tree> {
        let marks = self.marks(name, instance);
        let room = self
            .workflows
            .get_mut(name)
            .ok_or(std::io::ErrorKind::NotFound)?
            .rooms
            .entry(instance)
            .or_default();
        if room.tree.is_none() {
            let tree = self.trees.tree(name, instance, marks)?;
            if let Some(events) = tree.events() {
                // Edges: the level of this file stays up until somebody reads it.
                room.tree_token = self
                    .watch
                    .add(
                        events,
                        EpollFlags::EPOLLPRI | EpollFlags::EPOLLET,
                        super::watch::Source::Tree(name.clone(), instance),
                    )
                    .ok();
            }
            room.oom_kills = tree.oom_kills().unwrap_or(0);
            room.tree = Some(tree);
        }
        room.tree
            .as_mut()
            .ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    fn marks(&self, name: &Name, instance: u16) -> Marks {
        let state = folders::of(&self.settings.state, name, instance).state;
        let workflow = self.workflows.get(name);
        let current = workflow.and_then(|workflow| workflow.state.current.as_ref());
        let alone = current
            .is_none_or(|current| current.spec.instances == 1 && current.spec.user.is_none());
        Marks {
            env: format!("SWARM_STATE={}", state.display()).into_bytes(),
            uid: self.users.id_of(name).filter(|_| alone),
            main: workflow
                .and_then(|w| w.state.instances.get(usize::from(instance)))
                .and_then(|i| i.phase.process())
                .map(|p| p.pid),
        }
    }

    pub(super) fn signal_tree(&mut self, name: &Name, instance: u16) {
        let signal = self
            .workflows
            .get(name)
            .and_then(|workflow| workflow.state.current.as_ref())
            .map(|c| c.spec.stop.signal.clone());
        let signal = signal
            .and_then(|signal| nix::sys::signal::Signal::from_str(&signal).ok())
            .unwrap_or(nix::sys::signal::Signal::SIGTERM);
        let sent = self
            .tree(name, instance)
            .and_then(|tree| tree.signal(signal as i32));
        if let Err(error) = sent {
            tracing::warn!(workflow = %name, instance, %error, "the stop signal could not be sent to the whole tree");
        }
    }

    fn kill_tree(&mut self, name: &Name, instance: u16) {
        self.end_job_of(name, instance);
        let killed = self.tree(name, instance).and_then(|tree| {
            // Nobody is left who could fork: the cgroup stays as it is, and serves the next run.
            if tree.is_gone() { Ok(()) } else { tree.kill() }
        });
        if let Err(error) = killed {
            tracing::warn!(workflow = %name, instance, %error, "the tree could not be killed yet; it is tried again");
        }
    }

    /// Notes which instances of a workflow are to be looked after until their tree is gone.
    pub(super) fn note_clearing(&mut self, workflow: &Workflow) {
        for instance in &workflow.state.instances {
            let key = (workflow.state.workflow.clone(), instance.number);
            if machine::wants_gone(&instance.phase) {
                if self.clearing.insert(key.clone()) {
                    self.stirred.insert(key);
                }
            } else {
                self.clearing.remove(&key);
            }
        }
    }
    /// Sees which of the trees that should be gone are: of those that something happened to.
    pub(super) fn look_after_trees(&mut self) {
        for (name, instance) in std::mem::take(&mut self.stirred) {
            if !self.clearing.contains(&(name.clone(), instance)) {
                continue;
            }
            let gone = match self.tree(&name, instance) {
                Ok(tree) => tree.is_gone(),
                Err(error) => {
                    tracing::warn!(workflow = %name, instance, %error, "whether the tree is gone cannot be seen");
                    false
                }
            };
            if gone && self.main_is_gone(&name, instance) {
                self.clearing.remove(&(name.clone(), instance));
                self.finish_output(&name, instance);
                self.clear_secrets(&name, instance);
                self.close_tree(&name, instance);
                if let Some(run) = self.run_of(&name, instance) {
                    self.tell(&name, instance, run, Change::TreeGone);
                }
            }
        }
    }

    /// Removes the cgroup of a tree that is gone, unless it can serve the next run.
    fn close_tree(&mut self, name: &Name, instance: u16) {
        let Some(room) = self.room(name, instance) else {
            return;
        };
        if room.tree.as_mut().is_some_and(Tree::renew) {
            return;
        }
        let (tree, token) = (room.tree.take(), room.tree_token.take());
        let Some(tree) = tree else { return };
        if let (Some(token), Some(events)) = (token, tree.events()) {
            self.watch.remove(token, events);
        }
        if let Err(error) = tree.remove() {
            tracing::warn!(workflow = %name, instance, %error, "an empty cgroup could not be removed");
        }
    }

    /// The main process has ended and its exit was heard.
    fn main_is_gone(&mut self, name: &Name, instance: u16) -> bool {
        let held = self
            .room(name, instance)
            .and_then(|room| room.process.as_ref())
            .map(|held| held.pidfd.has_ended());
        match held {
            None => true,
            Some(true) => {
                self.main_ended(name, instance);
                true
            }
            Some(false) => false,
        }
    }

    /// The main process of an instance ended.
    pub(super) fn main_ended(&mut self, name: &Name, instance: u16) {
        if let Some(Room {
            process: Some(held),
            birth: Some(birth),
            ..
        }) = self.room(name, instance)
            && held.pidfd.has_ended()
        {
            birth.report.ended();
        }
        self.born(name, instance, false);
        let Some(room) = self.room(name, instance) else {
            return;
        };
        let Some(held) = room.process.take() else {
            return;
        };
        let Some(exit) = held.pidfd.exit() else {
            room.process = Some(held);
            return;
        };
        room.protections = None;
        self.watch.remove(held.token, &*held.pidfd);
        self.drain_output(name, instance);
        self.remark(name, instance, &machine::in_words(&exit));
        // Its tree may have become empty before this was heard.
        self.stirred.insert((name.clone(), instance));
        if let Some(run) = self.run_of(name, instance) {
            let change = if self.was_starved(name, instance, &exit) {
                Change::Starved(exit)
            } else {
                Change::Exited(exit)
            };
            self.tell(name, instance, run, change);
        }
    }

    /// Whether it was the kernel that killed it for want of memory: somebody of its tree was, since it was last asked.
    fn was_starved(&mut self, name: &Name, instance: u16, exit: &LastExit) -> bool {
        let Some(room) = self.room(name, instance) else {
            return false;
        };
        let now = room.tree.as_ref().and_then(Tree::oom_kills).unwrap_or(0);
        let before = std::mem::replace(&mut room.oom_kills, now);
        now > before && matches!(exit, LastExit::Signal { signal } if signal == "SIGKILL")
    }

    /// A workflow is removed: everything of it but its state folder and its log goes.
    fn forget(&mut self, name: &Name) {
        let Some(workflow) = self.workflows.get_mut(name) else {
            return;
        };
        let rooms = std::mem::take(&mut workflow.rooms);
        for (instance, room) in rooms {
            self.clearing.remove(&(name.clone(), instance));
            self.forget_kept(name, instance);
            self.forget_forwarded(name, instance);
            self.clear_secrets(name, instance);
            self.close_room(*room);
        }
        // Before it is forgotten: a kill outlasts a removal.
        if self.note_removal(name) {
            self.unsaved.remove(name);
        }
    }

    fn close_room(&mut self, room: Room) {
        if let Some(job) = room.job {
            self.drop_job(job);
        }
        if let Some(held) = room.process {
            self.watch.remove(held.token, &*held.pidfd);
        }
        if let Some(birth) = room.birth {
            self.watch.remove(birth.token, birth.report.fd());
        }
        if let Some(output) = room.output {
            self.close_output(&output);
        }
        if let Some((socket, token)) = room.notify {
            self.watch.remove(token, socket.fd());
        }
        if let Some(tree) = room.tree {
            if let (Some(token), Some(events)) = (room.tree_token, tree.events()) {
                self.watch.remove(token, events);
            }
            if let Err(error) = tree.remove() {
                tracing::debug!(%error, "the cgroup of a removed instance stays");
            }
        }
    }
}
