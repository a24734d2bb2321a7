//! Seals of a box's journal: up to which record, with which hash, signed by the box's own key. Pure.
//!
//! The chain alone shows what was changed, removed or reordered within it. A seal is kept elsewhere and by another process, and shows
//! besides that the journal's end was cut off, or all of it written anew, since then.

use crate::signature::Signature;
use serde::{Deserialize, Serialize};

/// The namespace of its signature.
pub const NAMESPACE: &str = "swarm-journal@v1";
/// The file below the agent's own folder that has them, one a line, oldest first.
pub const FILE: &str = "seals.jsonl";

/// One seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The record's number.
    pub sequence: u64,
    /// Its hash, in hexadecimal digits, which covers every record before it.
    pub hash: String,
    /// RFC 3339, by the box's wall clock; for people only.
    pub time: String,
    /// The armoured signature over [`statement`]; it has the key in it.
    pub signature: String,
}

/// The bytes that are signed.
pub fn statement(box_name: &str, sequence: u64, hash: &str) -> String {
    format!("swarm-journal-v1\nbox {box_name}\nrecord {sequence}\nhash {hash}\n")
}

impl Seal {
    /// The fingerprint of the key that made it, where it is this box's and of this record.
    pub fn check(&self, box_name: &str) -> Result<String, String> {
        let signature =
            Signature::parse(self.signature.as_bytes()).map_err(|error| error.to_string())?;
        let statement = statement(box_name, self.sequence, &self.hash);
        let done = signature.verify(NAMESPACE, statement.as_bytes());
        done.map_err(|error| error.to_string())?;
        Ok(signature.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature;
    use ssh_key::{PrivateKey, private::Ed25519Keypair};

    #[test]
    fn a_seal_is_of_one_record_of_one_box() {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let text = statement("lab-1", 9, "ab");
        let seal = Seal {
            sequence: 9,
            hash: "ab".into(),
            time: String::new(),
            signature: signature::sign(&key, NAMESPACE, text.as_bytes()).expect("a signature"),
        };
        let print = key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
        assert_eq!(seal.check("lab-1"), Ok(print));
        assert!(seal.check("lab-2").is_err());
        for other in [
            Seal {
                sequence: 8,
                ..seal.clone()
            },
            Seal {
                hash: "ac".into(),
                ..seal.clone()
            },
            Seal {
                signature: "no".into(),
                ..seal.clone()
            },
        ] {
            assert!(other.check("lab-1").is_err(), "{other:?}");
        }
    }
}
