//! People are those of policy.toml as this map's mirror verified it: whoever is taken out of it, or whose key is revoked, is
//! nobody here from then on. Pure.

use crate::fleet::trunk::Known;
use ssh_key::HashAlg;
use swarm_manifests::{name::Name, policy::Policy};

/// Somebody with a session: who, and by which key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Person {
    pub name: Name,
    /// `SHA256:…`
    pub key: String,
}

/// The person whose key has this fingerprint, by what the mirror trusts now.
pub fn person(trunk: &Known, fingerprint: &str) -> Option<Person> {
    let policy = trunk.as_ref()?.policy.as_ref()?;
    holder(policy, fingerprint).map(|name| Person {
        name: name.clone(),
        key: fingerprint.to_owned(),
    })
}

/// Whether the policy names this key as a person's, be it revoked: such a key is no box's.
pub fn has(trunk: &Known, fingerprint: &str) -> bool {
    trunk
        .as_ref()
        .and_then(|trunk| trunk.policy.as_ref())
        .is_some_and(|policy| names(policy, fingerprint))
}

fn names(policy: &Policy, fingerprint: &str) -> bool {
    let is_revoked = policy
        .revoked
        .iter()
        .any(|revoked| revoked.key == fingerprint);
    is_revoked || holder(policy, fingerprint).is_some()
}

fn holder<'a>(policy: &'a Policy, fingerprint: &str) -> Option<&'a Name> {
    if policy
        .revoked
        .iter()
        .any(|revoked| revoked.key == fingerprint)
    {
        return None;
    }
    let has_key = |keys: &[ssh_key::PublicKey]| {
        keys.iter()
            .any(|key| key.fingerprint(HashAlg::Sha256).to_string() == fingerprint)
    };
    let mut people = policy.people.iter();
    people
        .find(|(_, person)| has_key(&person.keys))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn policy(more: &str) -> (Policy, String) {
        let text = format!(
            "format = 1\nrepository = \"0123456789abcdef0123456789abcdef\"\nversion = 1\nthreshold = 1\n\n[people.alice]\nkeys = [\"{KEY} alice\"]\nadmin = true\n{more}"
        );
        let (policy, problems) = swarm_manifests::policy::read("policy.toml", text.as_bytes());
        let key = swarm_manifests::key::read(KEY).expect("a key");
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        (
            policy.unwrap_or_else(|| panic!("{problems:?}")),
            fingerprint,
        )
    }

    #[test]
    fn a_key_is_its_persons_until_it_is_revoked() {
        let (plain, key) = policy("");
        assert_eq!(holder(&plain, &key).map(Name::as_str), Some("alice"));
        assert_eq!(holder(&plain, "SHA256:other"), None);
        let (revoked, _) = policy(&format!("\n[[revoked]]\nkey = \"{key}\"\nfrom = 1\n"));
        assert_eq!(holder(&revoked, &key), None);
        assert!(names(&plain, &key) && names(&revoked, &key));
        assert!(!names(&plain, "SHA256:other"));
    }
}
