//! One turn of the loop: events go to their machines, effects are carried out, what was put off is done. Touches what effects touch.

use super::Supervisor;
use crate::{
    machine::{self, Event, Now},
    os::clock,
};
use swarm_manifests::name::Name;

/// So many events are seen to before descriptors have their turn again.
const TURN: usize = 64;

impl Supervisor {
    /// Everything that follows from what happened, until nothing does or others have waited long enough; then what was put off.
    pub(super) fn turn_over(&mut self) {
        for _ in 0..TURN {
            self.look_after_trees();
            let Some((name, event)) = self.queue.pop_front() else {
                break;
            };
            self.feed(&name, event);
        }
        for name in std::mem::take(&mut self.unsaved) {
            self.save(&name, false);
            self.let_go(&name);
        }
        self.set_schedule();
        self.sync_journal();
        self.answer_waiting();
        self.publish();
        self.pump_clients();
    }

    /// One event to one machine; what follows is done.
    pub(crate) fn feed(&mut self, name: &Name, event: Event) {
        let mut workflow = self
            .workflows
            .remove(name)
            .unwrap_or_else(|| Box::new(self.appeared(name)));
        let before = workflow.state.clone();
        let now = Now {
            boot: clock::now(),
            wall: clock::wall(),
            dice: clock::dice(),
        };
        self.secrets_arrived(&event);
        let (state, effects) = machine::step(workflow.state, event, now);
        let deadline = machine::deadline(&state);
        if workflow.deadline != deadline {
            if let Some(at) = workflow.deadline {
                self.ticks.remove(&(at, name.clone()));
            }
            self.ticks.extend(deadline.map(|at| (at, name.clone())));
            workflow.deadline = deadline;
        }
        workflow.state = state;
        if workflow.state != before || !effects.is_empty() {
            self.changed.insert(name.clone());
            self.unsaved.insert(name.clone());
        }
        self.note_clearing(&workflow);
        self.workflows.insert(name.clone(), workflow);
        self.forget_secrets(name, false);
        self.carry_out(name, effects);
        self.let_go(name);
        self.keep_schedule(name);
    }
}
