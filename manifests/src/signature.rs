//! SSHSIG signatures: strict armour, and what is taken (SPEC §4, OpenSSH PROTOCOL.sshsig). Pure.
//!
//! Armour comes in; a [`Signature`] that claims a key goes out, and holds for some bytes or not. `ssh-key` does the
//! mathematics; what it lets pass (version 0, certificates' names, security keys without a touch) is checked here first.

use crate::key::{self, KeyError};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig, public::KeyData};

/// A signature that was read: by which key, for which namespace. It says nothing until [`Signature::verify`].
#[derive(Debug, Clone)]
pub struct Signature {
    inner: SshSig,
}

/// Why a signature is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum SignatureError {
    #[error("it is not an armoured SSH signature: {0}")]
    Armour(&'static str),
    #[error("it is a {0} signature; make one with an SSH key (gpg.format=ssh)")]
    OtherKind(&'static str),
    #[error(
        "it is made by {0}, which is not taken: use ed25519, ECDSA, or RSA from 2048 bits with SHA-2"
    )]
    Algorithm(String),
    #[error("it is made by a security key that nobody touched")]
    Touch,
    #[error("it is for the namespace {found:?}, not {wanted:?}")]
    Namespace { found: String, wanted: String },
    #[error("it does not fit these bytes")]
    Mismatch,
}

/// Whether a security key's signature counts only where somebody touched the key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Touch {
    #[default]
    Required,
    Optional,
}

/// The largest armoured signature that is read, in bytes.
pub const MAX_ARMOUR: usize = 64 << 10;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "\n-----END SSH SIGNATURE-----";

impl Signature {
    /// Reads the armour: exactly one block, LF, any legal line width, nothing before or after it but one final newline.
    pub fn parse(armour: &[u8]) -> Result<Self, SignatureError> {
        let raw = unarmour(armour)?;
        let key = check_blob(&raw)?;
        let inner = SshSig::from_pem(rewrap(&raw))
            .map_err(|_| SignatureError::Armour("its inside is damaged"))?;
        key::check(inner.public_key()).map_err(refuse_key)?;
        // `ssh-key` reads an ed25519 key of any claimed length.
        if PublicKey::from(inner.public_key().clone())
            .to_bytes()
            .ok()
            .as_deref()
            != Some(key)
        {
            return Err(SignatureError::Armour(
                "its key has another spelling than the one there is",
            ));
        }
        Ok(Self { inner })
    }

    /// The key that it claims; ask the policy whose that is, then verify.
    pub fn key(&self) -> PublicKey {
        PublicKey::new(self.inner.public_key().clone(), "")
    }

    /// The key's fingerprint, `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.key().fingerprint(HashAlg::Sha256).to_string()
    }

    /// Whether it is a signature over exactly these bytes in exactly this namespace, of a security key by somebody's touch.
    pub fn verify(&self, namespace: &str, message: &[u8]) -> Result<(), SignatureError> {
        self.verify_with(namespace, message, Touch::Required)
    }

    /// The same, where the policy says whether a touch is needed.
    pub fn verify_with(
        &self,
        namespace: &str,
        message: &[u8],
        touch: Touch,
    ) -> Result<(), SignatureError> {
        if touch == Touch::Required && is_security_key(self.inner.public_key()) {
            check_touch(self.inner.signature_bytes())?;
        }
        let found = self.inner.namespace();
        if found != namespace {
            return Err(SignatureError::Namespace {
                found: found.chars().take(80).collect(),
                wanted: namespace.into(),
            });
        }
        self.key()
            .verify(namespace, message, &self.inner)
            .map_err(|_| SignatureError::Mismatch)
    }
}

/// Signs with an ed25519 or ECDSA key in memory, as `ssh-keygen -Y sign` does (SHA-512 inside); returns the armour with its final
/// newline. RSA is refused: `ssh-key` 0.6.7 builds the private key from one prime twice. Security keys sign through ssh-keygen.
pub fn sign(key: &PrivateKey, namespace: &str, message: &[u8]) -> Result<String, SignatureError> {
    let refused =
        |_| SignatureError::Algorithm(format!("a {} key that cannot sign here", key.algorithm()));
    key::check(key.public_key().key_data()).map_err(refuse_key)?;
    let armour = key
        .sign(namespace, HashAlg::Sha512, message)
        .and_then(|signature| signature.to_pem(LineEnding::LF))
        .map_err(refused)?;
    Ok(armour.trim_end().to_string() + "\n")
}

/// The bytes within the armour.
fn unarmour(armour: &[u8]) -> Result<Vec<u8>, SignatureError> {
    let refuse = |why| Err(SignatureError::Armour(why));
    if armour.len() > MAX_ARMOUR {
        return refuse("it is larger than 64 KiB");
    }
    let Ok(text) = std::str::from_utf8(armour) else {
        return refuse("it is not text");
    };
    for (kind, begin) in [
        ("PGP", "-----BEGIN PGP "),
        ("X.509", "-----BEGIN SIGNED MESSAGE-----"),
        ("X.509", "-----BEGIN PKCS7-----"),
    ] {
        if text.trim_start().starts_with(begin) {
            return Err(SignatureError::OtherKind(kind));
        }
    }
    if text.contains('\r') {
        return refuse("it has carriage returns; lines end in LF alone");
    }
    let Some(inside) = text.strip_prefix(BEGIN) else {
        return refuse("it does not begin with -----BEGIN SSH SIGNATURE-----");
    };
    let inside = inside.strip_suffix('\n').unwrap_or(inside);
    let Some(inside) = inside.strip_suffix(END) else {
        return refuse("it does not end with -----END SSH SIGNATURE-----");
    };
    if inside.split('\n').any(str::is_empty) {
        return refuse("it has an empty line");
    }
    STANDARD
        .decode(inside.replace('\n', ""))
        .or(refuse("its lines are not base64"))
}

/// The same bytes in armour of 70 columns, the only one that `ssh-key` reads.
fn rewrap(raw: &[u8]) -> String {
    let text = STANDARD.encode(raw);
    let mut armour = String::from(BEGIN);
    for (at, c) in text.chars().enumerate() {
        if at > 0 && at % 70 == 0 {
            armour.push('\n');
        }
        armour.push(c);
    }
    armour + END + "\n"
}

/// Looks at the names inside before anything is taken apart, so that what is refused is refused by its name; returns the key's bytes.
fn check_blob(raw: &[u8]) -> Result<&[u8], SignatureError> {
    let damaged = SignatureError::Armour("its inside is damaged");
    let other = |name: &[u8]| {
        Err(SignatureError::Algorithm(
            String::from_utf8_lossy(name).chars().take(80).collect(),
        ))
    };
    let rest = raw.strip_prefix(b"SSHSIG").ok_or(damaged.clone())?;
    let (version, mut rest) = rest.split_first_chunk::<4>().ok_or(damaged.clone())?;
    if u32::from_be_bytes(*version) != 1 {
        return Err(SignatureError::Armour("its version is not 1"));
    }
    let mut next = || string(&mut rest).ok_or(damaged.clone());
    let (blob, _namespace, reserved, hash, mut signature) =
        (next()?, next()?, next()?, next()?, next()?);
    if !rest.is_empty() {
        return Err(SignatureError::Armour("it has bytes after its end"));
    }
    let key = string(&mut &*blob).ok_or(damaged.clone())?;
    let signature = string(&mut signature).ok_or(damaged)?;
    let fits = match key {
        b"ssh-ed25519"
        | b"ecdsa-sha2-nistp256"
        | b"ecdsa-sha2-nistp384"
        | b"ecdsa-sha2-nistp521"
        | b"sk-ssh-ed25519@openssh.com"
        | b"sk-ecdsa-sha2-nistp256@openssh.com" => signature == key,
        b"ssh-rsa" => matches!(signature, b"rsa-sha2-256" | b"rsa-sha2-512"),
        _ => return other(key),
    };
    if !fits {
        return other(if signature == b"ssh-rsa" {
            b"ssh-rsa with SHA-1"
        } else {
            signature
        });
    }
    if !matches!(hash, b"sha256" | b"sha512") {
        return other(hash);
    }
    if !reserved.is_empty() {
        return Err(SignatureError::Armour("its reserved field is not empty"));
    }
    Ok(blob)
}

/// Takes one length-prefixed string (RFC 4251 §5) off the front.
fn string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (taken, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn is_security_key(key: &KeyData) -> bool {
    matches!(key, KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_))
}

/// A security key's signature ends in a byte of flags and a counter; bit 0 says that somebody touched it (OpenSSH PROTOCOL.u2f).
fn check_touch(signature: &[u8]) -> Result<(), SignatureError> {
    let flags = signature
        .len()
        .checked_sub(5)
        .and_then(|at| signature.get(at));
    flags
        .filter(|flags| *flags & 1 == 1)
        .map(|_| ())
        .ok_or(SignatureError::Touch)
}

fn refuse_key(error: KeyError) -> SignatureError {
    SignatureError::Algorithm(match error {
        KeyError::RsaBits(bits) => format!("an RSA key of {bits} bits"),
        KeyError::Algorithm(name) => name,
        KeyError::Certificate => "a certificate".into(),
        KeyError::Form | KeyError::Private => "no key".into(),
    })
}
