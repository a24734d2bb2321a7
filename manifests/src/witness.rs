//! The map bears witness: at a time, this commit was at this position of the trunk of this repository. Pure.
//!
//! Signed by the map's own key, which a box pins (`[map] key`). It says where the trunk was seen, and decides nothing: a box
//! runs only what it verified for itself.

use crate::{
    id::Oid,
    signature::{self, Signature, SignatureError},
};
use serde::{Deserialize, Serialize};
use ssh_key::{PrivateKey, PublicKey};

/// The namespace of a witness's signature.
pub const NAMESPACE: &str = "swarm-witness@v1";

/// What the map saw, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Witness {
    /// The policy's repository id.
    pub repository: String,
    pub position: u64,
    pub commit: Oid,
    /// RFC 3339, by the map's clock: for people.
    pub time: String,
    /// Armoured SSHSIG over [`statement`], namespace [`NAMESPACE`].
    pub signature: String,
}

/// Why a witness is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum WitnessError {
    #[error("it is signed by another key than [map] key, {0}")]
    Key(String),
    #[error("its signature: {0}")]
    Signature(#[from] SignatureError),
    #[error("it is about another repository, {0:?}")]
    Repository(String),
}

/// The bytes that are signed.
pub fn statement(repository: &str, position: u64, commit: Oid, time: &str) -> String {
    format!(
        "swarm-witness-v1\nrepository {repository}\nposition {position}\ncommit {commit}\ntime {time}\n"
    )
}

impl Witness {
    /// Signs what was seen.
    pub fn sign(
        key: &PrivateKey,
        repository: &str,
        position: u64,
        commit: Oid,
        time: &str,
    ) -> Result<Self, SignatureError> {
        let text = statement(repository, position, commit, time);
        Ok(Self {
            repository: repository.to_owned(),
            position,
            commit,
            time: time.to_owned(),
            signature: signature::sign(key, NAMESPACE, text.as_bytes())?,
        })
    }

    /// Whether this very key signed it.
    pub fn check(&self, key: &PublicKey) -> Result<(), WitnessError> {
        let signature = Signature::parse(self.signature.as_bytes())?;
        if signature.key().key_data() != key.key_data() {
            return Err(WitnessError::Key(signature.fingerprint()));
        }
        let text = statement(&self.repository, self.position, self.commit, &self.time);
        Ok(signature.verify(NAMESPACE, text.as_bytes())?)
    }

    /// Whether it is about this repository.
    pub fn check_repository(&self, repository: &str) -> Result<(), WitnessError> {
        if self.repository == repository {
            return Ok(());
        }
        let found = self.repository.chars().take(80).collect();
        Err(WitnessError::Repository(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::private::{Ed25519Keypair, KeypairData};

    fn key(seed: u8) -> PrivateKey {
        let pair = Ed25519Keypair::from_seed(&[seed; 32]);
        PrivateKey::new(KeypairData::Ed25519(pair), "map").expect("a key")
    }

    #[test]
    fn a_witness_holds_only_as_it_was_signed_and_by_the_pinned_key() {
        let commit = Oid([7; 20]);
        let made = Witness::sign(&key(1), "id", 12, commit, "2026-01-01T00:00:00Z").expect("signs");
        assert_eq!(made.check(key(1).public_key()), Ok(()));
        let other = made.check(key(2).public_key());
        assert!(matches!(other, Err(WitnessError::Key(_))), "{other:?}");
        for changed in [
            Witness {
                position: 13,
                ..made.clone()
            },
            Witness {
                commit: Oid([8; 20]),
                ..made.clone()
            },
            Witness {
                repository: "di".into(),
                ..made.clone()
            },
            Witness {
                time: "2027-01-01T00:00:00Z".into(),
                ..made.clone()
            },
        ] {
            let verdict = changed.check(key(1).public_key());
            assert_eq!(verdict, Err(SignatureError::Mismatch.into()), "{changed:?}");
        }
    }
}
