//! Who may change which path (SPEC §4 rules 1, 3 and 7). Pure: text alone decides.

use super::{Grant, Policy, Right};
use crate::{
    manifest::{Manifest, workflow_of},
    name::{Name, Pattern},
    problem::Refusal,
    rules::trunk::{BOXES, NO_RIGHT},
};
use std::collections::BTreeSet;

/// One side of a change of a manifest.
#[derive(Debug, Clone, Copy)]
pub enum Side<'a> {
    /// The file is not there.
    Absent,
    /// It is there and does not parse: needs a grant without boxes.
    Broken,
    /// It parses.
    Parsed(&'a Manifest),
}

/// What right a changed path needs (rule 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Need<'a> {
    Publish {
        bundle: &'a str,
    },
    /// `manifests/**/<w>.toml` itself: boxes of both sides count.
    Manifest {
        workflow: &'a str,
    },
    /// `approvals/<w>/**`, `secrets/<w>/**`: the boxes of the workflow's manifest count.
    Deploy {
        workflow: &'a str,
    },
    Admin,
    AnyPerson,
}

/// What right a change of this path needs.
pub fn need(path: &str) -> Need<'_> {
    if path.split('/').any(|component| component.starts_with('.')) {
        return Need::Admin;
    }
    let (top, below) = path.split_once('/').unwrap_or((path, ""));
    let second = below.split('/').next().unwrap_or_default();
    match top {
        "policy.toml" | "policy.sigs" | "boxes" => Need::Admin,
        "bundles" if !second.is_empty() => Need::Publish { bundle: second },
        "approvals" | "secrets" if !second.is_empty() => Need::Deploy { workflow: second },
        _ => workflow_of(path).map_or(Need::AnyPerson, |workflow| Need::Manifest { workflow }),
    }
}

impl Policy {
    /// Whether the person may publish bundles of this name.
    pub fn may_publish(&self, person: &Name, bundle: &str) -> bool {
        self.grants_of(person, Right::Publish, bundle)
            .next()
            .is_some()
    }

    /// Whether the person may operate this workflow on this box.
    pub fn may_operate(&self, person: &Name, workflow: &str, on: &str) -> bool {
        let covers = |grant: &Grant| {
            grant
                .boxes
                .as_ref()
                .is_none_or(|boxes| boxes.iter().any(|pattern| pattern.matches(on)))
        };
        self.grants_of(person, Right::Operate, workflow).any(covers)
    }

    /// Whether the person may change a manifest from `old` to `new` (rule 3); a side that does not exist covers nothing and needs nothing.
    pub fn may_deploy(
        &self,
        person: &Name,
        workflow: &str,
        old: Side<'_>,
        new: Side<'_>,
    ) -> Result<(), Refusal> {
        let grants: Vec<&Grant> = self.grants_of(person, Right::Deploy, workflow).collect();
        if grants.is_empty() {
            return Err(Refusal::new(
                &NO_RIGHT,
                format!("{person} may not deploy the workflow {workflow}"),
            ));
        }
        if grants.iter().any(|grant| grant.boxes.is_none()) {
            return Ok(());
        }
        let patterns: Vec<&Pattern> = grants
            .iter()
            .flat_map(|grant| grant.boxes.iter().flatten())
            .collect();
        check_side(person, workflow, &patterns, old, "before the change")?;
        check_side(person, workflow, &patterns, new, "after the change")
    }

    /// How many people must stand behind this manifest, and who could (people with deploy rights for that workflow and those boxes).
    ///
    /// A grant applies where it is about the workflow and could reach a box that the manifest could choose.
    pub fn approvals_needed(&self, manifest: &Manifest) -> (u32, BTreeSet<Name>) {
        let workflow = manifest.workflow.as_str();
        let applies =
            |grant: &&Grant| grant.gives(Right::Deploy, workflow) && could_reach(grant, manifest);
        let needed = self
            .grants
            .iter()
            .filter(applies)
            .map(|grant| grant.approvals)
            .max()
            .unwrap_or(1)
            .max(1);
        let could = |person: &&Name| {
            self.may_deploy(person, workflow, Side::Absent, Side::Parsed(manifest))
                .is_ok()
        };
        (needed, self.people.keys().filter(could).cloned().collect())
    }

    /// The grants that give the person this right with this workflow (for publish: this bundle), whichever the boxes.
    pub fn grants_of<'a>(
        &'a self,
        person: &'a Name,
        right: Right,
        workflow: &'a str,
    ) -> impl Iterator<Item = &'a Grant> {
        self.grants
            .iter()
            .filter(move |grant| grant.people.contains(person) && grant.gives(right, workflow))
    }
}

impl Grant {
    fn gives(&self, right: Right, workflow: &str) -> bool {
        self.may.contains(&right)
            && self
                .workflows
                .iter()
                .any(|pattern| pattern.matches(workflow))
    }
}

fn could_reach(grant: &Grant, manifest: &Manifest) -> bool {
    match (&grant.boxes, &manifest.on.boxes) {
        (Some(granted), Some(named)) => granted
            .iter()
            .any(|pattern| named.iter().any(|name| pattern.overlaps(name))),
        _ => true,
    }
}

fn check_side(
    person: &Name,
    workflow: &str,
    patterns: &[&Pattern],
    side: Side<'_>,
    when: &str,
) -> Result<(), Refusal> {
    let refuse = |why: String| {
        Err(Refusal::new(
            &BOXES,
            format!(
                "{person} may deploy {workflow} to some boxes only, and the manifest {when} {why}"
            ),
        ))
    };
    let manifest = match side {
        Side::Absent => return Ok(()),
        Side::Broken => {
            return refuse("does not parse, so that nobody can say for which boxes it is".into());
        }
        Side::Parsed(manifest) => manifest,
    };
    let Some(boxes) = &manifest.on.boxes else {
        return refuse(
            "names no boxes; [on] boxes must be given, where and count only narrow".into(),
        );
    };
    match boxes
        .iter()
        .find(|named| !patterns.iter().any(|pattern| pattern.covers(named)))
    {
        Some(named) => refuse(format!("names {named}, which no grant of {person} covers")),
        None => Ok(()),
    }
}
