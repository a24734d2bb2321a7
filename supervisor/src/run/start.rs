//! A start: everything is looked at once more, then the process is made. A spec goes in, a process or the reason why not comes out.

use super::{
    Supervisor,
    place::Place,
    room::{Birth, Held, Output, STREAMS, Said},
    watch::Source,
};
use crate::{
    machine::{Change, Event, Phase, Preparation, Process, Trouble, Version},
    os::{
        clock,
        folders::{self},
        identity,
        launch::Ids,
        logs::LogWriter,
        notify::NotifySocket,
        pipes::Pipes,
        ports,
        report::Report,
        spawn::{self, SpawnError},
        users::UserError,
    },
    time::BootTime,
};
use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    sync::Arc,
};
use swarm_manifests::{
    bundle::Workdir,
    name::Name,
    rules::{self, Rule},
};

/// Why a start fails; `passing`: it is nobody's fault and may pass by itself.
pub(super) struct Obstacle {
    pub trouble: Trouble,
    pub passing: bool,
}

impl Obstacle {
    pub(super) fn passing(rule: &Rule, reason: impl Into<String>) -> Self {
        Self {
            trouble: Trouble {
                reason: reason.into(),
                rule: Some(rule.id.into()),
                tried: true,
            },
            passing: true,
        }
    }

    fn lasting(rule: &Rule, reason: impl Into<String>) -> Self {
        Self {
            passing: false,
            ..Self::passing(rule, reason)
        }
    }

    fn disk(what: &str, error: &io::Error) -> Self {
        Self::passing(&rules::run::DISK, format!("{what}: {error}"))
    }

    fn spawn(error: &SpawnError) -> Self {
        Self {
            passing: error.is_missing(),
            ..Self::lasting(&rules::run::EXEC, error.to_string())
        }
    }

    pub(super) fn user(error: &UserError) -> Self {
        match error {
            UserError::Root(_) => Self::lasting(&rules::run::USER, error.to_string()),
            // Somebody may add who is missing.
            _ => Self::passing(&rules::run::USER, error.to_string()),
        }
    }
}

impl Supervisor {
    /// Starts the main process of an instance; the machine is told how it went, at once or when it came to its program.
    pub(super) fn start_process(&mut self, name: &Name, instance: u16, run: u64) {
        if let Err(obstacle) = self.begin_start(name, instance, run) {
            self.not_started(name, instance, run, obstacle);
        }
    }

    fn not_started(&mut self, name: &Name, instance: u16, run: u64, obstacle: Obstacle) {
        let words = format!("not started: {}", obstacle.trouble.reason);
        self.remark(name, instance, &words);
        let change = Change::StartFailed(obstacle.trouble, obstacle.passing);
        self.tell(name, instance, run, change);
    }

    fn begin_start(&mut self, name: &Name, instance: u16, run: u64) -> Result<(), Obstacle> {
        let version = self
            .current(name)
            .ok_or_else(|| Obstacle::lasting(&rules::run::EXEC, "nothing is to run"))?;
        let version = self.allowed(name, version)?;
        if let Some(taken) = ports::first_taken(&version.spec.ports) {
            let by = taken
                .by
                .map_or_else(String::new, |(pid, name)| format!(" by {name} (pid {pid})"));
            return Err(Obstacle::passing(
                &rules::run::PORT,
                format!("port {} is taken{by}", taken.port),
            ));
        }
        let place = self.place(&version, instance)?;
        self.check_stored(&version, &place)?;
        let folders = folders::make(&self.settings.state, name, instance, place.ids.as_ref());
        folders.map_err(|error| Obstacle::disk("its state folder", &error))?;
        if let Workdir::State(below) = &place.spec.workdir {
            folders::make_below(&place.folders, below, place.ids.as_ref())
                .map_err(|error| Obstacle::disk("its working directory", &error))?;
        }
        self.lay_out_secrets(&place, instance)?;
        let (stdout, stderr) = self.open_output(name, instance, &place)?;
        self.open_notify(name, instance, &place)?;
        let tree = self.tree(name, instance).map_err(|error| {
            Obstacle::lasting(&rules::run::EXEC, format!("its cgroup: {error}"))
        })?;
        let enforced = tree.limit(&place.spec.limits);
        let cgroup = tree.cgroup().map(Path::to_owned);
        let mut launch = self.launch(&place, instance, &place.spec.command, (stdout, stderr));
        launch.cgroup = cgroup;
        launch.limits = enforced.rest;
        let failed = |text: String| Obstacle::lasting(&rules::run::EXEC, text);
        let begun = match &self.seats {
            Some(seats) => spawn::begin_seated(launch, seats),
            None => spawn::begin(launch),
        };
        let birth = begun.map_err(|error| Obstacle::spawn(&error))?;
        let mut unprotected = enforced.enforced;
        unprotected.extend(birth.missing.iter().map(ToString::to_string));
        unprotected.extend(enforced.missing);
        let pidfd = Arc::new(birth.pidfd);
        let watched = self
            .hold(name, instance, Arc::clone(&pidfd), birth.pid)
            .and_then(|()| {
                let source = Source::Birth(name.clone(), instance);
                self.watch.read(birth.report.fd(), source)
            });
        let token = watched.map_err(|error| {
            spawn::end(&pidfd);
            failed(error.to_string())
        })?;
        self.save_birth(name, instance, run, birth.pid);
        self.keep_main(name, instance);
        birth.report.let_go();
        if let Some(room) = self.room(name, instance) {
            room.unprotected = unprotected;
            room.protections = None;
            room.ids = place.ids;
            room.birth = Some(Box::new(Birth {
                report: birth.report,
                token,
                run,
            }));
        }
        let until = clock::now() + spawn::PATIENCE;
        self.births.push_back((until, name.clone(), instance, run));
        Ok(())
    }

    /// Whoever comes after us knows the process before it comes to its program. Only our own death matters here: the disk need not have it.
    fn save_birth(&mut self, name: &Name, instance: u16, run: u64, pid: i32) {
        let start_time = identity::start_time(pid).unwrap_or_default();
        let process = Process { pid, start_time };
        self.feed(name, Event::Instance(instance, run, Change::Born(process)));
        self.save(name, false);
    }

    /// A main process came to its program, or told why not, or its time for that is over.
    pub(super) fn born(&mut self, name: &Name, instance: u16, is_late: bool) {
        let Some(room) = self.room(name, instance) else {
            return;
        };
        let (Some(birth), Some(held)) = (room.birth.take(), &room.process) else {
            return;
        };
        let said = birth.report.outcome();
        let Some(outcome) = said.or_else(|| is_late.then(|| Err(Report::too_late()))) else {
            room.birth = Some(birth);
            return;
        };
        let (pidfd, pid, held_token) = (Arc::clone(&held.pidfd), held.pid, held.token);
        self.watch.remove(birth.token, birth.report.fd());
        match outcome {
            Ok(()) => {
                let start_time = identity::start_time(pid).unwrap_or_default();
                if let Some(current) = self.current(name) {
                    let (bundle, version) = (&current.spec.bundle, &current.spec.version);
                    let words = format!("started {bundle} {version} as pid {pid}");
                    self.remark(name, instance, &words);
                }
                let process = Process { pid, start_time };
                self.tell(name, instance, birth.run, Change::Started(process));
            }
            Err(error) => {
                spawn::end(&pidfd);
                self.watch.remove(held_token, &*pidfd);
                if let Some(room) = self.room(name, instance) {
                    room.process = None;
                }
                let obstacle = Obstacle::spawn(&error);
                self.not_started(name, instance, birth.run, obstacle);
            }
        }
    }

    /// When the oldest birth is given up.
    pub(super) fn birth_deadline(&self) -> Option<BootTime> {
        self.births.front().map(|(until, ..)| *until)
    }

    /// Forgets births that are over, and gives up those whose time is.
    pub(super) fn births_due(&mut self, now: BootTime) {
        while let Some((until, name, instance, run)) = self.births.pop_front() {
            let waits = self
                .room(&name, instance)
                .and_then(|room| room.birth.as_ref())
                .is_some_and(|birth| birth.run == run);
            if waits && until > now {
                return self.births.push_front((until, name, instance, run));
            }
            if waits {
                self.born(&name, instance, true);
            }
        }
    }

    /// Before something that a main process said is heard: its birth is known to the machine.
    pub(super) fn know_birth(&mut self, name: &Name, instance: u16) {
        self.born(name, instance, false);
        // It may be that it was told already, and is yet to be heard.
        let state = self.workflows.get(name).map(|workflow| &workflow.state);
        let phase = state.and_then(|state| state.instances.get(usize::from(instance)));
        if phase.is_some_and(|i| matches!(i.phase, Phase::Starting | Phase::Born(_))) {
            while let Some((name, event)) = self.queue.pop_front() {
                self.feed(&name, event);
            }
        }
    }

    pub(super) fn current(&self, name: &Name) -> Option<Version> {
        self.workflows.get(name)?.state.current.clone()
    }

    /// Watches over a main process.
    pub(super) fn hold(
        &mut self,
        name: &Name,
        instance: u16,
        pidfd: Arc<crate::os::identity::Pidfd>,
        pid: i32,
    ) -> io::Result<()> {
        let token = self
            .watch
            .read(pidfd.as_fd(), Source::Exit(name.clone(), instance))?;
        if let Some(room) = self.room(name, instance) {
            room.process = Some(Held { pidfd, token, pid });
            if let Some(tree) = &mut room.tree {
                tree.set_main(pid);
            }
        }
        Ok(())
    }

    /// Whether what is stored is what was signed, and what was installed is what was sealed.
    fn check_stored(&mut self, version: &Version, place: &Place) -> Result<(), Obstacle> {
        let changed = |what: String| Obstacle::passing(&rules::run::CHANGED, what);
        let Some(Preparation::Done(Some(expected))) = place
            .spec
            .install
            .as_ref()
            .map(|_| version.preparation.clone())
        else {
            let checked = self.rehasher.check(&place.spec.store, &place.spec.digest);
            return checked.map_err(|error| {
                changed(format!("the stored bundle is not what was signed: {error}"))
            });
        };
        let found = self
            .rehasher
            .hash_folder(&place.bundle)
            .map_err(|error| changed(format!("the installed copy: {error}")))?;
        if found != expected {
            return Err(changed(format!(
                "the installed copy has hash {found}, not {expected}"
            )));
        }
        Ok(())
    }

    fn open_output(
        &mut self,
        name: &Name,
        instance: u16,
        place: &Place,
    ) -> Result<(OwnedFd, OwnedFd), Obstacle> {
        self.ensure_output(name, instance, place.ids.as_ref(), place.spec.limits.log)
            .map_err(|error| Obstacle::disk("its output", &error))?;
        let output = self
            .room(name, instance)
            .and_then(|room| room.output.as_ref());
        let ends = output
            .ok_or(io::ErrorKind::NotFound.into())
            .and_then(|output| output.pipes.for_child());
        ends.map_err(|error| Obstacle::disk("its output", &error))
    }

    /// Pipes and log of an instance, opened or found open.
    pub(super) fn ensure_output(
        &mut self,
        name: &Name,
        instance: u16,
        ids: Option<&Ids>,
        max: Option<swarm_manifests::units::ByteSize>,
    ) -> io::Result<()> {
        if self
            .room(name, instance)
            .is_some_and(|room| room.output.is_some())
        {
            return Ok(());
        }
        std::fs::create_dir_all(self.pipe_folder(name, instance))?;
        std::fs::create_dir_all(self.log_folder(name))?;
        let pipes = Pipes::open(&self.pipe_folder(name, instance), ids)?;
        let mut log = LogWriter::open(&self.log_folder(name), instance, max)?;
        if self.printing.forwarder.is_some() {
            log = log.copied();
        }
        let mut tokens = Vec::new();
        for stream in STREAMS {
            tokens.push(self.watch.read(
                pipes.fd(stream),
                Source::Output(name.clone(), instance, stream),
            )?);
        }
        if let Some(room) = self.room(name, instance) {
            room.output = Some(Output {
                pipes,
                tokens: [tokens[0], tokens[1]],
                log,
                kept_rest: [false; 2],
            });
        }
        self.finish_former(name, instance)
    }

    pub(super) fn open_notify(
        &mut self,
        name: &Name,
        instance: u16,
        place: &Place,
    ) -> Result<(), Obstacle> {
        let Some(path) = &place.notify else {
            return Ok(());
        };
        let handed = self.taken.notify(name, instance);
        let bound = handed.map_or_else(|| NotifySocket::bind(path, place.ids.as_ref()), Ok);
        let bound = bound.and_then(|socket| {
            let token = self
                .watch
                .read(socket.fd(), Source::Notify(name.clone(), instance))?;
            Ok((socket, token))
        });
        let bound = bound.map_err(|error| Obstacle::disk("its NOTIFY_SOCKET", &error))?;
        let old = self.room(name, instance).and_then(|room| {
            // What it said while nobody was there to hear it is not held against it.
            room.said = Said {
                well: true,
                ..Said::default()
            };
            room.notify.replace(bound)
        });
        if let Some((socket, token)) = old {
            self.watch.remove(token, socket.fd());
        }
        Ok(())
    }
}
