//! What a change of policy.toml must be like, its approvals apart (SPEC §4 rule 2). Pure.

use super::Policy;
use crate::{
    problem::Refusal,
    rules::trunk::{POLICY_LOCKOUT, POLICY_REPOSITORY, POLICY_VERSION},
};

/// Checks a change of policy.toml except for its approvals (rule 2): version + 1, same repository, no lock-out.
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
