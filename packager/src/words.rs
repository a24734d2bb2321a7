//! What a policy, a grant or a change of them says, in sentences for people. Pure.

use ssh_key::{HashAlg, PublicKey};
use std::collections::BTreeSet;
use swarm_manifests::{
    manifest::{Manifest, On},
    name::{Name, Pattern},
    policy::{Grant, Moment, Policy, Revoked},
};

/// What is different between two policies, a sentence each; empty where only layout is.
pub fn policy_change(old: &Policy, new: &Policy) -> Vec<String> {
    let mut said = Vec::new();
    people(old, new, &mut said);
    if old.threshold != new.threshold {
        said.push(format!(
            "{} must approve the next policy, instead of {}",
            count(new.threshold, "admin"),
            old.threshold
        ));
    }
    for (team, members) in &new.teams {
        if old.teams.get(team) != Some(members) {
            said.push(format!("the team {team} is {}", listed(members)));
        }
    }
    for team in old
        .teams
        .keys()
        .filter(|team| !new.teams.contains_key(*team))
    {
        said.push(format!("there is no team {team} any more"));
    }
    let rights = |policy: &Policy| policy.grants.iter().map(grant).collect::<Vec<_>>();
    let (before, after) = (rights(old), rights(new));
    said.extend(lacking(&before, &after).map(|grant| format!("no longer: {grant}")));
    said.extend(lacking(&after, &before).cloned());
    let revocations = |policy: &Policy| policy.revoked.iter().map(revoked).collect::<Vec<_>>();
    let (before, after) = (revocations(old), revocations(new));
    said.extend(lacking(&before, &after).map(|entry| format!("no longer: {entry}")));
    said.extend(lacking(&after, &before).cloned());
    if old.ceiling != new.ceiling {
        said.push("the ceiling of every box changes".into());
    }
    if old.repository != new.repository {
        said.push(format!("the repository's id becomes {:?}", new.repository));
    }
    said
}

fn people(old: &Policy, new: &Policy, said: &mut Vec<String>) {
    for (name, person) in &new.people {
        let Some(before) = old.people.get(name) else {
            let admin = if person.admin { " as an admin" } else { "" };
            said.push(format!("{name} joins{admin}, with {}", keys(&person.keys)));
            continue;
        };
        let more: Vec<_> = lacking_keys(&person.keys, &before.keys);
        let less: Vec<_> = lacking_keys(&before.keys, &person.keys);
        if !more.is_empty() {
            said.push(format!("{name} gets {}", keys(&more)));
        }
        if !less.is_empty() {
            said.push(format!("{name} loses {}", keys(&less)));
        }
        match (before.admin, person.admin) {
            (false, true) => said.push(format!("{name} becomes an admin")),
            (true, false) => said.push(format!("{name} is no admin any more")),
            _ => {}
        }
        if before.touch != person.touch {
            let how = if person.needs_touch() {
                "only with"
            } else {
                "also without"
            };
            said.push(format!(
                "signatures of {name}'s security keys count {how} a touch"
            ));
        }
    }
    for name in old
        .people
        .keys()
        .filter(|name| !new.people.contains_key(*name))
    {
        said.push(format!("{name} leaves"));
    }
}

/// What a grant gives, and to whom: `alice, bob may deploy ramp on lab-*`.
pub fn grant(grant: &Grant) -> String {
    let people: Vec<_> = grant.people.iter().cloned().collect();
    format!("{} may {}", listed(&people), rights(grant))
}

/// What a grant gives: `deploy ramp on lab-*, with 2 people behind each manifest`.
pub fn rights(grant: &Grant) -> String {
    let may: Vec<_> = grant.may.iter().map(|right| right.as_str()).collect();
    let boxes = grant
        .boxes
        .as_ref()
        .map_or("every box".into(), |boxes| patterns(boxes));
    let approvals = if grant.approvals > 1 {
        format!(", with {} people behind each manifest", grant.approvals)
    } else {
        String::new()
    };
    format!(
        "{} {} on {boxes}{approvals}",
        may.join(", "),
        patterns(&grant.workflows)
    )
}

/// `ed25519 SHA256:…`
pub fn key(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn keys(keys: &[PublicKey]) -> String {
    let shown: Vec<_> = keys.iter().map(key).collect();
    match shown.as_slice() {
        [] => "no key".into(),
        [one] => format!("the key {one}"),
        several => format!("the keys {}", several.join(" and ")),
    }
}

fn lacking_keys(keys: &[PublicKey], other: &[PublicKey]) -> Vec<PublicKey> {
    let is_there = |key: &&PublicKey| other.iter().any(|other| other.key_data() == key.key_data());
    keys.iter().filter(|key| !is_there(key)).cloned().collect()
}

fn revoked(entry: &Revoked) -> String {
    let from = match &entry.from {
        Moment::Position(position) => format!("position {position}"),
        Moment::Commit(commit) => format!("commit {}", commit.short()),
    };
    let reason = entry
        .reason
        .as_ref()
        .map_or(String::new(), |reason| format!(" ({reason})"));
    format!(
        "what the key {} brought from {from} on counts as absent{reason}: what runs from it stops",
        entry.key
    )
}

fn lacking<'a>(these: &'a [String], others: &'a [String]) -> impl Iterator<Item = &'a String> {
    these.iter().filter(|this| !others.contains(this))
}

/// What is different between two manifests, a sentence each; empty where nothing that counts is.
pub fn manifest_change(old: Option<&Manifest>, new: Option<&Manifest>) -> Vec<String> {
    let (old, new) = match (old, new) {
        (None, None) => return Vec::new(),
        (None, Some(new)) => {
            return vec![format!(
                "{} is new: {} {} as {} on {}",
                new.workflow,
                new.bundle,
                new.version,
                new.run.mode.as_str(),
                on(&new.on)
            )];
        }
        (Some(old), None) => return vec![format!("{} is removed from every box", old.workflow)],
        (Some(old), Some(new)) => (old, new),
    };
    let mut said = Vec::new();
    let name = &new.workflow;
    let bundle = |manifest: &Manifest| format!("{} {}", manifest.bundle, manifest.version);
    if bundle(old) != bundle(new) {
        said.push(format!(
            "{name} runs {} instead of {}",
            bundle(new),
            bundle(old)
        ));
    }
    if on(&old.on) != on(&new.on) {
        said.push(format!(
            "{name} is on {} instead of {}",
            on(&new.on),
            on(&old.on)
        ));
    }
    if old.run != new.run {
        said.push(format!("{name} runs {} instead of {}", run(new), run(old)));
    }
    for (what, differs) in [
        ("other arguments", old.args != new.args),
        ("other variables in [env]", old.env != new.env),
        ("other secrets", old.secrets != new.secrets),
        ("other limits", old.limits != new.limits),
        ("another [restart]", old.restart != new.restart),
    ] {
        if differs {
            said.push(format!("{name} gets {what}"));
        }
    }
    said
}

fn run(manifest: &Manifest) -> String {
    let limit = manifest
        .run
        .time_limit
        .map_or(String::new(), |limit| format!(", {limit:?} at most"));
    let instances = match manifest.run.instances {
        1 => String::new(),
        several => format!(", {several} of them"),
    };
    format!("as {}{limit}{instances}", manifest.run.mode.as_str())
}

/// Where a manifest is, as `--on` takes it.
pub fn on(on: &On) -> String {
    let all = on.all.then(|| "all".to_string());
    let boxes = on.boxes.as_ref().map(|boxes| {
        boxes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    });
    let selector = on
        .selector
        .as_ref()
        .map(|selector| format!("where:{}", selector.text()));
    let count = on.count.map(|count| format!("count {count}"));
    all.into_iter()
        .chain(boxes)
        .chain(selector)
        .chain(count)
        .collect::<Vec<_>>()
        .join(" and ")
}

/// `alice, bob and carol`; `nobody`.
pub fn listed(names: &[Name]) -> String {
    let names: BTreeSet<&str> = names.iter().map(Name::as_str).collect();
    let names: Vec<_> = names.into_iter().collect();
    match names.as_slice() {
        [] => "nobody".into(),
        [one] => (*one).into(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// `1 admin`, `2 admins`
pub fn count(count: u32, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn patterns(patterns: &[Pattern]) -> String {
    patterns
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_manifests::policy;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn policy(rest: &str) -> Policy {
        let text = format!(
            "format = 1\nrepository = \"00112233445566778899aabbccddeeff\"\nversion = 1\n{rest}"
        );
        let (policy, problems) = policy::read("policy.toml", text.as_bytes());
        policy.unwrap_or_else(|| panic!("{problems:?}"))
    }

    #[test]
    fn a_change_is_said_in_sentences() {
        let old = policy(&format!(
            "[people.ann]\nkeys=[\"{KEY}\"]\nadmin=true\n[[grant]]\npeople=[\"ann\"]\nmay=[\"publish\"]\nworkflows=[\"ramp\"]\n"
        ));
        let new = policy(&format!(
            "[people.ann]\nkeys=[\"{KEY}\"]\nadmin=true\n[people.bob]\nkeys=[]\n[teams]\nlab=[\"ann\",\"bob\"]\n[[grant]]\npeople=[\"lab\"]\nmay=[\"deploy\"]\nworkflows=[\"ramp\"]\nboxes=[\"lab-*\"]\napprovals=2\n"
        ));
        assert_eq!(
            policy_change(&old, &new),
            [
                "bob joins, with no key",
                "the team lab is ann and bob",
                "no longer: ann may publish ramp on every box",
                "ann and bob may deploy ramp on lab-*, with 2 people behind each manifest",
            ]
        );
        assert!(policy_change(&old, &old).is_empty());
    }
}
