//! The end of everything that runs, where that is wanted at our own end: stop command, signal, grace, kill. Touches processes.
//!
//! The machines are past: their states stay as they are, so that, started again, what should run runs.

use super::{Supervisor, jobs::Waits};
use crate::{machine::StopStep, os::clock, protocol::Stream, time::BootTime};
use std::time::Duration;
use swarm_manifests::{name::Name, status::LastExit};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// An instance on its way out.
struct Leaver {
    name: Name,
    instance: u16,
    step: StopStep,
    grace: Duration,
    /// When it is no longer asked in this way.
    until: BootTime,
}

impl Supervisor {
    /// Returns when no tree is left.
    pub(super) fn stop_everything(&mut self) {
        let mut left = self.ask_all_to_leave();
        let names: Vec<Name> = self.workflows.keys().cloned().collect();
        for name in names {
            self.kill_leftover_install(&name);
        }
        while !left.is_empty() {
            std::thread::sleep(LOOK);
            for Leaver { name, instance, .. } in &left {
                // A writer whose pipe is full could not end.
                for stream in [Stream::Stdout, Stream::Stderr] {
                    self.read_output(name, *instance, stream);
                }
            }
            left.retain_mut(|one| self.is_still_there(one));
        }
        for room in self
            .workflows
            .values_mut()
            .flat_map(|workflow| workflow.rooms.values_mut())
        {
            if let Some(tree) = room.tree.take() {
                let _ = tree.remove();
            }
        }
        self.clear_all_secrets();
    }

    fn ask_all_to_leave(&mut self) -> Vec<Leaver> {
        let now = clock::now();
        let mut left = Vec::new();
        for (name, workflow) in &self.workflows {
            let Some(current) = &workflow.state.current else {
                continue;
            };
            let stop = &current.spec.stop;
            let instances = workflow.state.instances.iter();
            left.extend(instances.filter(|i| i.phase.has_tree()).map(|i| Leaver {
                name: name.clone(),
                instance: i.number,
                step: match stop.command {
                    Some(_) if i.phase.process().is_some() => StopStep::Command,
                    _ => StopStep::Signal,
                },
                grace: stop.grace,
                until: now + stop.grace,
            }));
        }
        for Leaver {
            name,
            instance,
            step,
            ..
        } in &left
        {
            match step {
                StopStep::Command => {
                    let run = self.run_of(name, *instance).unwrap_or_default();
                    self.begin_stop_command(name, *instance, run);
                }
                StopStep::Signal => self.signal_tree(name, *instance),
            }
        }
        left
    }

    /// Asks harder where it is time for that.
    fn is_still_there(&mut self, one: &mut Leaver) -> bool {
        let now = clock::now();
        let over = one.until <= now;
        match one.step {
            StopStep::Command if over || self.has_failed_to_stop(&one.name, one.instance) => {
                self.end_job_of(&one.name, one.instance);
                self.signal_tree(&one.name, one.instance);
                one.step = StopStep::Signal;
                one.until = now + one.grace;
            }
            StopStep::Signal if over => {
                let _ = self
                    .tree(&one.name, one.instance)
                    .and_then(|tree| tree.kill());
            }
            StopStep::Command | StopStep::Signal => {}
        }
        self.tree(&one.name, one.instance)
            .is_ok_and(|tree| !tree.is_gone())
    }

    /// Whether its stop command could not be run, or ended with an error.
    fn has_failed_to_stop(&mut self, name: &Name, instance: u16) -> bool {
        let job = self.room(name, instance).and_then(|room| room.job);
        let waits = job.and_then(|job| Some(&self.jobs.running.get(&job)?.waits));
        match waits {
            Some(Waits::Process(pidfd, ..)) => pidfd
                .exit()
                .is_some_and(|exit| exit != LastExit::Code { code: 0 }),
            _ => true,
        }
    }
}
