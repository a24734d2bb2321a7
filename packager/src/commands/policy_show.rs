//! `policy show`: what the policy says, in sentences. Prints.

use crate::{talk, words};
use serde_json::json;
use swarm_manifests::policy::Policy;

/// People and their keys, grants, what the next policy needs.
pub fn show(policy: &Policy, as_json: bool) {
    if as_json {
        let people: serde_json::Map<_, _> = policy
            .people
            .iter()
            .map(|(name, person)| {
                let keys: Vec<_> = person.keys.iter().map(words::key).collect();
                (
                    name.to_string(),
                    json!({"admin": person.admin, "keys": keys}),
                )
            })
            .collect();
        let grants: Vec<_> = policy
            .grants
            .iter()
            .map(|grant| json!({"people": grant.people, "may": grant.may, "workflows": grant.workflows, "boxes": grant.boxes, "approvals": grant.approvals}))
            .collect();
        talk::json(&json!({
            "version": policy.version, "threshold": policy.threshold, "people": people, "teams": policy.teams, "grants": grants,
        }));
        return;
    }
    let rows: Vec<_> = policy
        .people
        .iter()
        .flat_map(|(name, person)| {
            let admin = if person.admin { "admin" } else { "" };
            let keys = person.keys.iter().map(words::key);
            let keys = keys.chain(person.keys.is_empty().then(|| "no key".to_string()));
            keys.map(|key| vec![name.to_string(), admin.into(), key])
                .collect::<Vec<_>>()
        })
        .collect();
    talk::table(&["PERSON", "", "KEY"], &rows);
    for grant in &policy.grants {
        talk::data(words::grant(grant));
    }
    let admins = words::count(policy.threshold, "admin");
    talk::data(format!(
        "version {}; {admins} must approve the next one",
        policy.version
    ));
}
