//! What the keeper holds for whoever comes after us, and what it held for us. Touches the keeper.

use super::{Supervisor, watch::Source, watch::Token};
use crate::{
    machine::Process,
    os::{
        clock,
        identity::Pidfd,
        keeper::{self, Keeper, Kept},
        tree::{Marks, Tree},
    },
    protocol::Stream,
    time::BootTime,
};
use std::{collections::BTreeMap, io, os::fd::AsFd as _, time::Duration};
use swarm_manifests::name::Name;

/// One that lived so long is replaced soon.
const SETTLED: Duration = Duration::from_secs(60);
const AGAIN_FROM: Duration = Duration::from_millis(20);
const AGAIN_TO: Duration = Duration::from_secs(30);

/// The keeper, where there is one.
#[derive(Default)]
pub(super) struct Keeping {
    keeper: Option<(Keeper, Token)>,
    /// When one was started last.
    started: Option<BootTime>,
    /// When another is started.
    pub(super) again: Option<BootTime>,
    deaths: u32,
    /// What a former life of ours had it keep, until it is looked for.
    found: BTreeMap<(Name, u16), (Kept, Pidfd)>,
}

impl Supervisor {
    /// Finds the keeper, or starts one.
    pub(super) fn meet_keeper(&mut self) {
        let path = keeper::path_beside(&self.settings.control);
        match Keeper::find(&path) {
            Ok(Some((keeper, kept))) => {
                let kept = kept.into_iter();
                self.keeping.found = kept
                    .map(|(of, main)| ((of.workflow.clone(), of.instance), (of, main)))
                    .collect();
                self.watch_keeper(keeper);
            }
            Ok(None) => self.start_keeper(),
            Err(error) => {
                tracing::warn!(%error, "the keeper does not answer; another is started");
                self.start_keeper();
            }
        }
    }

    fn start_keeper(&mut self) {
        self.keeping.started = Some(clock::now());
        let tree = self.keeper_group();
        let cgroup = tree.as_ref().and_then(Tree::cgroup);
        match Keeper::start(&keeper::path_beside(&self.settings.control), cgroup) {
            Ok(keeper) => self.watch_keeper(keeper),
            Err(error) => {
                tracing::warn!(%error, "no keeper: what a program prints, and how it ends, while we are dead is lost; it is tried again");
                self.keeper_gone();
            }
        }
    }

    fn keeper_group(&self) -> Option<Tree> {
        let nobody = Marks {
            env: Vec::new(),
            uid: None,
            main: None,
        };
        self.trees.named("keeper", nobody).ok()
    }

    fn watch_keeper(&mut self, keeper: Keeper) {
        match self.watch.read(keeper.as_fd(), Source::Keeper) {
            Ok(token) => self.keeping.keeper = Some((keeper, token)),
            Err(error) => tracing::warn!(%error, "the keeper cannot be watched"),
        }
    }

    /// What a former life of ours had the keeper keep of this very process.
    pub(super) fn kept_main(
        &mut self,
        name: &Name,
        instance: u16,
        process: &Process,
    ) -> Option<Pidfd> {
        let (of, main) = self.keeping.found.remove(&(name.clone(), instance))?;
        let is_it = of.pid == process.pid && of.start_time == process.start_time;
        is_it.then_some(main)
    }

    /// What was not looked for is of nobody.
    pub(super) fn forget_found(&mut self) {
        for (name, instance) in std::mem::take(&mut self.keeping.found).into_keys() {
            self.forget_kept(&name, instance);
        }
    }

    /// The main process of an instance and its pipes outlive us from now on.
    pub(super) fn keep_main(&mut self, name: &Name, instance: u16) {
        let Some((keeper, _)) = &self.keeping.keeper else {
            return;
        };
        let Some(workflow) = self.workflows.get(name) else {
            return;
        };
        let process = workflow
            .state
            .instances
            .get(usize::from(instance))
            .and_then(|instance| instance.phase.process());
        let room = workflow.rooms.get(&instance);
        let (Some(process), Some(held), Some(output)) = (
            process,
            room.and_then(|room| room.process.as_ref()),
            room.and_then(|room| room.output.as_ref()),
        ) else {
            return;
        };
        let of = Kept {
            workflow: name.clone(),
            instance,
            pid: process.pid,
            start_time: process.start_time,
        };
        let pipes = [Stream::Stdout, Stream::Stderr].map(|stream| output.pipes.fd(stream));
        let sent = keeper.keep(of, &held.pidfd, pipes);
        self.kept(sent);
    }

    /// An instance is gone for good.
    pub(super) fn forget_kept(&mut self, name: &Name, instance: u16) {
        if let Some((keeper, _)) = &self.keeping.keeper {
            let sent = keeper.forget(name, instance);
            self.kept(sent);
        }
    }

    /// One that does not listen is none.
    fn kept(&mut self, sent: io::Result<()>) {
        if let Err(error) = sent {
            tracing::warn!(%error, "the keeper does not listen");
            self.keeper_gone();
        }
    }

    /// It says nothing, or does not listen: another is to take its place.
    pub(super) fn keeper_gone(&mut self) {
        if let Some((keeper, token)) = self.keeping.keeper.take() {
            self.watch.remove(token, keeper.as_fd());
            keeper.bury();
        }
        let now = clock::now();
        let settled = self
            .keeping
            .started
            .is_none_or(|at| now.since(at) >= SETTLED);
        self.keeping.deaths = if settled { 0 } else { self.keeping.deaths + 1 };
        let wait = AGAIN_FROM.saturating_mul(1 << self.keeping.deaths.min(16));
        self.keeping.again = Some(now + wait.min(AGAIN_TO));
    }

    /// Another keeper holds everything again.
    pub(super) fn keeper_due(&mut self, now: BootTime) {
        if self.keeping.again.take_if(|at| *at <= now).is_none() {
            return;
        }
        self.start_keeper();
        if self.keeping.keeper.is_some() {
            let rooms = self.workflows.iter().flat_map(|(name, workflow)| {
                workflow.rooms.keys().map(|number| (name.clone(), *number))
            });
            for (name, instance) in rooms.collect::<Vec<_>>() {
                self.keep_main(&name, instance);
            }
        }
    }

    /// We end for good, and nothing runs on: nor does the keeper.
    pub(super) fn end_keeper(&mut self) {
        if let Some((keeper, token)) = self.keeping.keeper.take() {
            self.watch.remove(token, keeper.as_fd());
            if let Err(error) = keeper.end() {
                tracing::debug!(%error, "the keeper ends by itself");
            }
        }
        if let Some(Err(error)) = self.keeper_group().map(Tree::remove) {
            tracing::debug!(%error, "the keeper's cgroup stays");
        }
    }
}
