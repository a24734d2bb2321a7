//! A bundle's folder, from its files alone: lock, files, signature. Reads the folder.

use crate::{
    failure::{Finding, Outcome},
    folder::{self, Ignoring, Item, of_refusal},
    pack::{hash_file, read_bundle, read_limited},
};
use std::{collections::BTreeMap, path::Path};
use swarm_manifests::{
    id::Digest,
    lock::{Entry, Lock, NAMESPACE},
    policy::Policy,
    problem::Problem,
    rules::bundle::{FILE_DIFFERS, FILE_EXTRA, LOCK, NAME, PUBLISHER, SIGNATURE},
    signature::{MAX_ARMOUR, Signature},
};
use swarm_repository::cores::on_every_core;

/// The longest bundle.lock that is read: every file with the longest path would not fill it.
const MAX_LOCK: u64 = 64 << 20;

/// What a look at a bundle's folder found.
#[derive(Debug, Default)]
pub struct Audit {
    /// The lock, where it can be read.
    pub lock: Option<Lock>,
    /// The signature, where it holds.
    pub signature: Option<Signature>,
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
}

/// Looks at a folder; `shown` is what people call it. Where it lies published, nothing is left out of the comparison.
pub fn audit(dir: &Path, shown: &str) -> Outcome<Audit> {
    let mut audit = Audit::default();
    let (bundle, findings) = read_bundle(dir)?;
    audit.findings = findings;
    let Some(text) = audit.read(dir, shown, "bundle.lock", MAX_LOCK, &LOCK)? else {
        return Ok(audit);
    };
    match Lock::parse(&text) {
        Ok(lock) => audit.lock = Some(lock),
        Err(refusal) => audit.add(of_refusal(&format!("{shown}/bundle.lock"), refusal)),
    }
    if let Some(lock) = audit.lock.clone() {
        let named = bundle.map(|bundle| (bundle.name.to_string(), bundle.version.to_string()));
        audit.compare_names(dir, shown, &lock, named);
        audit.compare_files(dir, shown, &lock)?;
    }
    if let Some(armour) = audit.read(
        dir,
        shown,
        "bundle.lock.sig",
        MAX_ARMOUR as u64 + 1,
        &SIGNATURE,
    )? {
        let signature = Signature::parse(&armour)
            .and_then(|signature| signature.verify(NAMESPACE, &text).map(|()| signature));
        match signature {
            Ok(signature) => audit.signature = Some(signature),
            Err(error) => audit.add(
                Problem::whole(
                    &format!("{shown}/bundle.lock.sig"),
                    &SIGNATURE,
                    error.to_string(),
                )
                .hint(SIGNATURE.remedy),
            ),
        }
    }
    Ok(audit)
}

/// Whether the path ends as a published bundle's does: `bundles/NAME/VERSION`.
pub fn published_place(dir: &Path) -> Option<(String, String)> {
    let real = dir.canonicalize().ok()?;
    let mut parts = real
        .iter()
        .rev()
        .map(|part| part.to_string_lossy().into_owned());
    let (version, name, bundles) = (parts.next()?, parts.next()?, parts.next()?);
    (bundles == "bundles").then_some((name, version))
}

impl Audit {
    /// Holds the signer against a policy: the person's name, where they may publish this.
    pub fn publisher(&mut self, shown: &str, policy: &Policy) -> Option<String> {
        let (lock, signature) = (self.lock.as_ref()?, self.signature.as_ref()?);
        let file = format!("{shown}/bundle.lock.sig");
        let person = policy.person_of(&signature.key());
        let message = match person {
            None => format!(
                "{} belongs to nobody in the policy",
                signature.fingerprint()
            ),
            Some(person) if !policy.may_publish(person, lock.name().as_str()) => {
                format!("{person} may not publish {}", lock.name())
            }
            Some(person) => return Some(person.to_string()),
        };
        self.add(Problem::whole(&file, &PUBLISHER, message).hint(PUBLISHER.remedy));
        None
    }

    fn add(&mut self, problem: Problem) {
        self.findings.push(Finding::bare(problem));
    }

    fn read(
        &mut self,
        dir: &Path,
        shown: &str,
        name: &str,
        limit: u64,
        rule: &'static swarm_manifests::rules::Rule,
    ) -> Outcome<Option<Vec<u8>>> {
        let path = dir.join(name);
        if !path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file())
        {
            self.add(
                Problem::whole(
                    &format!("{shown}/{name}"),
                    rule,
                    format!("{name} is not there, or is no plain file"),
                )
                .hint(rule.remedy),
            );
            return Ok(None);
        }
        read_limited(&path, limit).map(Some)
    }

    fn compare_names(
        &mut self,
        dir: &Path,
        shown: &str,
        lock: &Lock,
        bundle: Option<(String, String)>,
    ) {
        let locked = (lock.name().to_string(), lock.version().to_string());
        for (what, found) in [
            ("bundle.toml", bundle),
            ("its folder", published_place(dir)),
        ] {
            if let Some(found) = found.filter(|found| *found != locked) {
                let message = format!(
                    "bundle.lock is of {} {}, and {what} says {} {}",
                    locked.0, locked.1, found.0, found.1
                );
                self.add(
                    Problem::whole(&format!("{shown}/bundle.lock"), &NAME, message)
                        .hint(NAME.remedy),
                );
            }
        }
    }

    fn compare_files(&mut self, dir: &Path, shown: &str, lock: &Lock) -> Outcome {
        let ignoring = if published_place(dir).is_some() {
            Ignoring::Nothing
        } else {
            Ignoring::SwarmIgnore
        };
        let folder = folder::walk(dir, ignoring)?;
        self.findings
            .extend(folder.problems.into_iter().map(Finding::bare));
        let mut items: BTreeMap<&str, &Item> = folder
            .items
            .iter()
            .map(|item| (item.path.as_str(), item))
            .collect();
        let listed: Vec<_> = lock
            .entries()
            .iter()
            .map(|entry| (entry, items.remove(entry.path.as_str())))
            .collect();
        let differences = on_every_core(&listed, |(entry, item)| difference(entry, *item))?;
        for ((entry, _), wrong) in listed.into_iter().zip(differences) {
            if let Some(wrong) = wrong {
                self.add(
                    Problem::whole(&format!("{shown}/{}", entry.path), &FILE_DIFFERS, wrong).hint(
                        "swarm-pack build makes a new lock; published bytes need a new version",
                    ),
                );
            }
        }
        for path in items.into_keys() {
            self.add(
                Problem::whole(
                    &format!("{shown}/{path}"),
                    &FILE_EXTRA,
                    "bundle.lock does not list this file",
                )
                .hint(FILE_EXTRA.remedy),
            );
        }
        Ok(())
    }
}

fn difference(entry: &Entry, item: Option<&Item>) -> Outcome<Option<String>> {
    let Some(item) = item else {
        return Ok(Some("it is listed, and not there".into()));
    };
    if entry.kind != item.kind {
        return Ok(Some(
            format!("it is {:?}, and listed as {:?}", item.kind, entry.kind).to_lowercase(),
        ));
    }
    if entry.size != item.size {
        return Ok(Some(format!(
            "it has {} bytes, and is listed with {}",
            item.size, entry.size
        )));
    }
    let hash = match &item.target {
        Some(target) => Digest::of(target.as_bytes()),
        None => hash_file(&item.at)?.0,
    };
    Ok((hash != entry.hash).then(|| "its bytes are not those that are listed".into()))
}
