//! The agent's cgroup: what it started ends with it. Touches cgroups.

use super::super::Supervisor;
use crate::os::tree::{Marks, Tree};

/// More than one: who is in the last one may take a moment to end.
const GROUPS: u32 = 8;

impl Supervisor {
    /// An empty cgroup for the next agent. None: there are no cgroups here.
    pub(super) fn agent_group(&self) -> Option<Tree> {
        self.clear_agents();
        (0..GROUPS).find_map(|number| {
            let (group, is_new) = self.group_of_agent(number)?;
            is_new.then_some(group)
        })
    }

    /// Ends what is left of former agents, and removes their cgroups as far as they are empty.
    pub(in crate::run) fn clear_agents(&self) {
        for number in 0..GROUPS {
            let Some((group, is_new)) = self.group_of_agent(number) else {
                return;
            };
            let killed = if is_new { Ok(()) } else { group.kill() };
            if let Err(error) = killed.and_then(|()| group.remove()) {
                tracing::debug!(%error, "a former agent's cgroup stays for now");
            }
        }
    }

    fn group_of_agent(&self, number: u32) -> Option<(Tree, bool)> {
        let nobody = Marks {
            env: Vec::new(),
            uid: None,
            main: None,
        };
        let group = self.trees.named(&format!("agent-{number}"), nobody).ok()?;
        group.cgroup()?;
        let is_new = group.is_new();
        Some((group, is_new))
    }
}
