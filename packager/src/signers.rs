//! `allowed_signers` from the policy: for `git log --show-signature` and `ssh-keygen -Y verify`. Pure.

use swarm_manifests::{
    lock, manifest,
    policy::{self, Policy},
};
use swarm_repository::rights;

/// The namespaces that a person's key may sign in: no wildcards.
fn namespaces() -> [&'static str; 5] {
    [
        rights::NAMESPACE,
        lock::NAMESPACE,
        policy::NAMESPACE,
        manifest::NAMESPACE,
        "swarm-request@v1",
    ]
}

/// The same for programs.
pub fn json(policy: &Policy) -> Vec<serde_json::Value> {
    let keys = policy
        .people
        .iter()
        .flat_map(|(name, person)| person.keys.iter().map(move |key| (name, key)));
    keys.map(|(name, key)| {
        serde_json::json!({
            "person": name,
            "namespaces": namespaces(),
            "key": key.to_openssh().unwrap_or_default(),
            "fingerprint": key.fingerprint(ssh_key::HashAlg::Sha256).to_string(),
        })
    })
    .collect()
}

/// A line a key, in the format of ssh-keygen(1).
pub fn text(policy: &Policy) -> String {
    let namespaces = namespaces().join(",");
    let keys = policy
        .people
        .iter()
        .flat_map(|(name, person)| person.keys.iter().map(move |key| (name, key)));
    keys.filter_map(|(name, key)| {
        let mut key = key.clone();
        key.set_comment("");
        Some(format!(
            "{name} namespaces=\"{namespaces}\" {}\n",
            key.to_openssh().ok()?.trim_end()
        ))
    })
    .collect()
}
