//! `kill`, `start`, `restart`, `purge`: what is done to one workflow.

use super::{Context, Outcome, ask, fleet};
use crate::cli::Act;
use swarm_supervisor::protocol::Request;

/// Ends the whole tree of every instance, and returns when it is gone.
pub fn kill(context: &Context, act: &Act, hold: bool) -> Outcome {
    fleet::only_here(&act.fleet, "kill")?;
    ask::done(
        context,
        &Request::Kill {
            workflow: act.name.clone(),
            reason: act.reason.clone(),
            hold,
        },
    )
}

/// Lifts a kill, or runs a finished one again.
pub fn start(context: &Context, act: &Act) -> Outcome {
    fleet::only_here(&act.fleet, "start")?;
    ask::done(
        context,
        &Request::Start {
            workflow: act.name.clone(),
            reason: act.reason.clone(),
        },
    )
}

/// Stops first.
pub fn restart(context: &Context, act: &Act) -> Outcome {
    fleet::only_here(&act.fleet, "restart")?;
    ask::done(
        context,
        &Request::Restart {
            workflow: act.name.clone(),
            reason: act.reason.clone(),
        },
    )
}

/// Removes a removed workflow's state folder.
pub fn purge(context: &Context, name: &str) -> Outcome {
    ask::done(
        context,
        &Request::Purge {
            workflow: name.into(),
        },
    )
}
