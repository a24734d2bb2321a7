//! Questions for the agent: they go to it, or wait for one that is away for a moment; and it is ended where it has to see something anew.
//! Touches its process.

use super::{
    super::{Supervisor, given},
    Link,
};
use crate::{
    control::Feed,
    os::clock,
    protocol::{Query, Response},
    time::BootTime,
};
use std::time::Duration;

/// So many questions wait for the agent at a time; more are told that there is no room.
const QUESTIONS: usize = 32;
/// So long a question waits for an agent that is away, unless it says itself how long.
const PATIENCE: Duration = Duration::from_secs(5);
/// And so long at most, whatever it says.
const LONGEST: Duration = Duration::from_secs(3600);

impl Link {
    /// How many questions are not answered yet.
    pub(crate) fn questions(&self) -> usize {
        self.waiting.len() + self.queries.len()
    }

    /// Who asked has gone.
    pub(crate) fn forget_questions(&mut self, client: u64) {
        self.waiting.retain(|(_, asked, _)| *asked != client);
        self.queries.retain(|_, (asked, _)| *asked != client);
    }
}

/// How long a question waits for an agent that is away, where it does.
fn patience(query: &Query) -> Option<Duration> {
    match query {
        Query::Sync { timeout_ms } => Some(Duration::from_millis(*timeout_ms).min(LONGEST)),
        Query::Status | Query::Plan | Query::Why { .. } => Some(PATIENCE),
        Query::Reload => None,
    }
}

impl Supervisor {
    pub(crate) fn answer_query(&mut self, id: u64, query: &Query) {
        if self.agent.questions() >= QUESTIONS {
            return self.control.say(id, &Response::Busy);
        }
        if let Query::Why { workflow } = query {
            self.tell_dropped(workflow);
        }
        if let Some(client) = self.control.clients.get_mut(&id) {
            client.feed = Feed::Agent;
        }
        if !self.ask_agent(id, query.clone()) && !self.wait_for_agent(id, query) {
            self.agent_is_away(id, query, "the agent is away");
        }
    }

    /// What is known without the agent, and why it does not answer.
    pub(crate) fn agent_is_away(&mut self, id: u64, query: &Query, why: &str) {
        let body = match query {
            Query::Why { workflow } => match self.known(id, workflow) {
                Some(name) => self
                    .actual(&name)
                    .and_then(|actual| serde_json::to_value(actual).ok()),
                None => return,
            },
            Query::Status => Some(serde_json::json!({
                "box": self.settings.box_name,
                "agent": "away",
                "workflows": self.workflows.len(),
                "trees": self.trees.describe(),
            })),
            Query::Sync { .. } | Query::Plan | Query::Reload => None,
        };
        let mut message = why.to_string();
        if let Some(body) = body {
            self.control.say(id, &Response::Body(body));
            message += "; this is what the supervisor knows by itself";
        }
        self.control.fail(
            id,
            5,
            &message,
            Some("it is started again by itself; the reason is in the supervisor's own output"),
        );
    }

    /// Keeps a question for an agent that is about to come. `false`: none is, or there is nothing to wait for.
    pub(crate) fn wait_for_agent(&mut self, client: u64, query: &Query) -> bool {
        let Some(patience) = patience(query) else {
            return false;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_waits_for_ever() {
        for (timeout_ms, waits) in [
            (0, Duration::ZERO),
            (7_000, Duration::from_secs(7)),
            (u64::MAX, LONGEST),
        ] {
            assert_eq!(patience(&Query::Sync { timeout_ms }), Some(waits));
        }
        assert_eq!(patience(&Query::Reload), None);
    }
}
