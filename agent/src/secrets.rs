//! The secrets that this box needs, decrypted with its own key: encrypted files of the trunk come in, sealed memory or a refusal
//! goes out. Those that were opened before stay open for as long as something runs with them, also over a restart.
//!
//! Touches the object store, the box's key, and a small file that says which secrets were opened (not what is in them). What is decrypted is written to memory of the kernel's alone (`memfd_create(2)`), sealed,
//! and what it passed through is wiped; it is never on a disk, and no message has it.

use crate::{box_key::box_key, resolve::chosen::Chosen, trust};
use age_core::format::{FileKey, Stanza};
use anyhow::Context;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::{Deserialize, Serialize};
use ssh_key::{HashAlg, LineEnding};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
};
use swarm_manifests::{
    id::Digest,
    name::Name,
    problem::Refusal,
    secret::{Purpose, TAG},
};
use swarm_repository::{
    objects::Objects,
    secrets::{MAX_SECRET, Secret},
    snapshot::Snapshot,
};
use zeroize::Zeroizing;

/// A decrypted secret.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Open {
    /// SHA-256 of the encrypted file.
    pub digest: Digest,
    pub memory: Rc<OwnedFd>,
}

/// The secrets of this box.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// What became of each that the trunk names for this box, by workflow and name.
    pub wanted: BTreeMap<(Name, Name), Result<Open, Refusal>>,
    /// Those that the trunk named before, by workflow: something may still run with them.
    pub earlier: Vec<(Name, Open)>,
}

impl Secrets {
    /// Each that is open, with its workflow.
    pub fn open(&self) -> impl Iterator<Item = (&Name, &Open)> {
        let wanted = self.wanted.iter();
        let wanted =
            wanted.filter_map(|((workflow, _), open)| Some((workflow, open.as_ref().ok()?)));
        wanted.chain(self.earlier.iter().map(|(workflow, open)| (workflow, open)))
    }
}

/// Opens secrets; each only once.
pub struct Opener {
    key_file: PathBuf,
    ledger_file: PathBuf,
    /// What was opened and may still be used.
    ledger: Vec<Note>,
    known: BTreeMap<(Purpose, Digest), Open>,
}

/// A secret that was opened, as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    purpose: Purpose,
    secret: Secret,
}

impl Note {
    fn key(&self) -> (Purpose, Digest) {
        (self.purpose.clone(), self.secret.digest)
    }
}

impl Opener {
    /// With the agent's own folder, where the box's key is, which is read when it is needed.
    pub fn new(own: &Path) -> Self {
        let ledger_file = own.join("secrets.json");
        let ledger = std::fs::read(&ledger_file).ok();
        Self {
            key_file: own.join("box.key"),
            ledger: ledger
                .and_then(|text| serde_json::from_slice(&text).ok())
                .unwrap_or_default(),
            ledger_file,
            known: BTreeMap::new(),
        }
    }

    /// Every secret that a workflow for this box names, and those that one named before.
    pub fn open(&mut self, snapshot: &Snapshot, chosen: &Chosen, objects: &Objects) -> Secrets {
        let mut known = BTreeMap::new();
        let mut secrets = Secrets::default();
        let mut ledger = Vec::new();
        for (workflow, name) in chosen.secrets() {
            let purpose = Purpose {
                repository: snapshot.policy.repository.clone(),
                workflow: workflow.clone(),
                name: name.clone(),
            };
            let Some(secret) = snapshot.secrets.get(&(workflow.clone(), name.clone())) else {
                let refusal = purpose.refuse("is not there, or counts as absent");
                secrets.wanted.insert((workflow, name), Err(refusal));
                continue;
            };
            let key = (purpose, secret.digest);
            let before = self.known.remove(&key).map(Ok);
            let opened = before.unwrap_or_else(|| self.decrypt(&key.0, secret, objects));
            if let Ok(open) = &opened {
                ledger.push(Note {
                    purpose: key.0.clone(),
                    secret: Secret::clone(secret),
                });
                known.insert(key, open.clone());
            }
            secrets.wanted.insert((workflow, name), opened);
        }
        for note in std::mem::take(&mut self.ledger) {
            let key = note.key();
            if known.contains_key(&key) {
                continue;
            }
            let before = self.known.remove(&key).map(Ok);
            match before.unwrap_or_else(|| self.decrypt(&key.0, &note.secret, objects)) {
                Ok(open) => {
                    secrets.earlier.push((key.0.workflow.clone(), open.clone()));
                    known.insert(key, open);
                }
                Err(refusal) => {
                    tracing::warn!(
                        reason = refusal.reason,
                        "a secret of before is not to be had"
                    );
                }
            }
            ledger.push(note);
        }
        self.known = known;
        self.keep(ledger);
        secrets
    }

    /// Closes those of before that are not among these. Gives those that stay; none: all of them do.
    pub fn retire(&mut self, secrets: &Secrets, keep: &BTreeSet<Digest>) -> Option<Secrets> {
        let is_wanted = |digest: Digest| {
            let mut wanted = secrets.wanted.values().flatten();
            wanted.any(|open| open.digest == digest)
        };
        let stays = |digest: Digest| keep.contains(&digest) || is_wanted(digest);
        let ledger = self.ledger.iter();
        let ledger: Vec<Note> = ledger
            .filter(|note| stays(note.secret.digest))
            .cloned()
            .collect();
        if ledger.len() == self.ledger.len() {
            return None;
        }
        self.keep(ledger);
        self.known.retain(|(_, digest), _| stays(*digest));
        let mut left = secrets.clone();
        left.earlier.retain(|(_, open)| stays(open.digest));
        Some(left)
    }

    fn keep(&mut self, ledger: Vec<Note>) {
        if ledger != self.ledger {
            let kept = serde_json::to_vec(&ledger)
                .map_err(Into::into)
                .and_then(|text| trust::replace(&self.ledger_file, &text));
            if let Err(error) = kept {
                tracing::warn!(%error, "cannot keep which secrets were opened");
            }
        }
        self.ledger = ledger;
    }

    fn decrypt(
        &self,
        purpose: &Purpose,
        secret: &Secret,
        objects: &Objects,
    ) -> Result<Open, Refusal> {
        let encrypted = secret
            .read(objects)
            .map_err(|error| purpose.refuse(&format!("cannot be read: {error}")))?;
        let identity = self
            .identity()
            .map_err(|error| purpose.refuse(&format!("cannot be opened: {error:#}")))?;
        let decryptor = age::Decryptor::new(&encrypted[..]).map_err(|error| {
            purpose.refuse(&format!(
                "is no encrypted secret, or was changed or cut off: {error}"
            ))
        })?;
        if decryptor.is_scrypt() {
            let reason = "is encrypted with a passphrase, which a box cannot type";
            return Err(purpose.refuse(reason));
        }
        let reader = Reader {
            identity: &identity.0,
            purpose,
            found: RefCell::new(None),
        };
        let decrypted = decryptor.decrypt(std::iter::once(&reader as &dyn age::Identity));
        if let Some(refusal) = reader.found.take() {
            return Err(refusal);
        }
        let mut plain = decrypted.map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => purpose.refuse(&format!(
                "is not encrypted for this box, whose key is {}: boxes/*.toml must have that key",
                identity.1
            )),
            error => purpose.refuse(&format!("was changed or cut off: {error}")),
        })?;
        let memory = seal(&mut plain)
            .map_err(|error| purpose.refuse(&format!("was changed or cut off: {error}")))?;
        Ok(Open {
            digest: secret.digest,
            memory: Rc::new(memory),
        })
    }

    /// The box's key as age takes it, and its fingerprint.
    fn identity(&self) -> anyhow::Result<(age::ssh::Identity, String)> {
        let key = box_key(&self.key_file)?;
        let text = key.to_openssh(LineEnding::LF)?;
        let identity = age::ssh::Identity::from_buffer(text.as_bytes(), None)
            .context("the box's key cannot decrypt")?;
        Ok((identity, key.fingerprint(HashAlg::Sha256).to_string()))
    }
}

/// The box's key, which opens nothing that says it is for something else.
struct Reader<'a> {
    identity: &'a age::ssh::Identity,
    purpose: &'a Purpose,
    found: RefCell<Option<Refusal>>,
}

impl age::Identity for Reader<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        self.identity.unwrap_stanza(stanza)
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        let key = self.identity.unwrap_stanzas(stanzas)?;
        let says = stanzas.iter().filter(|stanza| stanza.tag == TAG);
        let says: Vec<&[String]> = says.map(|stanza| stanza.args.as_slice()).collect();
        if let Err(refusal) = self.purpose.check(&says) {
            self.found.replace(Some(refusal));
            return Some(Err(age::DecryptError::DecryptionFailed));
        }
        Some(key)
    }
}

/// Memory that nobody can change any more.
fn seal(plain: &mut impl Read) -> std::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut memory = File::from(memfd_create("secret", flags)?);
    let mut buffer = Zeroizing::new([0; 4096]);
    let mut left = MAX_SECRET;
    loop {
        let count = plain.read(&mut *buffer)?;
        if count == 0 {
            break;
        }
        left = left
            .checked_sub(count as u64)
            .ok_or(std::io::ErrorKind::FileTooLarge)?;
        memory.write_all(&buffer[..count])?;
    }
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&memory, seals)?;
    Ok(memory.into())
}
