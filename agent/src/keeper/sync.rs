//! `sync`: waits until the walk it asked for is done and what changed has settled. Decided by what the keeper knows.

use super::{Gone, Inlets, Keeper};
use crate::{picture::Picture, resolve::Wanted};
use serde_json::json;
use swarm_manifests::{
    rules::trunk::MASS_REMOVAL,
    status::{Row, State},
};
use swarm_supervisor::protocol::{Actual, FromAgent, RunSpec};
use tokio::time::Instant;

/// Somebody who waits.
pub struct Pending {
    /// The query.
    pub id: u64,
    /// The nudge that was made for it.
    pub after: u64,
    /// When to give up.
    pub deadline: Instant,
}

/// How far the supervisor has followed: what it told before that is older than what it was asked for.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// One more each time that it was told what is wanted.
    followed: u64,
    /// The last one that it was asked to confirm.
    asked: u64,
    /// The last one that it confirmed.
    pub(super) reached: u64,
}

impl Marks {
    /// It was told what is wanted.
    pub(super) fn follow(&mut self) {
        self.followed += 1;
    }

    /// What it is to be asked to confirm, once.
    fn ask(&mut self) -> Option<u64> {
        (self.asked < self.followed).then(|| {
            self.asked = self.followed;
            self.asked
        })
    }

    fn is_reached(&self) -> bool {
        self.reached == self.followed
    }
}

/// Whether a workflow is on its way to where it should be.
fn is_moving(spec: &RunSpec, actual: Option<&Actual>) -> bool {
    let Some(actual) = actual else { return true };
    let in_transit = |state| matches!(state, State::Fetching | State::Installing | State::Starting);
    if actual.successor == Some(spec.revision) {
        let failed = |row: &Row| {
            row.next
                .as_ref()
                .is_some_and(|next| !in_transit(next.state) && next.state != State::Stopping)
        };
        return !actual.rows.iter().any(failed)
            && !actual
                .rows
                .iter()
                .any(|row| matches!(row.state, State::Failed | State::Blocked | State::Refused));
    }
    actual.revision != Some(spec.revision) || actual.rows.iter().any(|row| in_transit(row.state))
}

/// Why what was pushed does not run, where it does not: a successor that cannot, or something new that never could.
fn complaint(row: &Row) -> Option<serde_json::Value> {
    let stuck = |state| matches!(state, State::Failed | State::Blocked | State::Refused);
    let (state, reason, rule) = match &row.next {
        Some(next) => (next.state, Some(&next.reason), &next.rule),
        None if row.last_exit.is_none() => (row.state, row.reason.as_ref(), &row.rule),
        None => return None,
    };
    stuck(state)
        .then(|| json!({"workflow": row.workflow, "reason": reason, "rule": rule, "hint": null}))
}

impl Keeper {
    /// Answers those that need not wait any longer.
    pub(super) async fn answer_syncs(&mut self, inlets: &Inlets) -> Result<(), Gone> {
        if self.syncs.is_empty() {
            return Ok(());
        }
        if let Some(mark) = self.marks.ask() {
            self.tell(FromAgent::Mark(mark)).await?;
        }
        let now = Instant::now();
        let picture = inlets.picture.borrow().clone();
        let contact = inlets.contact.borrow().clone();
        let moving = self.moving(&picture);
        let is_followed = !self.is_stale
            && !inlets.picture.has_changed().unwrap_or(true)
            && self.marks.is_reached();
        let pending = std::mem::take(&mut self.syncs);
        for sync in pending {
            let is_served = contact.served >= sync.after && is_followed;
            if !(is_served && moving.is_empty())
                && (sync.deadline > now && !(is_served && contact.failure.is_some()))
            {
                self.syncs.push(sync);
                continue;
            }
            let (body, exit) = self.synced(&picture, inlets, is_served, &moving);
            self.tell(FromAgent::Answer {
                id: sync.id,
                body,
                exit,
                last: true,
            })
            .await?;
        }
        Ok(())
    }

    fn moving(&self, picture: &Picture) -> Vec<String> {
        let wanted = picture
            .resolved
            .wanted
            .iter()
            .filter(|(workflow, wanted)| match wanted {
                Wanted::Run(spec) => is_moving(spec, self.actual.get(*workflow)),
                Wanted::Held(held) => held.standing.next.state == State::Fetching,
            });
        let is_leaving = |actual: &&Actual| {
            picture.snapshot.is_some()
                && !picture.resolved.wanted.contains_key(&actual.workflow)
                && !self.put.contains_key(&actual.workflow)
                && self.held.is_none()
                && actual.rows.iter().any(|row| row.state.is_alive())
        };
        let leaving = self
            .actual
            .values()
            .filter(is_leaving)
            .map(|actual| &actual.workflow);
        wanted
            .map(|(workflow, _)| workflow)
            .chain(leaving)
            .map(ToString::to_string)
            .collect()
    }

    fn synced(
        &self,
        picture: &Picture,
        inlets: &Inlets,
        is_served: bool,
        moving: &[String],
    ) -> (serde_json::Value, u8) {
        let contact = inlets.contact.borrow();
        let refused: Vec<_> = picture
            .resolved
            .held()
            .filter(|held| matches!(held.standing.next.state, State::Refused | State::Blocked))
            .map(|held| json!({"workflow": held.standing.workflow, "reason": held.standing.next.reason, "rule": held.standing.next.rule, "hint": held.hint}))
            .collect();
        let mut failed: Vec<_> = self
            .actual
            .values()
            .filter(|actual| self.put.contains_key(&actual.workflow))
            .flat_map(|actual| &actual.rows)
            .filter_map(complaint)
            .collect();
        // A row an instance, but one complaint a workflow.
        failed.retain(|one| {
            !refused
                .iter()
                .any(|other| other["workflow"] == one["workflow"])
        });
        failed.dedup();
        let unreachable = contact
            .failure
            .as_ref()
            .filter(|refusal| refusal.rule.id.starts_with("S-GIT-"));
        let exit = match (unreachable, &picture.trouble) {
            (Some(_), _) => 5,
            (None, Some(_)) => 1,
            (None, None)
                if !refused.is_empty() || !failed.is_empty() || contact.failure.is_some() =>
            {
                1
            }
            (None, None) if !is_served || !moving.is_empty() => 1,
            (None, None) => 0,
        };
        let timed_out = contact.failure.is_none() && (!is_served || !moving.is_empty());
        let body = json!({
            "commit": picture.trusted().map(|(head, _)| head.to_string()),
            "position": picture.trusted().map(|(_, position)| position),
            "remote": contact.url,
            "remote_head": contact.head.map(|head| head.to_string()),
            "trouble": picture.trouble,
            "failure": contact.failure.as_ref().map(|refusal| json!({"rule": refusal.rule.id, "reason": refusal.reason, "hint": refusal.hint})),
            "refused": refused.into_iter().chain(failed).collect::<Vec<_>>(),
            "held": self.held.as_ref().map(|held| json!({"workflows": held.workflows, "reason": held.reason, "rule": MASS_REMOVAL.id, "hint": MASS_REMOVAL.remedy})),
            "moving": moving,
            "timed_out": timed_out,
        });
        (body, exit)
    }
}
