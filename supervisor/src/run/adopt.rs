//! After our own death or the box's: what was saved is loaded, and every process that still lives is found again. Touches everything.

use super::{RunError, Supervisor, room::Workflow};
use crate::{
    machine::{self, Event, Instance, Survivor},
    os::{
        clock,
        identity::{Identity, adopt},
        spool::Unfinished,
    },
    snapshot::Loaded,
};
use std::sync::Arc;
use swarm_manifests::{name::Name, status::LastExit};

impl Supervisor {
    /// Goes on where the last supervisor ended; what should run and does not is started.
    pub(super) fn adopt_all(&mut self) -> Result<(), RunError> {
        let path = self.settings.state.join("supervisor/workflows");
        let (loaded, bad) = self
            .snapshots
            .load()
            .map_err(|source| RunError::Path { path, source })?;
        for problem in bad {
            tracing::error!(problem, "a saved state cannot be read");
        }
        for Loaded { state, boot } in loaded {
            let name = state.workflow.clone();
            let instances = state.instances.clone();
            let mut workflow = Workflow::new(state);
            workflow.saved = machine::trail(&workflow.state);
            self.workflows.insert(name.clone(), Box::new(workflow));
            let survivors = instances
                .iter()
                .map(|instance| self.look_for(&name, instance, &boot))
                .collect();
            self.kill_leftover_install(&name);
            self.feed(&name, Event::Recovered(survivors));
            // The box's own configuration may have changed meanwhile.
            self.apply_ceiling(&name);
        }
        if let Some(Unfinished { head, .. }) = &self.printing.unfinished {
            let (name, instance) = (head.workflow.clone(), head.instance);
            if let Err(error) = self.reopen_output(&name, instance) {
                tracing::error!(workflow = %name, instance, %error, "its last output is lost");
            }
            self.printing.unfinished = None;
        }
        self.forget_found();
        self.sweep_secrets();
        Ok(())
    }

    fn look_for(&mut self, name: &Name, instance: &Instance, boot: &str) -> Survivor {
        if boot != clock::boot_id() {
            return Survivor::Rebooted;
        }
        let number = instance.number;
        let unseen = LastExit::Unseen { seen: false };
        let nothing_left = self.tree(name, number).is_ok_and(|tree| tree.is_gone());
        if !instance.phase.has_tree() && nothing_left {
            return Survivor::Gone(unseen, false);
        }
        if let Err(error) = self.reopen_output(name, number) {
            tracing::error!(workflow = %name, instance = number, %error, "its output cannot be read");
        }
        let Some(process) = instance.phase.process() else {
            return Survivor::Gone(unseen, !nothing_left);
        };
        let handed = self.taken.main(name, number);
        let kept = self.kept_main(name, number, &process);
        let is_kept = kept.is_some();
        let identity = Identity {
            pid: process.pid,
            start_time: process.start_time,
            boot_id: boot.to_owned(),
        };
        let Some(pidfd) = handed.or(kept).or_else(|| adopt(&identity)) else {
            return Survivor::Gone(unseen, !nothing_left);
        };
        if let Some(exit) = pidfd.exit() {
            return Survivor::Gone(exit, !nothing_left);
        }
        if let Err(error) = self.hold(name, number, Arc::new(pidfd), process.pid) {
            tracing::error!(workflow = %name, instance = number, %error, "its process cannot be watched; it is ended");
            return Survivor::Gone(unseen, true);
        }
        if !is_kept {
            self.keep_main(name, number);
        }
        if let Some((unprotected, well)) = self.taken.words(name, number)
            && let Some(room) = self.room(name, number)
        {
            room.unprotected = unprotected;
            room.said.well = well;
        }
        self.remark(name, number, &format!("found again: pid {}", process.pid));
        Survivor::Alive(process)
    }

    /// Pipes and sockets of an instance that an earlier supervisor opened.
    fn reopen_output(&mut self, name: &Name, instance: u16) -> std::io::Result<()> {
        let Some(version) = self.current(name) else {
            return Ok(());
        };
        let place = self
            .place(&version, instance)
            .map_err(|obstacle| std::io::Error::other(obstacle.trouble.reason))?;
        self.ensure_output(name, instance, place.ids.as_ref(), place.spec.limits.log)?;
        let reopened = self.open_notify(name, instance, &place);
        reopened.map_err(|obstacle| std::io::Error::other(obstacle.trouble.reason))
    }
}
