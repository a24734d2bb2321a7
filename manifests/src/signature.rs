//! SSHSIG signatures: strict armour, and what is taken (SPEC §4, OpenSSH PROTOCOL.sshsig). Pure.

use base64::{engine::general_purpose::STANDARD as BASE64, Engine};
use ssh_encoding::Decode;
use ssh_key::{public::KeyData, Algorithm, HashAlg, PublicKey, SshSig};

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

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----";
/// The longest line of armour (RFC 4716 and RFC 7468 readers take 76 at most; OpenSSH writes 70).
const MAX_LINE: usize = 76;

impl Signature {
    /// Reads the armour: exactly one block, LF, any legal line width, nothing before or after it but one final newline.
    pub fn parse(armour: &[u8]) -> Result<Self, SignatureError> {
        use SignatureError::Armour;
        if armour.len() > MAX_ARMOUR {
            return Err(Armour("it is larger than 64 KiB"));
        }
        let text = std::str::from_utf8(armour).map_err(|_| Armour("it is not text"))?;
        if text.starts_with("-----BEGIN PGP") {
            return Err(SignatureError::OtherKind("PGP"));
        }
        if text.starts_with("-----BEGIN SIGNED MESSAGE") || text.starts_with("-----BEGIN CMS") {
            return Err(SignatureError::OtherKind("X.509"));
        }
        let body = text.strip_prefix(BEGIN).ok_or(Armour("it does not begin with the line -----BEGIN SSH SIGNATURE-----"))?;
        let body = body.strip_suffix('\n').unwrap_or(body);
        let body = body.strip_suffix(END).ok_or(Armour("it does not end with the line -----END SSH SIGNATURE-----"))?;
        let body = body.strip_suffix('\n').ok_or(Armour("its last line is broken"))?;
        let lines: Vec<&str> = body.split('\n').collect();
        if lines.iter().any(|line| line.is_empty() || line.len() > MAX_LINE) {
            return Err(Armour("a line is empty or too long"));
        }
        let bytes = BASE64.decode(lines.concat()).map_err(|_| Armour("what stands between its lines is not base64"))?;
        Self::decode(&bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, SignatureError> {
        let mut rest = bytes;
        let inner = SshSig::decode(&mut rest).map_err(|error| match error {
            ssh_key::Error::AlgorithmUnknown | ssh_key::Error::AlgorithmUnsupported { .. } => SignatureError::Algorithm("a key of an unknown kind".into()),
            ssh_key::Error::Version { number } => SignatureError::Algorithm(format!("version {number} of the format")),
            _ => SignatureError::Armour("its contents are damaged"),
        })?;
        if !rest.is_empty() {
            return Err(SignatureError::Armour("something follows the signature"));
        }
        if inner.version() != SshSig::VERSION {
            return Err(SignatureError::Algorithm(format!("version {} of the format", inner.version())));
        }
        check_key(inner.public_key())?;
        check_algorithm(inner.public_key(), inner.signature())?;
        Ok(Self { inner })
    }

    /// The key that it claims; ask the policy whose that is, then verify.
    pub fn key(&self) -> PublicKey {
        PublicKey::new(self.inner.public_key().clone(), "")
    }

    /// The key's fingerprint, `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.inner.public_key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Whether it is a signature over exactly these bytes in exactly this namespace.
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<(), SignatureError> {
        if self.inner.namespace() != namespace {
            return Err(SignatureError::Namespace { found: self.inner.namespace().chars().take(80).collect(), wanted: namespace.into() });
        }
        check_touch(self.inner.public_key(), self.inner.signature())?;
        self.key().verify(namespace, message, &self.inner).map_err(|_| SignatureError::Mismatch)
    }
}

/// Whether keys of this kind may sign: ed25519, ECDSA, RSA from 2048 bits, and their FIDO kin. No certificates, no DSA.
pub fn check_key(key: &KeyData) -> Result<(), SignatureError> {
    match key {
        KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        KeyData::Rsa(rsa) => {
            let bits = rsa.n.as_positive_bytes().map_or(0, |n| n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize));
            if bits >= 2048 { Ok(()) } else { Err(SignatureError::Algorithm(format!("an RSA key of {bits} bits"))) }
        }
        other => Err(SignatureError::Algorithm(format!("a key of the kind {}", other.algorithm()))),
    }
}

/// The signature's algorithm must be the key's own; RSA with SHA-1 is not taken (OpenSSH PROTOCOL.sshsig).
fn check_algorithm(key: &KeyData, signature: &ssh_key::Signature) -> Result<(), SignatureError> {
    let fits = match signature.algorithm() {
        Algorithm::Rsa { hash } => matches!(key, KeyData::Rsa(_)) && hash.is_some(),
        other => other == key.algorithm(),
    };
    if fits { Ok(()) } else { Err(SignatureError::Algorithm(format!("{} with a key of the kind {}", signature.algorithm(), key.algorithm()))) }
}

/// A FIDO key says in its flags whether somebody touched it (bit 0, user presence); without, anybody at the keyboard signs.
fn check_touch(key: &KeyData, signature: &ssh_key::Signature) -> Result<(), SignatureError> {
    if !matches!(key, KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)) {
        return Ok(());
    }
    let bytes = signature.as_bytes();
    let flags = bytes.len().checked_sub(5).and_then(|at| bytes.get(at)).copied().unwrap_or(0);
    if flags & 1 == 1 { Ok(()) } else { Err(SignatureError::Algorithm("a FIDO key that was not touched".into())) }
}

/// Signs with a private key in memory, as `ssh-keygen -Y sign` does (SHA-512 inside); returns the armour with its final newline.
pub fn sign(key: &ssh_key::PrivateKey, namespace: &str, message: &[u8]) -> Result<String, SignatureError> {
    let signature = key
        .sign(namespace, HashAlg::Sha512, message)
        .map_err(|error| SignatureError::Algorithm(format!("a key that cannot sign here ({error})")))?;
    let armour = signature.to_pem(ssh_key::LineEnding::LF).map_err(|_| SignatureError::Armour("it cannot be written"))?;
    Ok(if armour.ends_with('\n') { armour } else { armour + "\n" })
}
