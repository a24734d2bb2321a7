//! The secrets that this box needs, decrypted with its own key: encrypted files of the trunk come in, sealed memory or a refusal
//! goes out.
//!
//! Touches the object store and the box's key. What is decrypted is written to memory of the kernel's alone (`memfd_create(2)`), sealed,
//! and what it passed through is wiped; it is never on a disk, and no message has it.

use crate::{
    report,
    resolve::{self, chosen::Chosen},
};
use age_core::format::{FileKey, Stanza};
use anyhow::Context;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use ssh_key::{HashAlg, LineEnding};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::PathBuf,
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

/// What became of each secret that is needed, by workflow and name.
pub type Secrets = BTreeMap<(Name, Name), Result<Open, Refusal>>;

/// Opens secrets; each only once.
pub struct Opener {
    key_file: PathBuf,
    known: BTreeMap<(Purpose, Digest), Open>,
}

impl Opener {
    /// With the box's key, which is read when it is needed.
    pub fn new(key_file: PathBuf) -> Self {
        Self {
            key_file,
            known: BTreeMap::new(),
        }
    }

    /// Every secret that a workflow for this box names.
    pub fn open(&mut self, snapshot: &Snapshot, chosen: &Chosen, objects: &Objects) -> Secrets {
        let mut known = BTreeMap::new();
        let mut secrets = Secrets::new();
        for (workflow, name) in resolve::needed_secrets(chosen) {
            let purpose = Purpose {
                repository: snapshot.policy.repository.clone(),
                workflow: workflow.clone(),
                name: name.clone(),
            };
            let Some(secret) = snapshot.secrets.get(&(workflow.clone(), name.clone())) else {
                let refusal = purpose.refuse("is not there, or counts as absent");
                secrets.insert((workflow, name), Err(refusal));
                continue;
            };
            let key = (purpose, secret.digest);
            let before = self.known.remove(&key).map(Ok);
            let opened = before.unwrap_or_else(|| self.decrypt(&key.0, secret, objects));
            if let Ok(open) = &opened {
                known.insert(key, open.clone());
            }
            secrets.insert((workflow, name), opened);
        }
        // What nobody needs any more is closed.
        self.known = known;
        secrets
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
        let key = report::box_key(&self.key_file)?;
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
