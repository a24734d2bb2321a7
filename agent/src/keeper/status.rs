//! `status`: the box as a JSON document. Pure, but for the keeper's own state.

use super::{Inlets, Keeper};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use swarm_manifests::rules::trunk::MASS_REMOVAL;

impl Keeper {
    /// Box, trust, remote, map, facts, protections, refusals, warnings.
    pub(super) fn status(&self, inlets: &Inlets) -> Value {
        let picture = inlets.picture.borrow().clone();
        let contact = inlets.contact.borrow().clone();
        let config = self.config.borrow().clone();
        let map = self.map.borrow().clone();
        let refusals: Vec<Value> = picture
            .resolved
            .held()
            .map(|held| {
                let next = &held.standing.next;
                json!({"workflow": held.standing.workflow, "version": next.version, "commit": next.commit, "by": held.standing.by, "state": next.state, "reason": next.reason, "rule": next.rule, "hint": held.hint})
            })
            .collect();
        let problems: Vec<String> = picture
            .snapshot
            .iter()
            .flat_map(|snapshot| &snapshot.problems)
            .map(ToString::to_string)
            .collect();
        let trusted = picture.trusted();
        json!({
            "box": config.name,
            "commit": trusted.map(|(head, _)| head.to_string()),
            "position": trusted.map(|(_, position)| position),
            "introduction": picture.introduction.map(|id| id.to_string()),
            "remote": contact.url.clone().or_else(|| config.settings.repository.as_ref().and_then(|repository| repository.urls.first()).map(|url| crate::report::without_credentials(url))),
            "branch": config.settings.repository.as_ref().map(|repository| repository.branch.clone()),
            "remote_head": contact.head.map(|head| head.to_string()),
            "last_contact": contact.at.map(|at| at.to_string()),
            "failures": contact.failures,
            "failure": contact.failure.as_ref().map(|refusal| json!({"rule": refusal.rule.id, "reason": refusal.reason, "hint": refusal.hint})),
            "trouble": picture.trouble,
            "map": config.settings.map.as_ref().map(|settings| json!({
                "url": settings.url,
                "state": map.state,
                "last_contact": map.last_contact.map(|at| at.to_string()),
                "failure": map.failure,
                "waiting": map.waiting,
                "dropped": map.dropped,
                "freshness": map.freshness,
            })),
            "labels": picture.here.facts.labels,
            "facts": picture.here.facts.facts,
            "location": config.settings.location,
            "protections": self.protections(),
            "refusals": refusals,
            "held_removal": self.held.as_ref().map(|held| json!({"workflows": held.workflows, "reason": held.reason, "rule": MASS_REMOVAL.id})),
            "warnings": self.warnings(&picture, inlets).into_iter().chain(problems).chain(map.freshness.iter().map(|trouble| format!("{} [{}]", trouble.reason, trouble.rule))).collect::<Vec<_>>(),
            "workflows": self.actual.len(),
            "local": config.local,
        })
    }

    /// Every protection that some workflow has.
    pub(super) fn protections(&self) -> Vec<String> {
        let all: BTreeSet<&String> = self
            .actual
            .values()
            .flat_map(|actual| &actual.protections)
            .collect();
        all.into_iter().cloned().collect()
    }

    pub(super) fn warnings(
        &self,
        picture: &crate::picture::Picture,
        inlets: &Inlets,
    ) -> Vec<String> {
        let config = self.config.borrow();
        let mut warnings = picture.warnings.clone();
        if config.local.is_some() {
            warnings.push("local: nothing is signed or verified here".into());
        } else if config.settings.repository.is_none() {
            warnings.push("no [repository] in agent.toml: nothing is fetched".into());
        }
        warnings.extend(inlets.deaf.borrow().clone());
        if let Some(reason) = &config.indexer_alone {
            warnings.push(format!(
                "what parses packs from the network runs as the agent's own user: {reason}"
            ));
        }
        warnings
    }
}
