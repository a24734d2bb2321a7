//! SSHSIG signatures: strict armour, and what is taken (SPEC §4, OpenSSH PROTOCOL.sshsig). Pure.

use ssh_key::PublicKey;

/// A signature that was read: by which key, for which namespace. It says nothing until [`Signature::verify`].
#[derive(Debug, Clone)]
pub struct Signature {
    inner: ssh_key::SshSig,
}

/// Why a signature is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum SignatureError {
    #[error("it is not an armoured SSH signature: {0}")]
    Armour(&'static str),
    #[error("it is a {0} signature; make one with an SSH key (gpg.format=ssh)")]
    OtherKind(&'static str),
    #[error("it is made by {0}, which is not taken: use ed25519, ECDSA, or RSA from 2048 bits with SHA-2")]
    Algorithm(String),
    #[error("it is for the namespace {found:?}, not {wanted:?}")]
    Namespace { found: String, wanted: String },
    #[error("it does not fit these bytes")]
    Mismatch,
}

/// The largest armoured signature that is read, in bytes.
pub const MAX_ARMOUR: usize = 64 << 10;

impl Signature {
    /// Reads the armour: exactly one block, LF, any legal line width, nothing before or after it but one final newline.
    pub fn parse(armour: &[u8]) -> Result<Self, SignatureError> {
        let _ = armour;
        todo!()
    }

    /// The key that it claims; ask the policy whose that is, then verify.
    pub fn key(&self) -> PublicKey {
        PublicKey::new(self.inner.public_key().clone(), "")
    }

    /// The key's fingerprint, `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.key().fingerprint(ssh_key::HashAlg::Sha256).to_string()
    }

    /// Whether it is a signature over exactly these bytes in exactly this namespace.
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<(), SignatureError> {
        let _ = (namespace, message);
        todo!()
    }
}

/// Signs with a private key in memory, as `ssh-keygen -Y sign` does (SHA-512 inside); returns the armour with its final newline.
pub fn sign(key: &ssh_key::PrivateKey, namespace: &str, message: &[u8]) -> Result<String, SignatureError> {
    let _ = (key, namespace, message);
    todo!()
}
