//! `status`: the box as a JSON document. Pure, but for the keeper's own state.

use super::{Inlets, Keeper};
use crate::box_key::box_key;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use swarm_manifests::rules::trunk::MASS_REMOVAL;
use swarm_wire::url::for_people;

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
            // What boxes/<box>.toml takes: swarm-pack box add --key.
            "key": box_key(&self.own.join("box.key")).ok().and_then(|key| key.public_key().to_openssh().ok()),
            "commit": trusted.map(|(head, _)| head.to_string()),
            "position": trusted.map(|(_, position)| position),
            "introduction": picture.introduction.map(|id| id.to_string()),
            "remote": contact.url.clone().or_else(|| Some(for_people(config.settings.repository.as_ref()?.urls.first()?))),
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

    /// Every protection that some workflow has, one of each kind.
    pub(super) fn protections(&self) -> Vec<String> {
        let all = self.actual.values().flat_map(|actual| &actual.protections);
        by_kind(all.map(String::as_str))
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

/// What is another one for each process is counted, not listed.
fn by_kind<'a>(protections: impl Iterator<Item = &'a str>) -> Vec<String> {
    const EACH_ITS_OWN: [&str; 2] = ["own user", "cgroup"];
    let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for words in protections {
        let is_kind = |kind: &&&str| {
            words
                .strip_prefix(**kind)
                .is_some_and(|it| it.starts_with(' '))
        };
        let kind = EACH_ITS_OWN.iter().find(is_kind).copied().unwrap_or(words);
        kinds.entry(kind).or_default().insert(words);
    }
    let shown = kinds.into_iter().map(|(kind, all)| match all.len() {
        1 => all.into_iter().collect(),
        many => format!("{kind}: {many} different ones"),
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::by_kind;

    #[test]
    fn what_is_another_one_for_each_process_is_counted() {
        let all = [
            "own user 1",
            "seccomp",
            "own user 2",
            "cgroup /a",
            "seccomp",
        ];
        let wanted = ["cgroup /a", "own user: 2 different ones", "seccomp"];
        assert_eq!(by_kind(all.into_iter()), wanted);
    }
}
