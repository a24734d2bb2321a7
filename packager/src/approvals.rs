//! Who stands behind a policy that is not committed yet, and who still has to (SPEC §4 rule 2). Reads policy.sigs/ in the
//! working tree.

use crate::{deploy_repository::DeployRepository, failure::Outcome, pack::read_limited, words};
use std::collections::BTreeSet;
use swarm_manifests::{
    name::Name,
    policy::{self, Policy},
    signature::{MAX_ARMOUR, Signature},
};

/// How far a change is approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who stands behind it.
    pub behind: BTreeSet<Name>,
    /// How many must.
    pub needed: u32,
    /// Who else can.
    pub could: BTreeSet<Name>,
}

impl Standing {
    /// How many are missing.
    pub fn missing(&self) -> u32 {
        let behind = u32::try_from(self.behind.len()).unwrap_or(u32::MAX);
        self.needed.saturating_sub(behind)
    }

    /// The same with one more person behind it, if they can be.
    #[must_use]
    pub fn with(mut self, person: Option<&Name>) -> Self {
        if let Some(person) = person.and_then(|person| self.could.take(person)) {
            self.behind.insert(person);
        }
        self
    }

    /// Who is there, who is missing, in words.
    pub fn in_words(&self, whose: &str) -> String {
        let behind: Vec<Name> = self.behind.iter().cloned().collect();
        let could: Vec<Name> = self.could.iter().cloned().collect();
        let there = if behind.is_empty() {
            "nobody has yet".into()
        } else {
            format!("{} did", words::listed(&behind))
        };
        match self.missing() {
            0 => format!(
                "{} needed: {}",
                words::count(self.needed, whose),
                words::listed(&behind)
            ),
            missing => format!(
                "{} needed, and {there}; {missing} of {} can still approve",
                words::count(self.needed, whose),
                words::listed(&could)
            ),
        }
    }

    /// As JSON has it.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({"needed": self.needed, "behind": self.behind, "missing": self.missing(), "can": self.could})
    }
}

/// Who stands behind the policy of the working tree, by signatures over exactly these bytes. Where admins, their keys or the
/// threshold change, the new policy must be satisfied too: the larger need counts.
pub fn of_policy(
    repository: &DeployRepository,
    old: &Policy,
    new: &Policy,
    text: &[u8],
) -> Outcome<Standing> {
    let mut behind = BTreeSet::new();
    for signature in signatures(repository)? {
        let holds = signature.verify(policy::NAMESPACE, text).is_ok();
        if let Some(person) = old.person_of(&signature.key()).filter(|_| holds)
            && old.is_admin(person)
        {
            behind.insert(person.clone());
        }
    }
    let admins = |policy: &Policy| -> BTreeSet<Name> {
        let admins = policy
            .people
            .iter()
            .filter(|(_, person)| person.admin && !person.keys.is_empty());
        admins.map(|(name, _)| name.clone()).collect()
    };
    let could = admins(old).difference(&behind).cloned().collect();
    Ok(Standing {
        behind,
        needed: old.threshold.max(new.threshold),
        could,
    })
}

fn signatures(repository: &DeployRepository) -> Outcome<Vec<Signature>> {
    let folder = repository.top().join("policy.sigs");
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return Ok(found);
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let armour = read_limited(&entry.path(), MAX_ARMOUR as u64 + 1)?;
            found.extend(Signature::parse(&armour).ok());
        }
    }
    Ok(found)
}
