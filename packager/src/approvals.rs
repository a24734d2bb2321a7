//! Who stands behind a policy that is not on the trunk yet, and who still has to (SPEC §4 rule 2): counted by the very code
//! that boxes count with. Reads policy.sigs/ in the working tree.

use crate::{
    audit::trunk, deploy_repository::DeployRepository, failure::Outcome, git::Git,
    pack::read_limited,
};
use std::convert::Infallible;
use swarm_manifests::{
    approval::Tally,
    policy::{Approval, FOLDER, Policy, Proposal, Revocations, Stand},
    signature::MAX_ARMOUR,
};

/// How far a change is approved.
#[derive(Debug, Clone)]
pub struct Standing {
    stand: Stand,
    has_files: bool,
}

impl Standing {
    /// Of the old policy's count and the new one's, that which misses more.
    fn tally(&self) -> &Tally {
        let new = self.stand.new.as_ref();
        new.filter(|new| new.missing() > self.stand.old.missing())
            .unwrap_or(&self.stand.old)
    }

    /// How many are missing.
    pub fn missing(&self) -> u32 {
        self.tally().missing()
    }

    /// Whether it takes one person alone.
    pub fn is_alone(&self) -> bool {
        self.stand.old.needed <= 1 && self.stand.new.as_ref().is_none_or(|new| new.needed <= 1)
    }

    /// Who is there, who is missing, in words.
    pub fn in_words(&self) -> String {
        self.tally().sentence("admins")
    }

    /// Whether there are approvals in files, be they good or not.
    pub fn has_files(&self) -> bool {
        self.has_files
    }

    /// Approvals that do not count: the file, and why.
    pub fn odd(&self) -> &[(String, String)] {
        &self.stand.odd
    }

    /// As JSON has it.
    pub fn json(&self) -> serde_json::Value {
        json(self.tally())
    }
}

/// A tally as JSON has it.
pub fn json(tally: &Tally) -> serde_json::Value {
    let can: Vec<_> = tally.others().collect();
    serde_json::json!({"needed": tally.needed, "behind": tally.by, "missing": tally.missing(), "can": can})
}

/// Who stands behind the policy of the working tree: by signatures over exactly these bytes, and the signer of the commit
/// that is to come, where their key's fingerprint is known.
pub fn of_policy(
    repository: &DeployRepository,
    (old, new): (&Policy, &Policy),
    text: &[u8],
    signer: Option<&str>,
) -> Outcome<Standing> {
    let files = files(repository)?;
    let approvals: Vec<_> = files
        .iter()
        .map(|(person, armour)| Approval { person, armour })
        .collect();
    let line = if old.revoked.is_empty() && new.revoked.is_empty() {
        Vec::new()
    } else {
        first_parents(&repository.git)?
    };
    let revocations = |policy: &Policy| {
        let position = |commit: swarm_manifests::id::Oid| {
            let at = line.iter().position(|id| *id == commit.to_string());
            Ok::<_, Infallible>(at.and_then(|at| u64::try_from(at).ok()))
        };
        match Revocations::of(policy, position) {
            Ok(found) => found,
            Err(never) => match never {},
        }
    };
    let (before, after) = (revocations(old), revocations(new));
    let proposal = Proposal {
        old,
        new,
        text,
        position: u64::try_from(line.len()).unwrap_or(u64::MAX),
        revoked: (&before, &after),
    };
    Ok(Standing {
        stand: proposal.stand(&approvals, signer),
        has_files: !files.is_empty(),
    })
}

/// The trunk's commits, the introduction first.
fn first_parents(git: &Git) -> Outcome<Vec<String>> {
    let introduction = trunk::introduction(git, "HEAD")?;
    let below = git.line([
        "rev-list",
        "--first-parent",
        "--reverse",
        &format!("{introduction}..HEAD"),
    ])?;
    let mut line = vec![introduction];
    line.extend(below.lines().map(ToString::to_string));
    Ok(line)
}

/// The person that each file of policy.sigs/ is named after, and its bytes.
fn files(repository: &DeployRepository) -> Outcome<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(repository.top().join(FOLDER)) else {
        return Ok(found);
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let person = name
            .strip_suffix(".sig")
            .filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file()));
        if let Some(person) = person {
            found.push((
                person.into(),
                read_limited(&entry.path(), MAX_ARMOUR as u64 + 1)?,
            ));
        }
    }
    found.sort();
    Ok(found)
}
