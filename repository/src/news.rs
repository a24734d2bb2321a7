//! Who brought what: the changes of a good commit come in, and are written down in what is trusted.
//!
//! Touches the object store: of a bundle's lock and signature it notes the digest and the maker, where they are here.

use crate::{
    changes::Change,
    judge::Good,
    objects::{ObjectError, Objects},
    trusted::{Brought, BroughtBundle, BroughtFile, Seal, Trusted},
};
use std::sync::Arc;
use swarm_manifests::{
    id::{Digest, Oid},
    manifest::workflow_of,
    name::Name,
    signature::{MAX_ARMOUR, Signature},
};

/// The largest bundle.lock that is read: 50,000 lines of 160 bytes.
pub const MAX_LOCK: u64 = 16 << 20;

/// What one commit changed of what is remembered.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub manifests: Vec<(String, Presence)>,
    /// Approvals and secrets.
    pub files: Vec<(String, Presence)>,
    pub bundles: Vec<BundleNews>,
}

/// Whether a file is there after the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Here,
    Gone,
}

/// A bundle.lock or bundle.lock.sig that is new or another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BundleNews {
    Lock { key: String, blob: Oid },
    Signature { key: String, blob: Oid },
}

impl News {
    /// Notes what a change means for who brought what.
    pub fn note(&mut self, change: Change<'_>) {
        let presence = if change.new.is_some() {
            Presence::Here
        } else {
            Presence::Gone
        };
        if workflow_of(change.path).is_some() {
            self.manifests.push((change.path.into(), presence));
        } else if approval(change.path).or(secret(change.path)).is_some() {
            self.files.push((change.path.into(), presence));
        }
        let Some((_, blob)) = change.new else { return };
        match version_file(change.path) {
            Some((key, "bundle.lock")) => self.bundles.push(BundleNews::Lock { key, blob }),
            Some((key, "bundle.lock.sig")) => {
                self.bundles.push(BundleNews::Signature { key, blob });
            }
            _ => {}
        }
    }
}

/// `approvals/<workflow>/<person>.sig` as (workflow, person).
pub(crate) fn approval(path: &str) -> Option<(Name, Name)> {
    below(path, "approvals/", ".sig")
}

/// `secrets/<workflow>/<name>.age` as (workflow, name).
pub(crate) fn secret(path: &str) -> Option<(Name, Name)> {
    below(path, "secrets/", ".age")
}

fn below(path: &str, folder: &str, suffix: &str) -> Option<(Name, Name)> {
    let (workflow, file) = path.strip_prefix(folder)?.split_once('/')?;
    let stem = file.strip_suffix(suffix)?;
    Some((Name::new(workflow).ok()?, Name::new(stem).ok()?))
}

/// `bundles/<name>/<version>/<file>` as (`<name>/<version>`, `<file>`).
fn version_file(path: &str) -> Option<(String, &str)> {
    let (name, rest) = path.strip_prefix("bundles/")?.split_once('/')?;
    let (version, file) = rest.split_once('/')?;
    Name::new(name).ok()?;
    Some((format!("{name}/{version}"), file))
}

/// Writes down what a good commit brought. `judged_by` is where the policy stands that judged it.
pub(crate) fn remember(
    objects: &Objects,
    trusted: &mut Trusted,
    good: &Good,
    judged_by: Oid,
) -> Result<(), ObjectError> {
    let position = trusted.position;
    let brought = |path: String| Brought {
        path,
        commit: good.at.id,
        position,
        by: good.signer.name.clone(),
        key: good.signer.key.clone(),
        time: good.time.clone(),
    };
    for (path, presence) in &good.news.manifests {
        let manifests = Arc::make_mut(&mut trusted.manifests);
        match presence {
            Presence::Here => {
                manifests.insert(path.as_str().into(), Arc::new(brought(path.clone())))
            }
            Presence::Gone => manifests.remove(path.as_str()),
        };
    }
    for (path, presence) in &good.news.files {
        let files = Arc::make_mut(&mut trusted.files);
        let file = || BroughtFile {
            brought: brought(path.clone()),
            judged_by,
        };
        match presence {
            Presence::Here => files.insert(path.as_str().into(), Arc::new(file())),
            Presence::Gone => files.remove(path.as_str()),
        };
    }
    for news in &good.news.bundles {
        let seal = |maker| Seal {
            position,
            key: good.signer.key.clone(),
            maker,
        };
        match news {
            BundleNews::Lock { key, blob } if !trusted.bundles.contains_key(key.as_str()) => {
                let bundle = BroughtBundle {
                    brought: brought(format!("bundles/{key}")),
                    judged_by,
                    seal: seal(None),
                    digest: lock_digest(objects, *blob)?,
                    lock: *blob,
                };
                Arc::make_mut(&mut trusted.bundles).insert(key.as_str().into(), Arc::new(bundle));
            }
            // What was brought first stays: other bytes under a version are refused when it is looked at.
            BundleNews::Lock { .. } => {}
            BundleNews::Signature { key, blob } => {
                let seal = seal(maker(objects, *blob)?);
                sealed(trusted, key, judged_by, seal);
            }
        }
    }
    Ok(())
}

/// Notes a signature. In git's order bundle.lock comes before bundle.lock.sig: a new bundle is known by now.
fn sealed(trusted: &mut Trusted, key: &str, judged_by: Oid, seal: Seal) {
    if let Some(known) = Arc::make_mut(&mut trusted.bundles).get_mut(key) {
        let known = Arc::make_mut(known);
        known.judged_by = judged_by;
        known.seal = seal;
    }
}

/// The digest, where the blob is here; a large one may not have been fetched.
fn lock_digest(objects: &Objects, blob: Oid) -> Result<Option<Digest>, ObjectError> {
    Ok(if_here(objects.blob(blob, MAX_LOCK))?.map(|text| Digest::of(&text)))
}

/// The key that made a signature, where it is one and is here.
fn maker(objects: &Objects, blob: Oid) -> Result<Option<String>, ObjectError> {
    let armour = if_here(objects.blob(blob, MAX_ARMOUR as u64))?;
    let signature = armour.and_then(|armour| Signature::parse(&armour).ok());
    Ok(signature.map(|signature| signature.fingerprint()))
}

fn if_here(read: Result<Vec<u8>, ObjectError>) -> Result<Option<Vec<u8>>, ObjectError> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ObjectError::Git(error)) => Err(ObjectError::Git(error)),
        Err(_) => Ok(None),
    }
}
