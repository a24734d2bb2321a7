//! What `ssh-keygen -Y sign` makes is taken, and what we make passes `ssh-keygen -Y verify`.

mod security_key;

use ssh_key::{Algorithm, EcdsaCurve, LineEnding, PrivateKey, rand_core::OsRng};
use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};
use swarm_manifests::{
    policy,
    signature::{self, Signature, SignatureError},
};
use tempfile::TempDir;

const NAMESPACE: &str = "swarm-bundle@v1";
const MESSAGE: &[u8] = b"swarm-bundle-v1\nname ramp\n";

fn ssh_keygen(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("ssh-keygen");
    command
        .current_dir(dir)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A folder with a new key `k` in it.
fn folder_with_key(kind: &str, bits: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let made = ssh_keygen(
        dir.path(),
        &[
            "-q", "-t", kind, "-b", bits, "-N", "", "-C", "alice", "-f", "k",
        ],
    )
    .status();
    assert!(
        made.expect("ssh-keygen is missing: apt-get install openssh-client")
            .success(),
        "{kind} {bits}"
    );
    dir
}

/// The armour that `ssh-keygen -Y sign` writes.
fn sign_by_ssh_keygen(dir: &Path, namespace: &str, options: &[&str]) -> Vec<u8> {
    fs::write(dir.join("message"), MESSAGE).expect("written");
    let mut command = ssh_keygen(dir, &["-Y", "sign", "-n", namespace, "-f", "k"]);
    assert!(
        command
            .args(options)
            .arg("message")
            .status()
            .expect("ssh-keygen")
            .success()
    );
    fs::read(dir.join("message.sig")).expect("a signature")
}

#[test]
fn what_ssh_keygen_signs_is_taken() {
    for (kind, bits) in [
        ("ed25519", "256"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
        ("rsa", "2048"),
        ("rsa", "3072"),
        ("rsa", "4096"),
    ] {
        let dir = folder_with_key(kind, bits);
        let theirs = Signature::parse(&sign_by_ssh_keygen(dir.path(), NAMESPACE, &[]))
            .unwrap_or_else(|error| panic!("{kind} {bits}: {error}"));
        assert_eq!(theirs.verify(NAMESPACE, MESSAGE), Ok(()), "{kind} {bits}");
        assert_eq!(
            theirs.verify(NAMESPACE, b"else"),
            Err(SignatureError::Mismatch),
            "{kind} {bits}"
        );
    }
}

#[test]
fn what_we_sign_passes_ssh_keygen() {
    let curves = [
        EcdsaCurve::NistP256,
        EcdsaCurve::NistP384,
        EcdsaCurve::NistP521,
    ]
    .map(|curve| Algorithm::Ecdsa { curve });
    for algorithm in [Algorithm::Ed25519].into_iter().chain(curves) {
        let key = PrivateKey::random(&mut OsRng, algorithm.clone()).expect("a key");
        let ours = signature::sign(&key, NAMESPACE, MESSAGE).expect("a signature");
        let dir = tempfile::tempdir().expect("a folder");
        let public = key.public_key().to_openssh().expect("a line");
        for (name, bytes) in [
            ("ours", ours.as_bytes()),
            ("message", MESSAGE),
            ("allowed", format!("alice {public}\n").as_bytes()),
        ] {
            fs::write(dir.path().join(name), bytes).expect("written");
        }
        let mut verify = ssh_keygen(
            dir.path(),
            &[
                "-Y", "verify", "-f", "allowed", "-I", "alice", "-n", NAMESPACE, "-s", "ours",
            ],
        );
        verify.stdin(File::open(dir.path().join("message")).expect("the message"));
        assert!(
            verify.status().expect("ssh-keygen").success(),
            "{algorithm}: ssh-keygen does not take ours"
        );
        assert_eq!(
            Signature::parse(ours.as_bytes())
                .expect("ours")
                .verify(NAMESPACE, MESSAGE),
            Ok(()),
            "{algorithm}"
        );
    }
}

#[test]
fn a_short_rsa_key_is_refused_by_its_size() {
    let dir = folder_with_key("rsa", "1024");
    // Newer versions of ssh-keygen do not sign with it; then there is nothing to refuse.
    fs::write(dir.path().join("message"), MESSAGE).expect("written");
    let signed = ssh_keygen(
        dir.path(),
        &["-Y", "sign", "-n", NAMESPACE, "-f", "k", "message"],
    )
    .status()
    .expect("ssh-keygen");
    if signed.success() {
        let armour = fs::read(dir.path().join("message.sig")).expect("a signature");
        assert!(matches!(
            Signature::parse(&armour),
            Err(SignatureError::Algorithm(_))
        ));
    }
    let line = fs::read_to_string(dir.path().join("k.pub")).expect("a public key");
    assert_eq!(
        swarm_manifests::key::read(line.trim_end()),
        Err(swarm_manifests::key::KeyError::RsaBits(1024))
    );
}

#[test]
fn another_namespace_is_refused() {
    let dir = folder_with_key("ed25519", "256");
    for namespace in ["file", "git", "swarm-policy@v1", "swarm-bundle@v1 "] {
        let signature =
            Signature::parse(&sign_by_ssh_keygen(dir.path(), namespace, &[])).expect("a signature");
        fs::remove_file(dir.path().join("message.sig")).expect("removed");
        assert!(
            matches!(
                signature.verify(NAMESPACE, MESSAGE),
                Err(SignatureError::Namespace { .. })
            ),
            "{namespace:?}"
        );
    }
}

#[test]
fn the_inner_hash_may_be_sha256_too() {
    let dir = folder_with_key("ed25519", "256");
    let armour = sign_by_ssh_keygen(dir.path(), NAMESPACE, &["-O", "hashalg=sha256"]);
    assert_eq!(
        Signature::parse(&armour)
            .expect("a signature")
            .verify(NAMESPACE, MESSAGE),
        Ok(())
    );
}

#[test]
fn a_certificate_is_refused() {
    let dir = folder_with_key("ed25519", "256");
    assert!(
        ssh_keygen(
            dir.path(),
            &["-q", "-s", "k", "-I", "alice", "-n", "alice", "k.pub"]
        )
        .status()
        .expect("ssh-keygen")
        .success()
    );
    let line = fs::read_to_string(dir.path().join("k-cert.pub")).expect("a certificate");
    assert_eq!(
        swarm_manifests::key::read(line.trim_end()),
        Err(swarm_manifests::key::KeyError::Certificate)
    );
}

fn armour() -> String {
    let key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).expect("a key");
    signature::sign(&key, NAMESPACE, MESSAGE).expect("a signature")
}

#[test]
fn any_width_of_lines_is_read() {
    let plain = armour();
    let lines: Vec<&str> = plain.lines().collect();
    let inside = lines[1..lines.len() - 1].concat();
    for width in [1, 7, 64, 70, 76, 1000] {
        let chunks: Vec<&str> = inside
            .as_bytes()
            .chunks(width)
            .map(|chunk| std::str::from_utf8(chunk).expect("base64"))
            .collect();
        let text = format!(
            "{}\n{}\n{}\n",
            lines[0],
            chunks.join("\n"),
            lines[lines.len() - 1]
        );
        assert_eq!(
            Signature::parse(text.as_bytes())
                .expect("a signature")
                .verify(NAMESPACE, MESSAGE),
            Ok(()),
            "{width}"
        );
    }
    assert!(
        Signature::parse(plain.trim_end().as_bytes()).is_ok(),
        "without the final newline"
    );
}

#[test]
fn armour_that_is_not_strict_is_refused() {
    let good = armour();
    let bad = [
        good.replace('\n', "\r\n"),
        format!("x{good}"),
        format!("\n{good}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}x"),
        format!("{good}{good}"),
        format!("-----BEGIN SSH SIGNATURE-----\n{good}"),
        good.replacen('\n', "\n\n", 1),
        good.replacen('\n', "\n ", 1),
        good.replacen('\n', "\nComment: x\n", 1),
        good.replace("-----END", "=\n-----END"),
        good.replace("SSH SIGNATURE", "SSH2 SIGNATURE"),
        good[..good.len() / 2].to_string(),
        "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n".into(),
        "-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n".into(),
        String::new(),
        "A".repeat(10 << 20),
    ];
    for text in bad {
        assert!(
            matches!(
                Signature::parse(text.as_bytes()),
                Err(SignatureError::Armour(_))
            ),
            "{:?}",
            text.chars().take(200).collect::<String>()
        );
    }
    assert!(matches!(
        Signature::parse(b"-----BEGIN PGP SIGNATURE-----\nx\n"),
        Err(SignatureError::OtherKind("PGP"))
    ));
}

/// The bytes inside an armour changed, and armoured again.
fn rearmour(text: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let lines: Vec<&str> = text.lines().collect();
    let mut raw = STANDARD
        .decode(lines[1..lines.len() - 1].concat())
        .expect("base64");
    change(&mut raw);
    format!(
        "{}\n{}\n{}\n",
        lines[0],
        STANDARD.encode(raw),
        lines[lines.len() - 1]
    )
}

#[test]
fn versions_other_than_one_and_bytes_after_the_end_are_refused() {
    let good = armour();
    for version in [0, 2, 255] {
        let text = rearmour(&good, |raw| raw[9] = version);
        assert_eq!(
            Signature::parse(text.as_bytes())
                .expect_err("a version")
                .to_string(),
            "it is not an armoured SSH signature: its version is not 1"
        );
    }
    assert!(Signature::parse(rearmour(&good, |raw| raw.push(0)).as_bytes()).is_err());
    assert!(Signature::parse(rearmour(&good, |raw| _ = raw.pop()).as_bytes()).is_err());
    assert!(Signature::parse(rearmour(&good, |_| ()).as_bytes()).is_ok());
}

#[test]
fn no_flipped_byte_verifies() {
    let good = armour();
    for at in 0..300 {
        let text = rearmour(&good, |raw| {
            if let Some(byte) = raw.get_mut(at) {
                *byte ^= 1;
            } else {
                raw.clear();
            }
        });
        let verified = Signature::parse(text.as_bytes()).and_then(|signature| {
            // A flip in the key itself claims another key, which is for the policy to refuse.
            signature.verify(NAMESPACE, MESSAGE)
        });
        assert!(verified.is_err(), "byte {at}");
    }
}

#[test]
fn keys_of_each_kind_are_kept_as_they_are_written() {
    for algorithm in [
        Algorithm::Ed25519,
        Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP256,
        },
    ] {
        let key = PrivateKey::random(&mut OsRng, algorithm).expect("a key");
        assert!(key.to_openssh(LineEnding::LF).is_ok());
        let line = key.public_key().to_openssh().expect("a line");
        assert_eq!(
            swarm_manifests::key::read(&line).expect("taken").key_data(),
            key.public_key().key_data()
        );
    }
}
