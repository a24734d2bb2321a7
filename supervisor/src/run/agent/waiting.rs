//! An agent that is away for a moment: who asks waits for it, and it is ended where it has to see something anew. Touches its process.

use super::super::{Supervisor, given};
use crate::{os::clock, protocol::Query, time::BootTime};
use std::time::Duration;

/// So long a question waits for an agent that is away, unless it says itself how long.
const PATIENCE: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Keeps a question for an agent that is about to come. `false`: none is, or there is nothing to wait for.
    pub(crate) fn wait_for_agent(&mut self, client: u64, query: &Query) -> bool {
        let patience = match query {
            Query::Sync { timeout_ms } => Duration::from_millis(*timeout_ms),
            Query::Status | Query::Plan | Query::Why { .. } => PATIENCE,
            Query::Reload => return false,
        };
        let comes = self.agent.child.is_some() || self.agent.again.is_some();
        if comes {
            let until = clock::now() + patience;
            self.agent.waiting.push((until, client, query.clone()));
        }
        comes
    }

    /// Whoever waited long enough for the agent is told what is known without it.
    pub(crate) fn agent_waits_due(&mut self, now: BootTime) {
        let (over, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.agent.waiting)
            .into_iter()
            .partition(|(until, ..)| *until <= now);
        self.agent.waiting = waiting;
        for (_, client, query) in over {
            self.agent_is_away(client, &query, "the agent is away");
        }
    }

    /// Another folder stands where a path of its configuration leads: it is started again, to see that.
    pub(crate) fn refresh_agent(&mut self) {
        let Some(child) = &self.agent.child else {
            return;
        };
        let (paths, then) = &child.given;
        if self.agent.is_there() && given::identities(paths) != *then {
            self.agent.is_refreshed = true;
            self.agent_gone("a folder of its configuration was replaced");
        }
    }
}
