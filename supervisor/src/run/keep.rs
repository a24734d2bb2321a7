//! What outlasts us: states and the journal go to the disk, at once where that matters. Touches both.

use super::{Supervisor, story};
use crate::{
    machine::{self, Sync},
    os::clock,
};
use std::time::Duration;
use swarm_manifests::name::Name;

/// A group of journal records is on the disk within so long.
const GROUP: Duration = Duration::from_millis(100);

impl Supervisor {
    /// Saves a state. `false`: it could not be, and is tried again.
    pub(super) fn save(&mut self, name: &Name, durably: bool) -> bool {
        self.unsaved.remove(name);
        let Some(workflow) = self.workflows.get(name) else {
            return true;
        };
        if workflow.state.is_empty() {
            let kept = if workflow.unnoted {
                self.note_removal(name)
            } else {
                self.keep_what_is_over(name)
            };
            if !kept {
                self.unsaved.insert(name.clone());
            }
            return kept;
        }
        let came_back = workflow.came_back;
        let durably = durably || came_back || workflow.unnoted;
        if let Err(error) = self
            .snapshots
            .save(&workflow.state, clock::boot_id(), durably)
        {
            tracing::error!(workflow = %name, %error, "the state could not be saved; what runs goes on");
            self.unsaved.insert(name.clone());
            return false;
        }
        if let Some(workflow) = self.workflows.get_mut(name) {
            workflow.saved = machine::trail(&workflow.state);
            workflow.came_back = false;
            workflow.unnoted = false;
        }
        if came_back {
            self.drop_mark(name);
        }
        true
    }

    /// Writes a record, and hands it on to the agent.
    pub(crate) fn record(&mut self, record: swarm_manifests::report::Event, sync: Sync) {
        match self.journal.append(record, clock::wall()) {
            Ok(record) => {
                story::tell(&record);
                self.agent.journaled(record);
            }
            Err(error) => tracing::error!(%error, "a journal record is lost"),
        }
        match sync {
            Sync::Now => self.sync_journal_now(),
            Sync::Soon => self.sync_by = self.sync_by.or_else(|| Some(clock::now() + GROUP)),
        }
    }

    /// The disk takes milliseconds: a thread waits for it, and nobody else.
    pub(super) fn sync_journal(&mut self) {
        let now = clock::now();
        if self.sync_by.is_none_or(|by| by > now) {
            return;
        }
        self.sync_by = None;
        match self.journal.sync_aside() {
            Ok(true) => {}
            // The last group is not there yet.
            Ok(false) => self.sync_by = Some(now + GROUP),
            Err(error) => {
                tracing::warn!(%error, "no thread for the journal");
                self.sync_journal_now();
            }
        }
    }

    pub(super) fn sync_journal_now(&mut self) {
        self.sync_by = None;
        if let Err(error) = self.journal.sync() {
            tracing::error!(%error, "the journal could not be brought to the disk");
        }
    }
}
