//! Side jobs: installs, probes and stop commands, each with a process or socket to wait for and a time by which it is over.

use super::{
    Supervisor,
    place::Place,
    watch::{Source, Token},
};
use crate::{
    machine::Change,
    os::{clock, identity::Pidfd, probe::NetProbe, spawn},
    time::BootTime,
};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::{
    collections::BTreeMap,
    io,
    os::fd::AsFd as _,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Duration,
};
use swarm_manifests::{id::Digest, name::Name, status::LastExit};

/// Everything under way.
pub(super) struct Jobs {
    pub(super) running: BTreeMap<u64, Job>,
    pub(super) next: u64,
    wakeup: Arc<EventFd>,
    send: mpsc::Sender<Finished>,
    receive: mpsc::Receiver<Finished>,
}

/// One job.
pub(super) struct Job {
    pub name: Name,
    pub kind: Kind,
    pub until: Option<BootTime>,
    pub waits: Waits,
}

pub(super) enum Kind {
    /// `[install]` of a revision, in this folder; others that wait for the same folder.
    Install {
        revision: Digest,
        folder: PathBuf,
        cancelled: bool,
        others: Vec<(Name, Digest)>,
    },
    Probe {
        instance: u16,
        run: u64,
    },
    StopCommand {
        instance: u16,
        run: u64,
    },
}

/// What a job waits for.
pub(super) enum Waits {
    /// A thread.
    Thread,
    Process(Pidfd, Token, i32),
    Net(NetProbe, Token),
}

/// What a thread did.
pub(super) enum Step {
    /// The install was there already.
    Found(Digest),
    /// The private copy is made.
    Copied,
    /// The result is sealed.
    Sealed(Digest),
}

/// A thread's report.
pub(super) struct Finished {
    pub job: u64,
    pub result: Result<Step, String>,
}

impl Jobs {
    pub(super) fn new() -> io::Result<Self> {
        let wakeup = Arc::new(EventFd::from_flags(
            EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
        )?);
        let (send, receive) = mpsc::channel();
        Ok(Self {
            running: BTreeMap::new(),
            next: 1,
            wakeup,
            send,
            receive,
        })
    }

    pub(super) fn wakeup(&self) -> &EventFd {
        &self.wakeup
    }

    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.running.values().filter_map(|job| job.until).min()
    }

    pub(super) fn add(&mut self, job: Job) -> u64 {
        let id = self.next;
        self.next += 1;
        self.running.insert(id, job);
        id
    }

    /// Work on many files, beside the loop. It ends by itself, and wakes the loop.
    pub(super) fn spawn_thread(
        &self,
        job: u64,
        work: impl FnOnce() -> Result<Step, String> + Send + 'static,
    ) {
        let (send, wakeup) = (self.send.clone(), Arc::clone(&self.wakeup));
        let started = std::thread::Builder::new()
            .name("files".into())
            .spawn(move || {
                let result = work();
                // The loop is gone only when the whole process ends.
                let _ = send.send(Finished { job, result });
                let _ = wakeup.write(1);
            });
        if let Err(error) = started {
            let _ = self.send.send(Finished {
                job,
                result: Err(format!("no thread: {error}")),
            });
            let _ = self.wakeup.write(1);
        }
    }
}

impl Supervisor {
    pub(super) fn workers_done(&mut self) {
        let _ = self.jobs.wakeup().read();
        while let Ok(finished) = self.jobs.receive.try_recv() {
            self.install_step(finished);
        }
    }

    /// A job's process ended, or its socket is ready.
    pub(super) fn job_ready(&mut self, id: u64) {
        let Some(job) = self.jobs.running.get_mut(&id) else {
            return;
        };
        match &mut job.waits {
            Waits::Thread => {}
            Waits::Net(..) => self.net_probe_ready(id),
            Waits::Process(pidfd, ..) => {
                if let Some(exit) = pidfd.exit() {
                    self.job_exited(id, &exit);
                }
            }
        }
    }

    fn job_exited(&mut self, id: u64, exit: &LastExit) {
        let Some(job) = self.jobs.running.get(&id) else {
            return;
        };
        let well = *exit == LastExit::Code { code: 0 };
        let words = || crate::machine::in_words(exit);
        match job.kind {
            Kind::Install { .. } => self.install_ran(id, exit),
            Kind::Probe { instance, run } => {
                let result = if well {
                    Ok(())
                } else {
                    Err(format!("the probe command {}", words()))
                };
                self.finish_job(id, instance, run, Change::Probed(result));
            }
            Kind::StopCommand { instance, run } => {
                self.finish_job(id, instance, run, Change::StopCommandDone(well));
            }
        }
    }

    /// Jobs whose time is over.
    pub(super) fn jobs_due(&mut self, now: BootTime) {
        let due: Vec<u64> = self
            .jobs
            .running
            .iter()
            .filter(|(_, job)| job.until.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let Some(job) = self.jobs.running.get_mut(&id) else {
                continue;
            };
            if let Waits::Process(pidfd, _, _) = &job.waits {
                // Its end is heard like any other.
                let _ = pidfd.signal(libc::SIGKILL);
                job.until = Some(now + Duration::from_secs(1));
                if let Kind::Install { .. } = job.kind {
                    self.kill_install_tree(id);
                }
            } else if let Kind::Probe { instance, run } = job.kind {
                self.finish_job(
                    id,
                    instance,
                    run,
                    Change::Probed(Err("no answer in time".into())),
                );
            }
        }
    }

    pub(super) fn finish_job(&mut self, id: u64, instance: u16, run: u64, change: Change) {
        let Some(name) = self.jobs.running.get(&id).map(|job| job.name.clone()) else {
            return;
        };
        self.drop_job(id);
        if let Some(room) = self
            .room(&name, instance)
            .filter(|room| room.job == Some(id))
        {
            room.job = None;
        }
        self.tell(&name, instance, run, change);
    }

    /// Forgets a job; its process, where it has one, is killed.
    pub(super) fn drop_job(&mut self, id: u64) {
        let Some(job) = self.jobs.running.remove(&id) else {
            return;
        };
        match job.waits {
            Waits::Thread => {}
            Waits::Net(probe, token) => self.watch.remove(token, probe.fd()),
            Waits::Process(pidfd, token, _) => {
                let _ = pidfd.signal(libc::SIGKILL);
                self.watch.remove(token, pidfd.as_fd());
                // Usually it is a zombie now; else SIGCHLD tells, and it is reaped with the strangers.
                let _ = pidfd.wait();
            }
        }
    }

    pub(super) fn end_job_of(&mut self, name: &Name, instance: u16) {
        if let Some(job) = self.room(name, instance).and_then(|room| room.job.take()) {
            self.drop_job(job);
        }
    }

    /// `[stop] command`, inside the instance's own walls.
    pub(super) fn begin_stop_command(&mut self, name: &Name, instance: u16, run: u64) {
        let grace = self
            .current(name)
            .map_or(Duration::ZERO, |version| version.spec.stop.grace);
        let words = self
            .current(name)
            .and_then(|version| version.spec.stop.command.clone())
            .unwrap_or_default();
        self.end_job_of(name, instance);
        let until = clock::now() + grace;
        if let Err(reason) = self.begin_command(
            name,
            instance,
            &words,
            Kind::StopCommand { instance, run },
            until,
        ) {
            self.remark(
                name,
                instance,
                &format!("the stop command could not be run: {reason}"),
            );
            self.tell(name, instance, run, Change::StopCommandDone(false));
        }
    }

    /// A command beside an instance's main process: same user, folders, namespaces and tree.
    pub(super) fn begin_command(
        &mut self,
        name: &Name,
        instance: u16,
        words: &[String],
        kind: Kind,
        until: BootTime,
    ) -> Result<(), String> {
        let version = self.current(name).ok_or("nothing runs")?;
        let place: Place = self
            .place(&version, instance)
            .map_err(|obstacle| obstacle.trouble.reason)?;
        let room = self.room(name, instance).ok_or("nothing runs")?;
        let ends = room
            .output
            .as_ref()
            .ok_or("no output")?
            .pipes
            .for_child()
            .map_err(|error| error.to_string())?;
        let join = room.process.as_ref().map(|held| Arc::clone(&held.pidfd));
        let cgroup = room
            .tree
            .as_ref()
            .and_then(|tree| tree.cgroup())
            .map(std::path::Path::to_owned);
        let mut launch = self.launch(&place, instance, words, ends);
        launch.join = join;
        launch.cgroup = cgroup;
        let child = spawn::spawn(launch).map_err(|error| error.to_string())?;
        let id = self.jobs.next;
        let token = self
            .watch
            .read(child.pidfd.as_fd(), Source::Job(id))
            .map_err(|error| error.to_string())?;
        let job = Job {
            name: name.clone(),
            kind,
            until: Some(until),
            waits: Waits::Process(child.pidfd, token, child.pid),
        };
        let id = self.jobs.add(job);
        if let Some(room) = self.room(name, instance) {
            room.job = Some(id);
        }
        Ok(())
    }

    /// Zombies that nobody else waits for.
    pub(super) fn reap_strangers(&mut self) {
        if !self.trees.needs_reaping() && !self.taken.is_some() {
            return;
        }
        let rooms = self
            .workflows
            .values()
            .flat_map(|workflow| workflow.rooms.values());
        let mut ours: std::collections::BTreeSet<i32> = rooms
            .filter_map(|room| room.process.as_ref())
            .map(|held| held.pid)
            .collect();
        ours.extend(self.jobs.running.values().filter_map(Job::pid));
        ours.extend(self.agent.pid());
        crate::os::identity::reap_orphans(&|pid| ours.contains(&pid));
    }
}

impl Job {
    fn pid(&self) -> Option<i32> {
        match self.waits {
            Waits::Process(_, _, pid) => Some(pid),
            _ => None,
        }
    }
}
