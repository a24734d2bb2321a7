//! `kill`, `start`, `restart`, `purge`: what is done to one workflow, here or through the map.

use super::{Context, Outcome, ask, request};
use crate::cli::Act;
use swarm_manifests::request::Action;
use swarm_supervisor::protocol::Request;

/// Ends the whole tree of every instance, and returns when it is gone.
pub fn kill(context: &Context, act: &Act, hold: bool) -> Outcome {
    if act.fleet.is_asked_for() {
        return request::act(context, act, Action::Kill { hold });
    }
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
    if act.fleet.is_asked_for() {
        return request::act(context, act, Action::Start);
    }
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
    if act.fleet.is_asked_for() {
        return request::act(context, act, Action::Restart);
    }
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
