//! `sign DIR`: signs bundle.lock, after a look whether it still is what lies there.

use crate::{
    cli::KeyOption,
    failure::{Failure, Outcome},
    git::Git,
    key::Key,
    pack, talk,
};
use anyhow::Context;
use std::path::Path;
use swarm_manifests::{lock::NAMESPACE, rules::bundle::LOCK};

/// Writes bundle.lock.sig.
pub fn run(dir: &Path, key: &KeyOption, json: bool) -> Outcome {
    let packed = pack::pack(dir)?;
    let path = dir.join("bundle.lock");
    let lock = packed.lock.text();
    match std::fs::read(&path) {
        Ok(found) if found != lock.as_bytes() => {
            return Err(Failure::rule(&LOCK, format!("{} is not the lock of what lies beside it", path.display()))
                .hint("files changed since it was built: run swarm-pack build again, look at it, and sign then"));
        }
        Ok(_) => {}
        Err(_) => packed.write_lock(dir)?,
    }
    let key = Key::find(key.key.as_deref(), &Git::at(dir))?;
    let (armour, signature) = key.sign(NAMESPACE, lock.as_bytes())?;
    let path = dir.join("bundle.lock.sig");
    std::fs::write(&path, armour)
        .with_context(|| format!("{} could not be written", path.display()))?;
    let (digest, fingerprint) = (packed.lock.digest(), signature.fingerprint());
    if json {
        talk::json(&serde_json::json!({
            "name": packed.bundle.name, "version": packed.bundle.version.to_string(), "digest": digest, "key": fingerprint,
        }));
    } else {
        talk::say(format!(
            "signed {} ({digest}) with {fingerprint}",
            packed.title()
        ));
    }
    Ok(())
}
