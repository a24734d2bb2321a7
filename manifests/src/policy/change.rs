//! A change of policy.toml (SPEC §4 rule 2). Both policies, the bytes and the approvals come in; a tally or the refusal goes out. Pure.

use super::{Policy, Revocations};
use crate::{
    approval::Tally,
    name::Name,
    policy::NAMESPACE,
    problem::Refusal,
    rules::trunk::{POLICY_APPROVALS, POLICY_LOCKOUT, POLICY_REPOSITORY, POLICY_VERSION},
    signature::Signature,
};
use ssh_key::{HashAlg, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

/// The folder of approvals.
pub const FOLDER: &str = "policy.sigs";

/// Checks a change of policy.toml except for its approvals: version + 1, same repository, no lock-out.
pub fn check_change(old: &Policy, new: &Policy) -> Result<(), Refusal> {
    if old.repository != new.repository {
        let reason = format!(
            "policy.toml says repository {:?}, the policy before it {:?}",
            new.repository, old.repository
        );
        return Err(Refusal::new(&POLICY_REPOSITORY, reason));
    }
    if old.version.checked_add(1) != Some(new.version) {
        let reason = format!(
            "policy.toml has version {}, after version {}",
            new.version, old.version
        );
        return Err(Refusal::new(&POLICY_VERSION, reason)
            .hint(format!("set version = {}", old.version.saturating_add(1))));
    }
    match new.lockout() {
        Some(reason) => Err(Refusal::new(&POLICY_LOCKOUT, reason)),
        None => Ok(()),
    }
}

/// A file `policy.sigs/<person>.sig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Approval<'a> {
    /// The stem of the file's name.
    pub person: &'a str,
    pub armour: &'a [u8],
}

/// A change of the policy that somebody proposes.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Proposal<'a> {
    pub old: &'a Policy,
    pub new: &'a Policy,
    /// policy.toml as it shall be, to the byte.
    pub text: &'a [u8],
    /// The position of the commit that makes the change, and whose keys are revoked there by the old policy and by the new one.
    pub position: u64,
    pub revoked: (&'a Revocations, &'a Revocations),
}

/// Who stands behind a change of the policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stand {
    /// As the old policy counts.
    pub old: Tally,
    /// As the new one counts, where admins, their keys or the threshold change.
    pub new: Option<Tally>,
    /// Files that do not count, and why.
    pub odd: Vec<(String, String)>,
}

impl Proposal<'_> {
    /// Counts approvals. `signer` is the fingerprint of the key that signs the commit, where that is known already: it counts.
    pub fn stand(&self, approvals: &[Approval<'_>], signer: Option<&str>) -> Stand {
        let mut keys: Vec<String> = signer.map(str::to_owned).into_iter().collect();
        let mut odd = Vec::new();
        let (before, after) = (self.admins(Era::Old), self.admins(Era::New));
        let is_admins = |key: &str| before.owner(key).or_else(|| after.owner(key)).is_some();
        for approval in approvals {
            let why = match self.approving(approval) {
                Ok(key) if is_admins(&key) => {
                    keys.push(key);
                    continue;
                }
                Ok(key) => format!("{key} is no key of an admin that counts"),
                Err(why) => why,
            };
            odd.push((format!("{FOLDER}/{}.sig", approval.person), why));
        }
        let tally = |admins: &Admins, threshold| Tally {
            needed: threshold,
            by: keys.iter().filter_map(|key| admins.owner(key)).collect(),
            could: admins.names(),
        };
        let changed = before != after || self.old.threshold != self.new.threshold;
        Stand {
            old: tally(&before, self.old.threshold),
            new: changed.then(|| tally(&after, self.new.threshold)),
            odd,
        }
    }

    /// Whether those who approve and the signer of the commit are enough (rule 2).
    pub fn check(&self, approvals: &[Approval<'_>], signer: Option<&str>) -> Result<(), Refusal> {
        check_change(self.old, self.new)?;
        if self.admins(Era::New).names().len() < self.new.threshold as usize {
            let reason = format!(
                "{} admins must approve the next policy, and with the revoked keys left out fewer have a key: nobody could ever change it again",
                self.new.threshold
            );
            return Err(Refusal::new(&POLICY_LOCKOUT, reason));
        }
        let stand = self.stand(approvals, signer);
        let judged = [
            Some((&stand.old, "before")),
            stand.new.as_ref().map(|new| (new, "after")),
        ];
        for (tally, when) in judged.into_iter().flatten() {
            if tally.missing() > 0 {
                return Err(stand.refusal(tally, when));
            }
        }
        Ok(())
    }

    /// The fingerprint of the key that approved, whoever's it is by either policy.
    fn approving(&self, approval: &Approval<'_>) -> Result<String, String> {
        let signature = Signature::parse(approval.armour).map_err(|error| error.to_string())?;
        let mut why = String::new();
        for policy in [self.old, self.new] {
            match policy.signed_by(&signature, NAMESPACE, self.text) {
                Ok(by) if by.name.as_str() == approval.person => return Ok(by.key),
                Ok(by) => why = format!("it is signed by {}", by.name),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    fn admins(&self, era: Era) -> Admins {
        let (policy, revoked) = match era {
            Era::Old => (self.old, self.revoked.0),
            Era::New => (self.new, self.revoked.1),
        };
        let keys = |person: &super::Person| -> BTreeSet<String> {
            let prints = person.keys.iter().map(fingerprint);
            prints
                .filter(|print| !revoked.strikes(print, self.position))
                .collect()
        };
        let admins = policy.people.iter().filter(|(_, person)| person.admin);
        Admins(
            admins
                .map(|(name, person)| (name.clone(), keys(person)))
                .filter(|(_, keys)| !keys.is_empty())
                .collect(),
        )
    }
}

impl Stand {
    fn refusal(&self, tally: &Tally, when: &str) -> Refusal {
        let mut reason = format!(
            "of the admins of the policy {when} the change, {}",
            tally.sentence("of them")
        );
        for (file, why) in &self.odd {
            reason += &format!("; {file} does not count: {why}");
        }
        Refusal::new(&POLICY_APPROVALS, reason).hint("swarm-pack approve policy.toml")
    }
}

#[derive(Clone, Copy)]
enum Era {
    Old,
    New,
}

/// Admins with the fingerprints of their keys that count.
#[derive(PartialEq, Eq)]
struct Admins(BTreeMap<Name, BTreeSet<String>>);

impl Admins {
    fn owner(&self, key: &str) -> Option<Name> {
        let owner = self.0.iter().find(|(_, keys)| keys.contains(key));
        owner.map(|(name, _)| name.clone())
    }

    fn names(&self) -> BTreeSet<Name> {
        self.0.keys().cloned().collect()
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

impl Policy {
    /// Why this policy could never be changed again; none where it could.
    pub fn lockout(&self) -> Option<String> {
        let admins = self
            .people
            .values()
            .filter(|person| person.admin && !person.keys.is_empty())
            .count();
        (u64::from(self.threshold) > admins as u64)
            .then(|| format!("{} admins must approve the next policy, and {admins} with a key are there: nobody could ever change it again", self.threshold))
    }
}
