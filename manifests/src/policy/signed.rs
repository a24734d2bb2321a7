//! Whose signature something is. A signature and the bytes come in; the one person of the policy goes out, or why it is nobody's. Pure.

use super::{Person, Policy};
use crate::{
    name::Name,
    signature::{Signature, SignatureError, Touch},
};

/// The person who signed, and with which key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct SignedBy {
    pub name: Name,
    /// `SHA256:…`
    pub key: String,
}

/// Why a signature is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// By a key of nobody; its fingerprint.
    #[error("it is signed with the key {0}, which the policy does not know")]
    Unknown(String),
    /// It does not hold.
    #[error(transparent)]
    Bad(#[from] SignatureError),
}

impl Policy {
    /// The one person who signed these bytes for this purpose.
    pub fn signed_by(
        &self,
        signature: &Signature,
        namespace: &str,
        message: &[u8],
    ) -> Result<SignedBy, NotSigned> {
        let key = signature.fingerprint();
        let Some((name, person)) = self.owner_of(&signature.key()) else {
            return Err(NotSigned::Unknown(key));
        };
        signature.verify_with(namespace, message, person.touch)?;
        Ok(SignedBy {
            name: name.clone(),
            key,
        })
    }
}

impl Person {
    /// Whether a security key's signature without a touch counts.
    pub fn needs_touch(&self) -> bool {
        self.touch == Touch::Required
    }
}
