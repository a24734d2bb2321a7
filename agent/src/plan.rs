//! From what is and what should be to what to do. Pure.
//!
//! Laws, held by the tests below: `plan(d, apply(plan(d, a))) = []`; the order of what comes in does not matter; at most
//! one action for a workflow; stops come first; what is held back is left alone.

use crate::resolve::{Resolved, Wanted};
use std::collections::BTreeMap;
use swarm_manifests::{id::Digest, name::Name, status::State};
use swarm_supervisor::protocol::{Actual, Footing, RunSpec};

/// What is known of a workflow on this box.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Have {
    /// What runs, or ran last.
    pub revision: Option<Digest>,
    /// What was put last and has not taken over yet.
    pub successor: Option<Digest>,
    /// What stands under this name, and what each of that stands on: what runs, what was put last, what is gone back to should
    /// that not get ready.
    pub footings: Vec<Footing>,
    /// What this agent itself put last, since it was started.
    pub put: Option<Box<RunSpec>>,
    /// Whether a process of it exists or is about to.
    pub is_live: bool,
}

impl Have {
    /// From what the supervisor says, and what was put last.
    pub fn of(actual: &Actual, put: Option<&RunSpec>) -> Self {
        let live = |state| {
            !matches!(
                state,
                State::Finished
                    | State::Failed
                    | State::Expired
                    | State::Killed
                    | State::Interrupted
                    | State::Refused
                    | State::Waiting
                    | State::Blocked
                    | State::Fetching
            )
        };
        Self {
            revision: actual.revision,
            successor: actual.successor,
            footings: actual.footings.clone(),
            put: put.map(|spec| Box::new(spec.clone())),
            is_live: actual.rows.iter().any(|row| live(row.state)),
        }
    }

    /// Whether the supervisor was told of anything under this name; one that only stands in `next` was not.
    fn is_there(&self) -> bool {
        self.revision.is_some() || self.successor.is_some() || self.put.is_some()
    }

    /// Why what is there must not go on running, whatever else the trunk wants: a revoked key brought it.
    fn void(&self, resolved: &Resolved) -> Option<String> {
        if !self.is_there() || resolved.void.is_empty() {
            return None;
        }
        let put = self.put.as_ref().map(|put| put.footing());
        let mut footings = self.footings.iter().chain(&put);
        let why = footings.find_map(|footing| {
            let origin = &footing.origin;
            let brought = origin.key.as_deref().zip(origin.position);
            let grounds = &mut footing.grounds.iter();
            let struck = resolved.void.strikes(brought, Some(footing.digest));
            struck.or_else(|| grounds.find_map(|ground| resolved.void.undermine(ground)))
        })?;
        Some(format!("{} [{}]", why.reason, why.rule.id))
    }

    fn is_already(&self, spec: &RunSpec) -> bool {
        match &self.put {
            Some(put) => **put == *spec,
            // Another agent put it: the revision and what it stands on say the same together, for whatever else a commit changes
            // moves the origin.
            None => {
                self.successor.or(self.revision) == Some(spec.revision)
                    && self.footings.contains(&spec.footing())
            }
        }
    }
}

/// One thing for the supervisor to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Stop it and forget it.
    Remove {
        /// Which.
        workflow: Name,
        /// In words.
        reason: String,
    },
    /// Run this.
    Put(Box<RunSpec>),
}

impl Action {
    /// Which workflow it is about.
    pub fn workflow(&self) -> &Name {
        match self {
            Self::Remove { workflow, .. } => workflow,
            Self::Put(spec) => &spec.workflow,
        }
    }
}

/// A removal that waits for somebody to say that it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRemoval {
    /// What would be removed.
    pub workflows: Vec<Name>,
    /// In words, the same for each of them.
    pub reason: String,
}

/// What to do, and what is not done although the trunk would have it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Stops first, then by name.
    pub actions: Vec<Action>,
    /// A mass removal that is held (SPEC §3.3).
    pub held: Option<HeldRemoval>,
}

/// Plans. `allowed` is the largest N of an `Allow-mass-removal: N` since the trunk was last followed in full.
pub fn plan(resolved: &Resolved, have: &BTreeMap<Name, Have>, allowed: u32) -> Plan {
    let mut elsewhere = Vec::new();
    let mut deleted = Vec::new();
    let void: BTreeMap<&Name, String> = have
        .iter()
        .filter_map(|(workflow, have)| Some((workflow, have.void(resolved)?)))
        .collect();
    let leaving = have.iter().filter(|(workflow, have)| {
        have.is_there() && !resolved.wanted.contains_key(*workflow) && !void.contains_key(*workflow)
    });
    for (workflow, _) in leaving {
        match resolved.elsewhere.get(workflow) {
            Some(reason) => elsewhere.push((
                workflow,
                format!("[on] no longer chooses this box: {reason}"),
            )),
            None => deleted.push((workflow, "its manifest was deleted".to_string())),
        }
    }
    let held = mass_removal(have, deleted.iter().map(|(workflow, _)| *workflow), allowed);
    if held.is_some() {
        deleted.clear();
    }
    elsewhere.extend(deleted);
    // What a revoked key brought goes at once, and first: what takes its place must not fall back to it.
    elsewhere.extend(void.iter().map(|(workflow, why)| (*workflow, why.clone())));
    elsewhere.sort();
    let removals = elsewhere
        .into_iter()
        .map(|(workflow, reason)| Action::Remove {
            workflow: workflow.clone(),
            reason,
        });
    let puts = resolved
        .wanted
        .iter()
        .filter_map(|(workflow, wanted)| match wanted {
            Wanted::Run(_) if void.contains_key(workflow) => None,
            Wanted::Run(spec) if !have.get(workflow).is_some_and(|have| have.is_already(spec)) => {
                Some(Action::Put(spec.clone()))
            }
            Wanted::Run(_) | Wanted::Held(_) => None,
        });
    Plan {
        actions: removals.chain(puts).collect(),
        held,
    }
}

/// More than half of what runs, and at least two, go only when the trunk says how many.
fn mass_removal<'a>(
    have: &BTreeMap<Name, Have>,
    deleted: impl Iterator<Item = &'a Name>,
    allowed: u32,
) -> Option<HeldRemoval> {
    let live = have.values().filter(|have| have.is_live).count();
    let workflows: Vec<Name> = deleted.cloned().collect();
    let going = workflows
        .iter()
        .filter(|workflow| have.get(*workflow).is_some_and(|have| have.is_live))
        .count();
    if going < 2 || going * 2 <= live || usize::try_from(allowed).unwrap_or(usize::MAX) >= going {
        return None;
    }
    let reason = format!(
        "{going} of the {live} workflows that run here were deleted at once; they go on until a commit says Allow-mass-removal: {going}"
    );
    Some(HeldRemoval { workflows, reason })
}

#[cfg(test)]
mod tests;
