//! The end: the agent is told to go; the workflows run on, or are stopped where that is wanted. Touches processes.

use super::{Supervisor, agent, systemd};
use crate::{
    os::{clock, tree::Trees},
    protocol::ToAgent,
    settings::OnExit,
};
use std::time::Duration;
use swarm_manifests::name::Name;

/// The agent has so long to go by itself.
const AGENT_GRACE: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

impl Supervisor {
    /// Leaves everything so that the next supervisor finds it.
    pub(super) fn shut_down(&mut self) {
        systemd::notify("STOPPING=1");
        self.agent.say(&ToAgent::Stop);
        self.agent.flush();
        let stops = self.settings.on_exit == OnExit::Stop;
        if stops {
            self.stop_everything();
        }
        self.end_agent();
        self.end_indexers();
        let instances = self.workflows.values().flat_map(|w| &w.state.instances);
        if stops || !instances.clone().any(|i| i.phase.has_tree()) {
            self.end_keeper();
        }
        if stops {
            // Nothing of ours is left in the cgroup hierarchy either.
            std::mem::replace(&mut self.trees, Trees::without_cgroups()).close();
        }
        let names: Vec<Name> = self.workflows.keys().cloned().collect();
        for name in names {
            let instances: Vec<u16> = self
                .workflows
                .get(&name)
                .map(|w| w.rooms.keys().copied().collect())
                .unwrap_or_default();
            for instance in instances {
                self.finish_output(&name, instance);
            }
            self.save(&name, true);
        }
        self.sync_journal_now();
        self.control.remove();
    }

    fn end_agent(&mut self) {
        let Some(agent::Child { pidfd, .. }) = &self.agent.child else {
            return;
        };
        let begun = clock::now();
        while !pidfd.has_ended() && clock::now().since(begun) < AGENT_GRACE {
            std::thread::sleep(LOOK);
        }
        let _ = pidfd.signal(libc::SIGKILL);
        let _ = pidfd.wait();
        self.clear_agents();
    }
}
