//! `[install]`: a private writable copy, the command as the workflow's user, the result hashed and sealed. Touches `<state>/installed/`.
//!
//! A folder there is whole where it has a `hash` beside its `tree`; one without was cut off, and is made anew.

use super::{
    Supervisor,
    copies::{copy_for_install, seal_install},
    jobs::{Finished, Job, Kind, Step, Waits},
    watch::Source,
};
use crate::{
    machine::{Event, Trouble, in_words},
    os::{
        clock, spawn,
        tree::{Marks, Tree},
    },
    protocol::{InstallSpec, RunSpec},
};
use std::{
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use swarm_manifests::{bundle::Network, id::Digest, name::Name, rules, status::LastExit};

/// The number under which an install has its tree, pipes and log.
pub(crate) const INSTALL: u16 = u16::MAX;
/// An install that runs longer is given up.
const LIMIT: Duration = Duration::from_secs(30 * 60);

impl Supervisor {
    /// Where the result of an install lies: for one digest, architecture and engine version.
    pub(super) fn installed_folder(&self, spec: &RunSpec, install: &InstallSpec) -> PathBuf {
        let engine: String = format!("{}-{}", install.engine, install.engine_version)
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._+-".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .take(100)
            .collect();
        self.settings.state.join("installed").join(format!(
            "{}-{}-{engine}",
            spec.digest.hex(),
            std::env::consts::ARCH
        ))
    }

    /// Finds the result, or begins to make it.
    pub(super) fn begin_install(&mut self, name: &Name, revision: Digest) {
        let Some(spec) = self
            .workflows
            .get(name)
            .and_then(|w| w.state.version(&revision))
            .map(|version| version.spec.clone())
        else {
            return;
        };
        let Some(install) = &spec.install else { return };
        let folder = self.installed_folder(&spec, install);
        for job in self.jobs.running.values_mut() {
            if let Kind::Install {
                folder: other,
                others,
                ..
            } = &mut job.kind
                && *other == folder
            {
                // Somebody installs the very same, or it was cancelled a moment ago: look again when that is over.
                others.push((name.clone(), revision));
                return;
            }
        }
        let checked = self
            .rehasher
            .check(&spec.store, &spec.digest)
            .map_err(|error| error.to_string());
        let ids = self
            .users
            .ids(&spec, &self.settings.state)
            .map_err(|error| error.to_string());
        let ids = match checked.and(ids) {
            Ok(ids) => ids,
            Err(reason) => return self.install_over(name, revision, Err(reason)),
        };
        let kind = Kind::Install {
            revision,
            folder: folder.clone(),
            cancelled: false,
            others: Vec::new(),
        };
        let job = self.jobs.add(Job {
            name: name.clone(),
            kind,
            until: None,
            waits: Waits::Thread,
        });
        let store = spec.store.join("tree");
        self.jobs
            .spawn_thread(job, move || copy_for_install(&folder, &store, ids.as_ref()));
    }

    /// Its result is not wanted any more: its processes are killed, its folder stays unfinished.
    pub(super) fn cancel_install(&mut self, name: &Name, wanted: Digest) {
        let mut kill = None;
        for (id, job) in &mut self.jobs.running {
            if let Kind::Install {
                revision,
                cancelled,
                others,
                ..
            } = &mut job.kind
            {
                others.retain(|(other, revision)| other != name || *revision != wanted);
                if job.name == *name && *revision == wanted {
                    *cancelled = true;
                    kill = Some(*id);
                }
            }
        }
        if let Some(id) = kill {
            self.kill_install_tree(id);
        }
    }

    pub(super) fn kill_install_tree(&mut self, job: u64) {
        let Some(name) = self.jobs.running.get(&job).map(|job| job.name.clone()) else {
            return;
        };
        if let Err(error) = self.install_tree(&name).and_then(|tree| tree.kill()) {
            tracing::warn!(workflow = %name, %error, "an install could not be killed");
        }
    }

    /// An install of an earlier supervisor goes on writing, and nobody waits for it.
    pub(super) fn kill_leftover_install(&mut self, name: &Name) {
        let installs = |w: &super::room::Workflow| {
            w.state
                .current
                .iter()
                .chain(&w.state.successor)
                .any(|v| v.spec.install.is_some())
        };
        if !self
            .workflows
            .get(name)
            .is_some_and(|workflow| installs(workflow))
        {
            return;
        }
        let ended = self.install_tree(name).and_then(|tree| {
            if tree.is_gone() {
                tree.remove()
            } else {
                tree.kill()
            }
        });
        if let Err(error) = ended {
            tracing::warn!(workflow = %name, %error, "an earlier install could not be killed");
        }
    }

    /// A new tree for an install; what an earlier one left is ended first.
    fn fresh_install_tree(&self, name: &Name) -> io::Result<Tree> {
        for _ in 0..200 {
            let tree = self.install_tree(name)?;
            if tree.is_gone() {
                tree.remove()?;
                return self.install_tree(name);
            }
            tree.kill()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(io::Error::other(
            "what an earlier install left does not end",
        ))
    }

    fn install_tree(&self, name: &Name) -> io::Result<Tree> {
        let marks = Marks {
            env: format!("SWARM_INSTALL={name}").into_bytes(),
            uid: None,
            main: None,
        };
        self.trees.named(&format!("{name}.install"), marks)
    }

    /// A thread has done its part.
    pub(super) fn install_step(&mut self, finished: Finished) {
        let Some(job) = self.jobs.running.get(&finished.job) else {
            return;
        };
        let Kind::Install { cancelled, .. } = &job.kind else {
            return;
        };
        let result = match finished.result {
            _ if *cancelled => Err("cancelled".into()),
            Ok(Step::Copied) => match self.run_install(finished.job) {
                Ok(()) => return,
                Err(reason) => Err(reason),
            },
            Ok(Step::Found(hash) | Step::Sealed(hash)) => Ok(hash),
            Err(reason) => Err(reason),
        };
        self.finish_install(finished.job, result);
    }

    /// Runs the command in the private copy.
    fn run_install(&mut self, id: u64) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let job = self.jobs.running.get(&id).ok_or("cancelled")?;
        let Kind::Install {
            revision, folder, ..
        } = &job.kind
        else {
            return Err("cancelled".into());
        };
        let (name, folder) = (job.name.clone(), folder.clone());
        let version = self
            .workflows
            .get(&name)
            .and_then(|w| w.state.version(revision))
            .cloned()
            .ok_or("cancelled")?;
        let install = version.spec.install.clone().ok_or("cancelled")?.install;
        let version = self
            .allowed(&name, version)
            .map_err(|obstacle| obstacle.trouble.reason)?;
        let mut place = self
            .place(&version, INSTALL)
            .map_err(|obstacle| obstacle.trouble.reason)?;
        place.bundle = folder.join("tree");
        place.folders = crate::os::folders::Folders {
            state: folder.join("tree"),
            home: folder.join("home"),
            tmp: folder.join("tmp"),
        };
        let spec = Arc::make_mut(&mut place.spec);
        spec.workdir = swarm_manifests::bundle::Workdir::Bundle(String::new());
        if !install.network {
            spec.sandbox.network = Network::None;
        }
        place.notify = None;
        // What an install needs is in its bundle.
        place.secrets = None;
        self.ensure_output(&name, INSTALL, place.ids.as_ref(), place.spec.limits.log)
            .map_err(text)?;
        let room = self
            .room(&name, INSTALL)
            .and_then(|room| room.output.as_ref())
            .ok_or("no output")?;
        let ends = room.pipes.for_child().map_err(text)?;
        let mut tree = self.fresh_install_tree(&name).map_err(text)?;
        let mut launch = self.launch(&place, 0, &install.command, ends);
        launch
            .env
            .insert("SWARM_INSTALL".into(), name.to_string().into());
        launch.write = vec![folder];
        launch.read = Vec::new();
        launch.cgroup = tree.cgroup().map(Path::to_owned);
        launch.limits = tree.limit(&self.settings.ceiling.limits).rest;
        let child = spawn::spawn(launch).map_err(|error| error.to_string())?;
        let token = self
            .watch
            .read(child.pidfd.as_fd(), Source::Job(id))
            .map_err(text)?;
        self.remark(
            &name,
            INSTALL,
            &format!(
                "[install] of {} {} runs",
                version.spec.bundle, version.spec.version
            ),
        );
        if let Some(job) = self.jobs.running.get_mut(&id) {
            job.waits = Waits::Process(child.pidfd, token, child.pid);
            job.until = Some(clock::now() + LIMIT);
        }
        Ok(())
    }

    /// The command ended.
    pub(super) fn install_ran(&mut self, id: u64, exit: &LastExit) {
        // What it left running would go on writing into the sealed folder.
        self.kill_install_tree(id);
        let Some(job) = self.jobs.running.get_mut(&id) else {
            return;
        };
        let Kind::Install {
            folder, cancelled, ..
        } = &job.kind
        else {
            return;
        };
        let (name, folder, cancelled) = (job.name.clone(), folder.clone(), *cancelled);
        job.until = None;
        if let Waits::Process(pidfd, token, _) = std::mem::replace(&mut job.waits, Waits::Thread) {
            self.watch.remove(token, pidfd.as_fd());
        }
        self.finish_output(&name, INSTALL);
        self.remark(&name, INSTALL, &format!("[install] {}", in_words(exit)));
        if cancelled || *exit != (LastExit::Code { code: 0 }) {
            let reason = format!(
                "[install] command {}; swarm-agent logs {name} has what it said",
                in_words(exit)
            );
            return self.finish_install(id, Err(reason));
        }
        self.jobs.spawn_thread(id, move || seal_install(&folder));
    }

    fn finish_install(&mut self, id: u64, result: Result<Digest, String>) {
        let Some(job) = self.jobs.running.remove(&id) else {
            return;
        };
        let Kind::Install {
            revision,
            cancelled,
            others,
            ..
        } = job.kind
        else {
            return;
        };
        if !cancelled {
            self.install_over(&job.name, revision, result);
        }
        for (name, revision) in others {
            self.begin_install(&name, revision);
        }
    }

    fn install_over(&mut self, name: &Name, revision: Digest, result: Result<Digest, String>) {
        let event = match result {
            Ok(hash) => Event::Installed(revision, hash),
            Err(reason) => Event::InstallFailed(
                revision,
                Trouble {
                    reason,
                    rule: Some(rules::run::INSTALL.id.into()),
                    tried: true,
                },
            ),
        };
        self.queue.push_back((name.clone(), event));
    }
}
