//! `allowed_signers` from the policy: for `git log --show-signature` and `ssh-keygen -Y verify`. Pure.

use swarm_manifests::{
    lock,
    policy::{self, Policy},
};

/// A line a key, in the format of ssh-keygen(1).
pub fn text(policy: &Policy) -> String {
    let namespaces = format!(
        "git,{},{},swarm-manifest@v1,swarm-request@v1",
        lock::NAMESPACE,
        policy::NAMESPACE
    );
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
