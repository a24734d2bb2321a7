//! A secret encrypted to SSH keys (age, C2SP). Plain bytes and the boxes' keys come in, an age file goes out. Pure but for
//! the randomness that age takes from the system.
//!
//! There is no recipient but the roster's keys: none by passphrase, none of the person's own.

use crate::failure::{Failure, Outcome};
use age_core::format::{FileKey, Stanza};
use anyhow::Context;
use std::{collections::HashSet, io::Write, str::FromStr};
use swarm_manifests::{
    roster::Entry,
    secret::{Purpose, TAG},
};

/// The largest secret, in bytes; its encrypted form stays below what boxes read.
pub const MAX_PLAIN: u64 = 512 << 10;

/// Encrypts to every key of these boxes, and says in the header what for.
pub fn encrypt(secret: &[u8], purpose: &Purpose, boxes: &[&Entry]) -> Outcome<Vec<u8>> {
    let mut recipients = Vec::new();
    for entry in boxes {
        for key in &entry.keys {
            let line = key
                .to_openssh()
                .context("a key of the roster cannot be written")?;
            let recipient = age::ssh::Recipient::from_str(&line).map_err(|_| {
                Failure::new(format!(
                    "the key of {} is of a kind that nothing can be encrypted to",
                    entry.name
                ))
                .hint(format!(
                    "boxes/{}.toml: use an ed25519 key, or RSA",
                    entry.name
                ))
            })?;
            recipients.push(recipient);
        }
    }
    let recipients = recipients
        .iter()
        .map(|recipient| recipient as &dyn age::Recipient);
    let says = Says(purpose);
    let recipients = recipients.chain(std::iter::once(&says as &dyn age::Recipient));
    let encryptor = age::Encryptor::with_recipients(recipients)
        .map_err(|error| Failure::new(format!("the secret cannot be encrypted: {error}")))?;
    let mut out = Vec::new();
    let mut writer = encryptor
        .wrap_output(&mut out)
        .context("the secret cannot be encrypted")?;
    writer
        .write_all(secret)
        .context("the secret cannot be encrypted")?;
    writer.finish().context("the secret cannot be encrypted")?;
    Ok(out)
}

/// No recipient, but a stanza that says what the secret is for; with the rest of the header it cannot be changed any more.
struct Says<'a>(&'a Purpose);

impl age::Recipient for Says<'_> {
    fn wrap_file_key(
        &self,
        _: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let stanza = Stanza {
            tag: TAG.into(),
            args: self.0.arguments(),
            body: Vec::new(),
        };
        Ok((vec![stanza], HashSet::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::{LineEnding, PrivateKey, private::Ed25519Keypair};
    use std::io::Read;
    use swarm_manifests::roster;

    fn entry(name: &str, seed: u8) -> (PrivateKey, Entry) {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
        let line = key.public_key().to_openssh().expect("a key");
        let text = format!("key = \"{line}\"\n");
        let (entry, problems) = roster::read(&format!("boxes/{name}.toml"), text.as_bytes());
        (key, entry.unwrap_or_else(|| panic!("{problems:?}")))
    }

    fn decrypt(file: &[u8], key: &PrivateKey) -> Option<Vec<u8>> {
        let pem = key.to_openssh(LineEnding::LF).expect("a key");
        let identity = age::ssh::Identity::from_buffer(pem.as_bytes(), None).expect("an identity");
        let decryptor = age::Decryptor::new(file).expect("an age file");
        let mut plain = Vec::new();
        let mut reader = decryptor
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .ok()?;
        reader.read_to_end(&mut plain).ok()?;
        Some(plain)
    }

    #[test]
    fn the_named_boxes_read_it_and_no_other() {
        let ((lab, lab_entry), (_, till_entry), (other, _)) =
            (entry("lab-1", 1), entry("till-1", 2), entry("x", 3));
        let purpose = Purpose {
            repository: "r".into(),
            workflow: "ramp".parse().expect("a name"),
            name: "db".parse().expect("a name"),
        };
        let file = encrypt(b"hunter2", &purpose, &[&lab_entry, &till_entry]);
        let file = file.expect("it can be encrypted");
        assert_eq!(decrypt(&file, &lab).as_deref(), Some(&b"hunter2"[..]));
        assert_eq!(decrypt(&file, &other), None);
        assert!(!file.windows(7).any(|part| part == b"hunter2"));
        let mut flipped = file.clone();
        if let Some(last) = flipped.last_mut() {
            *last ^= 1;
        }
        assert_eq!(decrypt(&flipped, &lab), None);
    }
}
