//! Bundles in the repository: which blobs they need, and whether they may run (SPEC §3.2, §4 rule 4).
//!
//! In: what is trusted, a name and a version. Out: a bundle that may run, what is to be fetched first, or the refusal.
//! Touches the object store; of the files only their sizes are looked at.

mod contents;
mod links;

use crate::{
    news::MAX_LOCK,
    objects::{ObjectError, Objects},
    revoked,
    tree::Mode,
    trusted::{BroughtBundle, Trusted},
    verifier::Verifier,
};
use contents::{as_listed, bundle_toml, files, plain, sizes};
use links::links;
use swarm_manifests::{
    bundle::Bundle,
    id::Oid,
    lock::{self, Lock},
    name::Name,
    policy::{NotSigned, Policy, SignedBy},
    problem::Refusal,
    rules::bundle as rules,
    signature::{MAX_ARMOUR, Signature},
};

/// A bundle whose lock, signature, publisher and file list were verified; the bytes of the files are hashed when they are stored.
#[derive(Debug, Clone)]
pub struct VerifiedBundle {
    bundle: Bundle,
    lock: Lock,
    lock_text: Vec<u8>,
    files: Vec<Oid>,
    by: Name,
    key: String,
}

impl VerifiedBundle {
    /// bundle.toml
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }
    /// bundle.lock
    pub fn lock(&self) -> &Lock {
        &self.lock
    }
    /// bundle.lock as it stands
    pub fn lock_text(&self) -> &[u8] {
        &self.lock_text
    }
    /// The blobs, in the order of `lock().entries()`.
    pub fn files(&self) -> &[Oid] {
        &self.files
    }
    /// Who signed it.
    pub fn by(&self) -> &Name {
        &self.by
    }
    /// The key's fingerprint.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// What `look` found.
#[derive(Debug)]
pub enum Looked {
    /// Verified, except for bytes that are hashed when stored. Blobs that are not in the object store yet are listed.
    Verified(Box<VerifiedBundle>, Vec<Oid>),
    /// These blobs (lock, signature, bundle.toml) are needed first.
    Need(Vec<Oid>),
    /// It may not run.
    Refused(Refusal),
}

/// [`Verifier::look`] by a verifier that is used once.
pub fn look(
    objects: &Objects,
    trusted: &Trusted,
    name: &Name,
    version: &str,
) -> Result<Looked, ObjectError> {
    Verifier::new().look(objects, trusted, name, version)
}

/// Why a look ended before the bundle was verified.
enum Stop {
    Refused(Refusal),
    Need(Vec<Oid>),
    Object(ObjectError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ObjectError> for Stop {
    fn from(error: ObjectError) -> Self {
        Self::Object(error)
    }
}

impl Verifier {
    /// Looks at `bundles/<name>/<version>` at the trusted head.
    pub fn look(
        &mut self,
        objects: &Objects,
        trusted: &Trusted,
        name: &Name,
        version: &str,
    ) -> Result<Looked, ObjectError> {
        match self.inspect(objects, trusted, name, version) {
            Ok((bundle, missing)) => Ok(Looked::Verified(Box::new(bundle), missing)),
            Err(Stop::Need(blobs)) => Ok(Looked::Need(blobs)),
            Err(Stop::Refused(why)) => Ok(Looked::Refused(Refusal {
                reason: format!("bundle {name} {version}: {}", why.reason),
                ..why
            })),
            Err(Stop::Object(error)) => Err(error),
        }
    }

    fn inspect(
        &mut self,
        objects: &Objects,
        trusted: &Trusted,
        name: &Name,
        version: &str,
    ) -> Result<(VerifiedBundle, Vec<Oid>), Stop> {
        let place = self.place(objects, trusted)??;
        let head = &place.at;
        let folder = folder(objects, head.tree, &["bundles", name.as_str(), version])?;
        let folder = folder.ok_or_else(|| {
            Refusal::new(
                &rules::MISSING,
                format!(
                    "there is no bundles/{name}/{version} at {}",
                    trusted.head.short()
                ),
            )
        })?;
        let mut files = files(objects, folder)?;
        let record = trusted.bundles.get(format!("{name}/{version}").as_str());
        let record = record.ok_or_else(|| Refusal::new(&rules::LOCK, "it has no bundle.lock"))?;
        if let Some(void) = revoked::strikes(&place.revoked, &format!("{name}/{version}"), record) {
            return Err(void.into());
        }
        let lock_blob = plain(&mut files, "bundle.lock")
            .ok_or_else(|| Refusal::new(&rules::LOCK, "it has no bundle.lock"))?;
        let signature = plain(&mut files, "bundle.lock.sig")
            .ok_or_else(|| Refusal::new(&rules::SIGNATURE, "it has no bundle.lock.sig"))?;
        is_the_first(record, lock_blob)?;
        let toml = files
            .get("bundle.toml")
            .map(|(_, id)| *id)
            .ok_or_else(|| Refusal::new(&rules::TOML, "it has no bundle.toml"))?;
        let needed = objects.missing([lock_blob, signature, toml])?;
        if !needed.is_empty() {
            return Err(Stop::Need(needed));
        }
        let (lock_text, armour) = signed_texts(objects, lock_blob, signature)?;
        let judge = self.at(objects, record.judged_by)??.policy;
        let SignedBy { name: by, key } = publisher(&judge, name, version, &lock_text, &armour)?;
        if let Some(void) = place.revoked.refuse("it", &key, record.seal.position) {
            return Err(void.into());
        }
        let lock = lock_of(name, version, &lock_text)?;
        let files = as_listed(&lock, &files)?;
        let bundle = bundle_toml(objects, toml, &lock)?;
        let missing = objects.missing(files.iter().copied())?;
        sizes(objects, &lock, &files, &missing)?;
        links(objects, &lock, &files, &missing)?;
        Ok((
            VerifiedBundle {
                bundle,
                lock,
                lock_text,
                files,
                by,
                key,
            },
            missing,
        ))
    }
}

/// The tree of a folder, by its path's components.
fn folder(objects: &Objects, root: Oid, path: &[&str]) -> Result<Option<Oid>, ObjectError> {
    let mut at = root;
    for name in path {
        match objects.tree(at)?.get(name.as_bytes()) {
            Some(entry) if entry.mode == Mode::Folder => at = entry.id,
            _ => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// A version is immutable: its lock is the one that was brought first.
fn is_the_first(record: &BroughtBundle, lock: Oid) -> Result<(), Refusal> {
    if record.lock == lock {
        return Ok(());
    }
    let first = &record.brought;
    let reason = format!(
        "it has other bytes than when {} brought it in commit {}",
        first.by,
        first.commit.short()
    );
    Err(Refusal::new(&rules::IMMUTABLE, reason).hint("publish them under a new version"))
}

/// Who signed the lock, if they may publish it.
fn publisher(
    policy: &Policy,
    name: &Name,
    version: &str,
    lock: &[u8],
    armour: &[u8],
) -> Result<SignedBy, Refusal> {
    let path = format!("bundles/{name}/{version}/bundle.lock.sig");
    let bad = |error| Refusal::new(&rules::SIGNATURE, format!("{path}: {error}"));
    let signature = Signature::parse(armour).map_err(bad)?;
    let signed = policy.signed_by(&signature, lock::NAMESPACE, lock);
    let signed = signed.map_err(|error| match error {
        NotSigned::Bad(error) => bad(error),
        NotSigned::Unknown(_) => Refusal::new(&rules::PUBLISHER, format!("{path}: {error}")),
    })?;
    if !policy.may_publish(&signed.name, name.as_str()) {
        let reason = format!(
            "{path} is by {} ({}), who may not publish {name}",
            signed.name, signed.key
        );
        return Err(Refusal::new(&rules::PUBLISHER, reason));
    }
    Ok(signed)
}

/// The lock and its signature.
fn signed_texts(objects: &Objects, lock: Oid, signature: Oid) -> Result<(Vec<u8>, Vec<u8>), Stop> {
    let most = MAX_ARMOUR as u64;
    Ok((
        limited(objects, lock, MAX_LOCK, &rules::LOCK, "bundle.lock")?,
        limited(
            objects,
            signature,
            most,
            &rules::SIGNATURE,
            "bundle.lock.sig",
        )?,
    ))
}

/// A lock that is this very version's.
fn lock_of(name: &Name, version: &str, text: &[u8]) -> Result<Lock, Refusal> {
    let lock = Lock::parse(text)?;
    if lock.name() == name && lock.version().to_string() == version {
        return Ok(lock);
    }
    let whose = format!(
        "its bundle.lock is that of {} {}",
        lock.name(),
        lock.version()
    );
    Err(Refusal::new(&rules::NAME, whose))
}

fn limited(
    objects: &Objects,
    id: Oid,
    limit: u64,
    rule: &'static swarm_manifests::rules::Rule,
    file: &str,
) -> Result<Vec<u8>, Stop> {
    match objects.blob(id, limit) {
        Ok(bytes) => Ok(bytes),
        Err(error @ (ObjectError::TooLarge { .. } | ObjectError::Kind { .. })) => {
            Err(Refusal::new(rule, format!("its {file}: {error}")).into())
        }
        Err(error) => Err(error.into()),
    }
}
