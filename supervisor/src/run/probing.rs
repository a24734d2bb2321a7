//! Asking programs whether they are well. Touches their network and processes.

use super::{
    Supervisor,
    jobs::{Job, Kind, Waits},
    watch::Source,
};
use crate::{
    machine::{Change, Phase, Readiness},
    os::{
        clock,
        probe::{NetProbe, Progress},
    },
};
use std::time::Duration;
use swarm_manifests::{bundle::Probe, name::Name};

/// A probe that has not answered by then has failed.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Begins the probe that is due: of readiness, or of health.
    pub(super) fn begin_probe(&mut self, name: &Name, instance: u16, run: u64) {
        let Some(probe) = self.probe_of(name, instance) else {
            return;
        };
        self.end_job_of(name, instance);
        let began = match probe {
            Probe::Exec(words) => {
                let until = clock::now() + PROBE_LIMIT;
                self.begin_command(name, instance, &words, Kind::Probe { instance, run }, until)
            }
            Probe::Tcp(_) | Probe::Http(_) => self.begin_net_probe(name, instance, run, &probe),
            Probe::Notify => self.has_notified(name, instance, run),
            Probe::Log(_) | Probe::LogRegex(_) | Probe::After(_) => Ok(()),
        };
        if let Err(reason) = began {
            self.tell(name, instance, run, Change::Probed(Err(reason)));
        }
    }

    fn begin_net_probe(
        &mut self,
        name: &Name,
        instance: u16,
        run: u64,
        probe: &Probe,
    ) -> Result<(), String> {
        let inside = self
            .room(name, instance)
            .and_then(|room| room.process.as_ref())
            .map(|held| held.pidfd.clone());
        let probe = NetProbe::start(probe, inside.as_deref()).map_err(|error| error.to_string())?;
        let id = self.jobs.next;
        let token = self
            .watch
            .read(probe.fd(), Source::Job(id))
            .map_err(|error| error.to_string())?;
        let until = Some(clock::now() + PROBE_LIMIT);
        let job = Job {
            name: name.clone(),
            kind: Kind::Probe { instance, run },
            until,
            waits: Waits::Net(probe, token),
        };
        let id = self.jobs.add(job);
        if let Some(room) = self.room(name, instance) {
            room.job = Some(id);
        }
        self.net_probe_ready(id);
        Ok(())
    }

    /// Goes on with a tcp or http probe as far as it can.
    pub(super) fn net_probe_ready(&mut self, id: u64) {
        let Some(job) = self.jobs.running.get_mut(&id) else {
            return;
        };
        let Kind::Probe { instance, run } = job.kind else {
            return;
        };
        let Waits::Net(probe, token) = &mut job.waits else {
            return;
        };
        let result = match probe.advance() {
            Progress::Passed => Ok(()),
            Progress::Failed(reason) => Err(reason),
            Progress::Pending => {
                if self
                    .watch
                    .writing(*token, probe.fd(), probe.wants_write())
                    .is_ok()
                {
                    return;
                }
                Err("its socket cannot be watched".into())
            }
        };
        self.finish_job(id, instance, run, Change::Probed(result));
    }

    fn probe_of(&self, name: &Name, instance: u16) -> Option<Probe> {
        let state = &self.workflows.get(name)?.state;
        let Phase::Alive(alive) = &state.instances.get(usize::from(instance))?.phase else {
            return None;
        };
        let spec = &state.current.as_ref()?.spec;
        if alive.ready == Readiness::Awaited {
            return spec.ready.as_ref().map(|ready| ready.probe.clone());
        }
        spec.health.as_ref().map(|health| health.probe.clone())
    }
}
