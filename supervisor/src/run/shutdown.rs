//! The end: the agent is told to go; the workflows run on, or are stopped where that is wanted. Touches processes.

use super::{Supervisor, agent, systemd};
use crate::{
    os::{clock, tree::Trees},
    protocol::{Stream, ToAgent},
    settings::OnExit,
};
use std::{str::FromStr as _, time::Duration};
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

    /// Every tree: its stop signal, its grace, its end. The saved states stay as they are: started again, what should run runs.
    fn stop_everything(&mut self) {
        let mut left: Vec<(Name, u16, Duration)> = Vec::new();
        for (name, workflow) in &self.workflows {
            let Some(current) = &workflow.state.current else {
                continue;
            };
            let alive = workflow
                .state
                .instances
                .iter()
                .filter(|i| i.phase.has_tree());
            left.extend(alive.map(|i| (name.clone(), i.number, current.spec.stop.grace)));
        }
        for (name, instance, _) in &left {
            let signal = self
                .current(name)
                .and_then(|c| nix::sys::signal::Signal::from_str(&c.spec.stop.signal).ok());
            let signal = signal.unwrap_or(nix::sys::signal::Signal::SIGTERM) as i32;
            let _ = self
                .tree(name, *instance)
                .and_then(|tree| tree.signal(signal));
        }
        let installs: Vec<Name> = self.workflows.keys().cloned().collect();
        for name in installs {
            self.kill_leftover_install(&name);
        }
        let begun = clock::now();
        while !left.is_empty() {
            std::thread::sleep(LOOK);
            for (name, instance, _) in &left {
                // A writer whose pipe is full could not end.
                for stream in [Stream::Stdout, Stream::Stderr] {
                    self.read_output(name, *instance, stream);
                }
            }
            left.retain(|(name, instance, grace)| {
                let over = clock::now().since(begun) >= *grace;
                let Ok(tree) = self.tree(name, *instance) else {
                    return false;
                };
                if over {
                    let _ = tree.kill();
                }
                !tree.is_gone()
            });
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
