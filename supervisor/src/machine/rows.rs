//! A workflow as people and the agent see it: a [`State`] comes in, rows of `list` go out. Pure.

use super::{
    Alive, Ended, Instance, Phase, Preparation, Readiness, State, Trouble, Version, calendar,
    life::in_words, wellness::ready_by,
};
use crate::{protocol::Actual, time::BootTime};
use std::time::Duration;
use swarm_manifests::{
    id::Digest,
    status::{self, Next, Row},
    units::format_duration,
};

/// What a tree uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Bytes.
    pub memory: Option<u64>,
    /// Processor time.
    pub cpu: Option<Duration>,
}

/// The whole workflow for the agent.
pub fn actual(
    state: &State,
    box_name: &str,
    now: BootTime,
    usage: impl Fn(u16) -> Usage,
    protections: Vec<String>,
) -> Actual {
    Actual {
        workflow: state.workflow.clone(),
        revision: state.current.as_ref().map(|v| v.spec.revision),
        successor: coming(state).map(|v| v.spec.revision),
        footings: state.versions().map(|v| v.spec.footing()).collect(),
        held: state.held,
        installed: state.current.as_ref().and_then(installed),
        protections,
        rows: rows(state, box_name, now, usage),
    }
}

fn installed(version: &Version) -> Option<Digest> {
    match version.preparation {
        Preparation::Done(hash) => hash,
        _ => None,
    }
}

/// A row an instance; one row where there is none.
pub fn rows(
    state: &State,
    box_name: &str,
    now: BootTime,
    usage: impl Fn(u16) -> Usage,
) -> Vec<Row> {
    let Some(current) = &state.current else {
        return state
            .standing
            .iter()
            .map(|standing| standing_row(state, standing, box_name))
            .collect();
    };
    let next = next(state);
    let next_run = calendar::due_at(state).map(|at| at.to_string());
    let row = |instance| instance_row(current, instance, box_name, now, &usage, next.clone());
    state
        .instances
        .iter()
        .map(row)
        .map(|row| Row {
            workflow: state.workflow.to_string(),
            reason: with_next_run(row.reason, row.state, next_run.as_deref()),
            next_run: next_run.clone(),
            ..row
        })
        .collect()
}

/// Why nothing of a workflow runs that was asked to start, where it does not; only what people can mend, and no program's own end.
pub fn obstacle(state: &State) -> Option<(status::State, Trouble)> {
    if state.is_empty() {
        let next = &state.standing.as_ref()?.next;
        let trouble = Trouble {
            reason: next.reason.clone(),
            rule: next.rule.clone(),
            tried: false,
        };
        return Some((next.state, trouble));
    }
    state.instances.iter().find_map(|instance| {
        let kind = state_of(&instance.phase);
        let is_held = match kind {
            status::State::Refused | status::State::Blocked => true,
            status::State::Failed | status::State::Backoff => instance.rule.is_some(),
            _ => false,
        };
        let trouble = Trouble {
            reason: instance.reason.clone().unwrap_or_default(),
            rule: instance.rule.clone(),
            tried: true,
        };
        is_held.then_some((kind, trouble))
    })
}

fn instance_row(
    current: &Version,
    instance: &Instance,
    box_name: &str,
    now: BootTime,
    usage: &impl Fn(u16) -> Usage,
    next: Option<Next>,
) -> Row {
    let spec = &current.spec;
    let used = if instance.phase.has_tree() {
        usage(instance.number)
    } else {
        Usage::default()
    };
    let started = match &instance.phase {
        Phase::Alive(alive) => Some(alive.started),
        Phase::Stopping {
            process: Some(_),
            started,
            ..
        } => Some(*started),
        _ => None,
    };
    let up = started.map(|started| now.since(started));
    let left = up.and_then(|up| spec.time_limit.map(|limit| limit.saturating_sub(up)));
    Row {
        box_name: box_name.into(),
        workflow: spec.workflow.to_string(),
        bundle: Some(spec.bundle.to_string()),
        version: Some(spec.version.clone()),
        digest: Some(spec.digest.to_string()),
        mode: Some(spec.mode.as_str().into()),
        state: state_of(&instance.phase),
        reason: reason(current, instance, now),
        rule: instance.rule.clone(),
        since: Some(instance.since.to_string()),
        pid: instance.phase.process().map(|process| process.pid),
        instance: instance.number,
        restarts: instance.restarts,
        up_s: up.map(|up| up.as_secs_f64()),
        time_left_s: left.map(|left| left.as_secs_f64()),
        last_exit: instance.last_exit.clone(),
        memory_bytes: used.memory,
        cpu_s: used.cpu.map(|cpu| cpu.as_secs_f64()),
        commit: spec.origin.commit.clone(),
        by: spec.origin.by.clone(),
        next,
        next_run: None,
        dropped: None,
        protections: Vec::new(),
    }
}

/// Where it waits for its schedule, when that is.
fn with_next_run(
    reason: Option<String>,
    state: status::State,
    next_run: Option<&str>,
) -> Option<String> {
    use status::State::{Expired, Failed, Finished, Interrupted, Waiting};
    let waits = matches!(state, Waiting | Finished | Failed | Expired | Interrupted);
    let soon = next_run
        .filter(|_| waits)
        .map(|at| format!("runs next at {at}"));
    match (reason, soon) {
        (Some(reason), Some(soon)) => Some(format!("{reason}; {soon}")),
        (None, None) if state == Waiting => {
            Some("its schedule names no time that is yet to come".into())
        }
        (reason, soon) => reason.or(soon),
    }
}

/// What `list` says of a phase.
fn state_of(phase: &Phase) -> status::State {
    match phase {
        Phase::Vacant | Phase::Starting | Phase::Born(_) => status::State::Starting,
        Phase::Installing => status::State::Installing,
        Phase::Alive(alive) if alive.going.is_some() => status::State::Stopping,
        Phase::Alive(alive) => match alive.ready {
            Readiness::NotAsked => status::State::Running,
            Readiness::Awaited => status::State::Starting,
            Readiness::Ready => status::State::Ready,
        },
        Phase::Stopping { .. } | Phase::Clearing { .. } => status::State::Stopping,
        Phase::Scheduled => status::State::Waiting,
        Phase::Backoff { .. } => status::State::Backoff,
        Phase::Blocked { .. } => status::State::Blocked,
        Phase::Ended(ended) => match ended {
            Ended::Finished => status::State::Finished,
            Ended::Failed => status::State::Failed,
            Ended::Expired => status::State::Expired,
            Ended::Killed => status::State::Killed,
            Ended::Interrupted => status::State::Interrupted,
            Ended::Refused => status::State::Refused,
        },
    }
}

/// Why, and where something will happen by itself, when.
fn reason(current: &Version, instance: &Instance, now: BootTime) -> Option<String> {
    let why = own_words(&instance.phase)
        .or_else(|| instance.reason.clone())
        .or_else(|| {
            instance
                .last_exit
                .as_ref()
                .filter(|_| !instance.phase.has_tree())
                .map(in_words)
        });
    let soon = |until: BootTime| {
        format_duration(Duration::from_millis(
            u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX),
        ))
    };
    let when = match &instance.phase {
        Phase::Backoff { until } => Some(format!("starts again in {}", soon(*until))),
        Phase::Blocked { until } => Some(format!("tried again in {}", soon(*until))),
        Phase::Stopping { until, .. } => {
            Some(format!("killed in {} if it does not end", soon(*until)))
        }
        Phase::Installing => Some("[install] runs".into()),
        Phase::Alive(Alive {
            going: Some(going), ..
        }) => Some(format!(
            "it ends by itself, stopped in {} if it does not",
            soon(going.until)
        )),
        Phase::Alive(alive) if alive.ready == Readiness::Awaited => {
            let timeout = current
                .spec
                .ready
                .as_ref()
                .map(|ready| soon(ready_by(alive, ready)));
            timeout.map(|left| format!("not ready yet, given up in {left}"))
        }
        _ => None,
    };
    match (why, when) {
        (Some(why), Some(when)) => Some(format!("{why}; {when}")),
        (why, when) => why.or(when),
    }
}

/// What a living process says of itself.
fn own_words(phase: &Phase) -> Option<String> {
    match phase {
        Phase::Alive(alive) => alive
            .status
            .as_ref()
            .map(|status| format!("it says: {status}")),
        _ => None,
    }
}

/// What is to run or cannot; one that gives way is that already.
fn coming(state: &State) -> Option<&Version> {
    let current = state.current.as_ref();
    state
        .successor
        .as_ref()
        .or_else(|| current.filter(|current| current.is_held()))
}

fn next(state: &State) -> Option<Next> {
    let Some(successor) = coming(state) else {
        return state
            .standing
            .as_ref()
            .map(|standing| standing.next.clone());
    };
    let (kind, reason, rule) = match &successor.preparation {
        Preparation::Failed(trouble) => {
            let kind = if trouble.tried {
                status::State::Failed
            } else {
                status::State::Refused
            };
            (kind, trouble.reason.clone(), trouble.rule.clone())
        }
        Preparation::Held(trouble) => (
            status::State::Failed,
            trouble.reason.clone(),
            trouble.rule.clone(),
        ),
        Preparation::Installing => (status::State::Installing, "[install] runs".into(), None),
        Preparation::Unasked | Preparation::Done(_) => (
            status::State::Starting,
            "it starts when the old one is gone".into(),
            None,
        ),
    };
    Some(Next {
        version: Some(successor.spec.version.clone()),
        commit: successor.spec.origin.commit.clone(),
        state: kind,
        reason,
        rule,
    })
}

fn standing_row(state: &State, standing: &crate::protocol::Standing, box_name: &str) -> Row {
    let next = &standing.next;
    Row {
        box_name: box_name.into(),
        workflow: state.workflow.to_string(),
        bundle: standing.bundle.clone(),
        version: next.version.clone(),
        digest: None,
        mode: standing.mode.map(|mode| mode.as_str().into()),
        state: next.state,
        reason: Some(next.reason.clone()),
        rule: next.rule.clone(),
        since: state.standing_since.map(|since| since.to_string()),
        pid: None,
        instance: 0,
        restarts: 0,
        up_s: None,
        time_left_s: None,
        last_exit: None,
        memory_bytes: None,
        cpu_s: None,
        commit: next.commit.clone(),
        by: standing.by.clone(),
        next: None,
        next_run: None,
        dropped: None,
        protections: Vec::new(),
    }
}
