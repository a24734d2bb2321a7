//! `build DIR`: writes bundle.lock and prints the digest.

use crate::{failure::Outcome, pack, talk};
use std::path::Path;

/// Packs the folder.
pub fn run(dir: &Path, json: bool) -> Outcome {
    let packed = pack::pack(dir)?;
    packed.write_lock(dir)?;
    let digest = packed.lock.digest();
    if json {
        talk::json(&serde_json::json!({
            "name": packed.bundle.name,
            "version": packed.bundle.version.to_string(),
            "digest": digest,
            "files": packed.items.len(),
            "bytes": packed.bytes(),
        }));
    } else {
        talk::say(format!(
            "{}: {} files, {} bytes",
            packed.title(),
            packed.items.len(),
            packed.bytes()
        ));
        talk::data(digest);
    }
    Ok(())
}
