//! SSH public keys as policy and roster have them: one line of text comes in, a key that is taken goes out. Pure.
//!
//! Taken: ed25519, ECDSA, RSA with 2048 to 4096 bits, and the first two on a security key. Refused: certificates
//! (they would bring a second authority), DSA, short RSA.

use ssh_key::{Algorithm, PublicKey, public::KeyData};

/// Why a public key is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a public key at all.
    #[error("it is not an OpenSSH public key such as \"ssh-ed25519 AAAA… alice@laptop\"")]
    Form,
    /// A private key, which has no place in a repository.
    #[error(
        "it is a private key; write the public one (the file that ends in .pub), and take the private one out of use"
    )]
    Private,
    /// A certificate.
    #[error("it is a certificate; write the plain public key")]
    Certificate,
    /// Of a kind that is not taken.
    #[error("{0} keys are not taken: use ed25519, ECDSA, or RSA from 2048 bits")]
    Algorithm(String),
    /// RSA outside the sizes that are taken.
    #[error("an RSA key of {0} bits is not taken: 2048 to 4096")]
    RsaBits(usize),
}

/// Reads one line as in `~/.ssh/id_ed25519.pub`.
pub fn read(line: &str) -> Result<PublicKey, KeyError> {
    let kind = line.split(' ').next().unwrap_or_default();
    if line.contains("PRIVATE KEY") {
        return Err(KeyError::Private);
    }
    if kind.contains("-cert-v0") {
        return Err(KeyError::Certificate);
    }
    if kind == "ssh-dss" {
        return Err(KeyError::Algorithm("DSA".into()));
    }
    if line.contains(['\n', '\r', '\0']) {
        return Err(KeyError::Form);
    }
    let key = PublicKey::from_openssh(line).map_err(|_| KeyError::Form)?;
    check(key.key_data())?;
    Ok(key)
}

/// Whether a key of this kind and size is taken.
pub fn check(key: &KeyData) -> Result<(), KeyError> {
    match key {
        KeyData::Ed25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        KeyData::Rsa(rsa) => match rsa.n.as_positive_bytes().map_or(0, bits) {
            2048..=4096 => Ok(()),
            bits => Err(KeyError::RsaBits(bits)),
        },
        other => Err(KeyError::Algorithm(match other.algorithm() {
            Algorithm::Dsa => "DSA".into(),
            name => name.to_string(),
        })),
    }
}

fn bits(number: &[u8]) -> usize {
    let zeros = number
        .first()
        .map_or(0, |byte| byte.leading_zeros() as usize);
    8 * number.len() - zeros
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti alice@laptop";

    #[test]
    fn a_plain_ed25519_line_is_taken() {
        assert_eq!(
            read(ED25519).map(|key| key.comment().to_string()),
            Ok("alice@laptop".into())
        );
    }

    #[test]
    fn what_is_no_key_that_is_taken_is_refused_by_its_kind() {
        assert_eq!(read("hello"), Err(KeyError::Form));
        assert_eq!(read(&format!("{ED25519}\n{ED25519}")), Err(KeyError::Form));
        assert_eq!(
            read("-----BEGIN OPENSSH PRIVATE KEY-----"),
            Err(KeyError::Private)
        );
        assert_eq!(
            read("ssh-ed25519-cert-v01@openssh.com AAAA"),
            Err(KeyError::Certificate)
        );
        assert_eq!(read("ssh-dss AAAA"), Err(KeyError::Algorithm("DSA".into())));
    }
}
