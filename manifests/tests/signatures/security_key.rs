//! A security key in software: what a real one signs, PROTOCOL.u2f says.

use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256, Sha512};

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a short string");
    [&length.to_be_bytes(), bytes].concat()
}

fn armour(flags: u8) -> String {
    use ssh_key::private::Ed25519Keypair;
    let pair = Ed25519Keypair::random(&mut OsRng);
    let kind = string(b"sk-ssh-ed25519@openssh.com");
    let key = [kind.clone(), string(pair.public.as_ref()), string(b"ssh:")].concat();
    let hash = string(&Sha512::digest(MESSAGE));
    let signed = [
        b"SSHSIG".to_vec(),
        string(NAMESPACE.as_bytes()),
        string(b""),
        string(b"sha512"),
        hash,
    ]
    .concat();
    let tail = [&[flags][..], &7_u32.to_be_bytes()].concat();
    let whole = [
        Sha256::digest("ssh:").to_vec(),
        tail.clone(),
        Sha256::digest(&signed).to_vec(),
    ]
    .concat();
    let private = PrivateKey::from(pair);
    let signature = [kind, string(&sign_plainly(&private, &whole)), tail].concat();
    let blob = [
        b"SSHSIG".to_vec(),
        1_u32.to_be_bytes().to_vec(),
        string(&key),
        string(NAMESPACE.as_bytes()),
        string(b""),
        string(b"sha512"),
        string(&signature),
    ]
    .concat();
    format!(
        "-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n",
        STANDARD.encode(blob)
    )
}

fn sign_plainly<K: ssh_key::SigningKey>(key: &K, message: &[u8]) -> Vec<u8> {
    key.try_sign(message)
        .expect("a signature")
        .as_bytes()
        .to_vec()
}

#[test]
fn a_touched_security_key_is_taken_and_an_untouched_one_is_not() {
    let touched = Signature::parse(armour(1).as_bytes()).expect("a signature");
    assert_eq!(touched.verify(NAMESPACE, MESSAGE), Ok(()));
    let untouched = Signature::parse(armour(0).as_bytes()).expect("a signature");
    assert_eq!(
        untouched.verify(NAMESPACE, MESSAGE),
        Err(SignatureError::Touch)
    );
}

#[test]
fn an_untouched_one_is_taken_of_a_person_whom_the_policy_trusts_without_touch() {
    let untouched = Signature::parse(armour(0).as_bytes()).expect("a signature");
    let key = untouched.key().to_openssh().expect("a line");
    for (touch, wanted) in [
        ("touch = false", true),
        ("touch = true", false),
        ("", false),
    ] {
        let text = format!(
            "format = 1\nrepository = \"0123456789abcdef\"\nversion = 1\n[people.bot]\nkeys = [{key:?}]\nadmin = true\n{touch}\n"
        );
        let (policy, problems) = policy::read("policy.toml", text.as_bytes());
        let policy = policy.unwrap_or_else(|| panic!("{problems:?}"));
        let signed = policy.signed_by(&untouched, NAMESPACE, MESSAGE);
        assert_eq!(signed.is_ok(), wanted, "{touch:?}: {signed:?}");
        assert!(
            policy
                .signed_by(&untouched, NAMESPACE, b"other bytes")
                .is_err(),
            "{touch:?}"
        );
    }
}
