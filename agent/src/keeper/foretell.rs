//! `plan`: what a sync would do, without doing it. The walk makes a trial; planning is the same as ever.

use super::{Keeper, Order};
use crate::{
    picture::Picture,
    plan::{self, Action},
    resolve::Wanted,
    walk::Trial,
};
use serde_json::{Value, json};
use std::rc::Rc;
use swarm_manifests::{
    name::Name,
    rules::{self, trunk::MASS_REMOVAL},
    status::State,
};
use tokio::sync::oneshot;

/// Somebody who waits for the walk's trial.
pub(super) type Waiting = (u64, oneshot::Receiver<Trial>);

/// The next trial that is done, of those that are waited for.
pub(super) async fn next(waiting: &mut Vec<Waiting>) -> (u64, Option<Trial>) {
    let Some((id, trial)) = waiting.first_mut() else {
        return std::future::pending().await;
    };
    // The walk makes them one after another, in this order.
    let done = (*id, trial.await.ok());
    waiting.remove(0);
    done
}

impl Keeper {
    /// Asks the walk for a trial; the answer comes when it is done. False: there is no walk any more.
    pub(super) fn ask_for_trial(&mut self, id: u64) -> bool {
        let (answer, told) = oneshot::channel();
        self.trials.push((id, told));
        self.out.orders.try_send(Order::Trial(answer)).is_ok()
    }

    /// The actions as JSON, and the exit code: 1 where something would be refused, 5 where the remote cannot be reached.
    pub(super) fn foretell(&self, trial: Option<Trial>) -> (Value, u8) {
        match trial {
            Some(Ok(picture)) => self.foretold(&picture),
            Some(Err(refusal)) => {
                let exit = if refusal.rule.id.starts_with("S-GIT-") {
                    5
                } else {
                    1
                };
                let failure = json!({"rule": refusal.rule.id, "reason": refusal.reason, "hint": refusal.hint});
                (json!({"actions": [], "failure": failure}), exit)
            }
            None => (
                json!({"message": "the agent is busy or ending; try again"}),
                5,
            ),
        }
    }

    /// What the box itself refuses of what it was told to run: a sync would change nothing about that.
    fn refused_here(&self, picture: &Rc<Picture>) -> Vec<Value> {
        let of = |(workflow, wanted): (&Name, &Wanted)| {
            let Wanted::Run(spec) = wanted else {
                return None;
            };
            let actual = self.actual.get(workflow)?;
            if actual.successor.or(actual.revision) != Some(spec.revision) {
                return None;
            }
            let row = actual.rows.first()?;
            let (state, reason, rule) = match &row.next {
                Some(next) => (next.state, Some(&next.reason), &next.rule),
                None => (row.state, row.reason.as_ref(), &row.rule),
            };
            (state == State::Refused).then(|| {
                let hint = rule.as_deref().and_then(rules::find).map(|rule| rule.remedy);
                json!({"workflow": workflow, "action": "refuse", "from": row.version, "to": spec.version, "commit": spec.origin.commit, "by": spec.origin.by, "reason": reason, "rule": rule, "hint": hint})
            })
        };
        picture.resolved.wanted.iter().filter_map(of).collect()
    }

    fn foretold(&self, picture: &Rc<Picture>) -> (Value, u8) {
        let have = self.have();
        let allowed = picture.allowed_after(self.followed);
        let plan = if picture.snapshot.is_some() {
            plan::plan(&picture.resolved, &have, allowed)
        } else {
            plan::Plan::default()
        };
        let version = |workflow: &Name| {
            self.actual
                .get(workflow)
                .and_then(|actual| actual.rows.first())
                .and_then(|row| row.version.clone())
        };
        let mut lines: Vec<Value> = plan
            .actions
            .iter()
            .map(|action| match action {
                Action::Remove { workflow, reason } => json!({"workflow": workflow, "action": "stop", "from": version(workflow), "to": null, "reason": reason, "rule": null}),
                Action::Put(spec) => {
                    let running = self.actual.get(&spec.workflow).and_then(|actual| actual.revision);
                    let what = match running {
                        None => "start",
                        Some(revision) if revision == spec.revision => "update",
                        Some(_) => "replace",
                    };
                    json!({"workflow": spec.workflow, "action": what, "from": version(&spec.workflow), "to": spec.version, "commit": spec.origin.commit, "by": spec.origin.by, "reason": null, "rule": null})
                }
            })
            .collect();
        let mut is_refused = picture.trouble.is_some();
        for wanted in picture.resolved.wanted.values() {
            let Wanted::Held(held) = wanted else { continue };
            let next = &held.standing.next;
            let what = match next.state {
                State::Fetching => "fetch",
                State::Waiting => "wait",
                State::Blocked => "block",
                _ => "refuse",
            };
            is_refused |= matches!(next.state, State::Refused | State::Blocked);
            lines.push(json!({"workflow": held.standing.workflow, "action": what, "from": version(&held.standing.workflow), "to": next.version, "commit": next.commit, "by": held.standing.by, "reason": next.reason, "rule": next.rule, "hint": held.hint}));
        }
        if let Some(held) = &plan.held {
            lines.extend(held.workflows.iter().map(|workflow| json!({"workflow": workflow, "action": "wait", "from": version(workflow), "to": null, "reason": held.reason, "rule": MASS_REMOVAL.id})));
        }
        for refused in self.refused_here(picture) {
            is_refused = true;
            lines.push(refused);
        }
        let body = json!({
            "commit": picture.trusted().map(|(head, _)| head.to_string()),
            "position": picture.trusted().map(|(_, position)| position),
            "trouble": picture.trouble,
            "actions": lines,
        });
        (body, u8::from(is_refused))
    }
}
