//! Signatures of webhooks (GitHub, GitLab, Gitea, Bitbucket, generic): raw bytes and headers come in, yes or why not goes out. Pure.
//!
//! The provider is chosen by the path, never by sniffing headers (Gitea sends GitHub's, too). A hook decides nothing but
//! that somebody who knows the secret wants us to look at git.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::str::FromStr;
use subtle::ConstantTimeEq as _;

/// How far the time stamp of a signed delivery may be from ours, in seconds.
const TOLERANCE: u64 = 300;
/// No forge rotates more secrets at once, nor sends more signatures.
const MOST: usize = 16;

/// Who sends: the last part of `/hooks/…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Provider {
    Github,
    Gitlab,
    Gitea,
    Bitbucket,
    Generic,
}

/// A path that is none of `github`, `gitlab`, `gitea`, `bitbucket`, `generic`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no webhooks of that provider are known")]
pub struct UnknownProvider;

impl FromStr for Provider {
    type Err = UnknownProvider;
    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        Ok(match text {
            "github" => Self::Github,
            "gitlab" => Self::Gitlab,
            "gitea" => Self::Gitea,
            "bitbucket" => Self::Bitbucket,
            "generic" => Self::Generic,
            _ => return Err(UnknownProvider),
        })
    }
}

/// The largest delivery, in bytes.
pub const MAX_BODY: usize = 1 << 20;

/// What is said of a body that came compressed: signatures are over what was sent, and nobody unpacks what strangers send.
pub const COMPRESSED: &str = "send it uncompressed";

/// Why a delivery does not count (rule S-HOOK-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// There is nothing to check against.
    #[error("no webhook secret is configured")]
    NoSecret,
    /// The header is missing, or empty.
    #[error("the delivery is not signed: {0} is missing")]
    Missing(&'static str),
    /// The header is not of the form that it should have.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// Made with another secret, or over another body.
    #[error("{0} does not fit the body and any of the secrets")]
    Wrong(&'static str),
    /// A delivery from the past, or the future.
    #[error("webhook-timestamp is more than five minutes from this machine's time")]
    Time,
}

/// The secrets of a secret file: one a line, blank lines do not count.
pub fn secrets(file: &str) -> Vec<String> {
    file.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(Into::into)
        .take(MOST)
        .collect()
}

/// Checks one delivery. `header` looks a header up by its lower-case name; `now` is in seconds since 1970.
pub fn verify<'h, S: AsRef<str>>(
    provider: Provider,
    header: impl Fn(&'static str) -> Option<&'h str>,
    body: &[u8],
    secrets: &[S],
    now: u64,
) -> Result<(), HookError> {
    if secrets.iter().all(|secret| secret.as_ref().is_empty()) {
        return Err(HookError::NoSecret);
    }
    let given = |name| {
        header(name)
            .filter(|value| !value.is_empty())
            .map(|value| (name, value))
    };
    let missing = HookError::Missing;
    match provider {
        Provider::Github | Provider::Bitbucket => {
            let name = if provider == Provider::Github {
                "x-hub-signature-256"
            } else {
                "x-hub-signature"
            };
            prefixed(given(name).ok_or(missing(name))?, body, secrets)
        }
        Provider::Generic => {
            let signature = given("x-swarm-signature-256")
                .or_else(|| given("x-hub-signature-256"))
                .or_else(|| given("x-signature-256"));
            prefixed(
                signature.ok_or(missing("x-swarm-signature-256"))?,
                body,
                secrets,
            )
        }
        Provider::Gitea => {
            let signature = given("x-gitea-signature").or_else(|| given("x-forgejo-signature"));
            let (name, digits) = signature.ok_or(missing("x-gitea-signature"))?;
            hexadecimal(name, digits, body, secrets)
        }
        Provider::Gitlab => match given("webhook-signature") {
            Some((name, list)) => {
                let id = given("webhook-id").ok_or(missing("webhook-id"))?.1;
                let at = given("webhook-timestamp")
                    .ok_or(missing("webhook-timestamp"))?
                    .1;
                standard(name, list, (id, at), body, secrets, now)
            }
            None => token(
                given("x-gitlab-token").ok_or(missing("webhook-signature"))?,
                secrets,
            ),
        },
    }
}

fn prefixed<S: AsRef<str>>(
    (name, value): (&'static str, &str),
    body: &[u8],
    secrets: &[S],
) -> Result<(), HookError> {
    let digits = value
        .strip_prefix("sha256=")
        .ok_or(HookError::Malformed(name))?;
    hexadecimal(name, digits, body, secrets)
}

fn hexadecimal<S: AsRef<str>>(
    name: &'static str,
    digits: &str,
    body: &[u8],
    secrets: &[S],
) -> Result<(), HookError> {
    let mut signature = [0; 32];
    let lower = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !lower || hex::decode_to_slice(digits, &mut signature).is_err() {
        return Err(HookError::Malformed(name));
    }
    let fits = used(secrets).any(|secret| {
        mac(secret.as_bytes(), &[body])
            .verify_slice(&signature)
            .is_ok()
    });
    if fits {
        Ok(())
    } else {
        Err(HookError::Wrong(name))
    }
}

/// Standard Webhooks: `v1,BASE64` over `id.timestamp.body`; several signatures stand apart by spaces.
fn standard<S: AsRef<str>>(
    name: &'static str,
    list: &str,
    (id, at): (&str, &str),
    body: &[u8],
    secrets: &[S],
    now: u64,
) -> Result<(), HookError> {
    let digits = at.bytes().all(|b| b.is_ascii_digit());
    let stamp: u64 = at
        .parse()
        .ok()
        .filter(|_| digits)
        .ok_or(HookError::Malformed("webhook-timestamp"))?;
    if stamp.abs_diff(now) > TOLERANCE {
        return Err(HookError::Time);
    }
    let signatures: Vec<Vec<u8>> = list
        .split(' ')
        .take(MOST)
        .filter_map(|item| STANDARD.decode(item.strip_prefix("v1,")?).ok())
        .collect();
    if signatures.is_empty() {
        return Err(HookError::Malformed(name));
    }
    let fits = used(secrets).any(|secret| {
        let decoded = secret
            .strip_prefix("whsec_")
            .and_then(|text| STANDARD.decode(text).ok());
        let key = decoded.as_deref().unwrap_or(secret.as_bytes());
        let parts = [id.as_bytes(), b".", at.as_bytes(), b".", body];
        signatures
            .iter()
            .any(|signature| mac(key, &parts).verify_slice(signature).is_ok())
    });
    if fits {
        Ok(())
    } else {
        Err(HookError::Wrong(name))
    }
}

/// GitLab before version 19: the bare secret, which says nothing about the body.
fn token<S: AsRef<str>>(
    (name, value): (&'static str, &str),
    secrets: &[S],
) -> Result<(), HookError> {
    let fits = used(secrets).any(|secret| bool::from(secret.as_bytes().ct_eq(value.as_bytes())));
    if fits {
        Ok(())
    } else {
        Err(HookError::Wrong(name))
    }
}

fn used<S: AsRef<str>>(secrets: &[S]) -> impl Iterator<Item = &str> {
    secrets
        .iter()
        .map(AsRef::as_ref)
        .filter(|secret| !secret.is_empty())
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const BODY: &[u8] = br#"{"ref":"refs/heads/main"}"#;
    const NOW: u64 = 1_800_000_000;

    fn check(
        provider: Provider,
        headers: &[(&'static str, &str)],
        body: &[u8],
        secrets: &[&str],
    ) -> Result<(), HookError> {
        let headers: BTreeMap<_, _> = headers.iter().copied().collect();
        verify(
            provider,
            |name| headers.get(name).copied(),
            body,
            secrets,
            NOW,
        )
    }

    fn hex_of(secret: &str, body: &[u8]) -> String {
        hex::encode(mac(secret.as_bytes(), &[body]).finalize().into_bytes())
    }

    fn standard_of(key: &[u8], id: &str, at: u64, body: &[u8]) -> String {
        let at = at.to_string();
        STANDARD.encode(
            mac(key, &[id.as_bytes(), b".", at.as_bytes(), b".", body])
                .finalize()
                .into_bytes(),
        )
    }

    #[test]
    fn the_example_of_githubs_documentation_is_accepted() {
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let headers = [("x-hub-signature-256", signature)];
        assert_eq!(
            check(
                Provider::Github,
                &headers,
                b"Hello, World!",
                &["It's a Secret to Everybody"]
            ),
            Ok(())
        );
    }

    #[test]
    fn each_provider_is_checked_by_its_own_header() {
        let digits = hex_of("s", BODY);
        let prefixed = format!("sha256={digits}");
        for (provider, name, value) in [
            (Provider::Github, "x-hub-signature-256", &prefixed),
            (Provider::Bitbucket, "x-hub-signature", &prefixed),
            (Provider::Generic, "x-swarm-signature-256", &prefixed),
            (Provider::Generic, "x-hub-signature-256", &prefixed),
            (Provider::Gitea, "x-gitea-signature", &digits),
            (Provider::Gitea, "x-forgejo-signature", &digits),
        ] {
            assert_eq!(
                check(provider, &[(name, value)], BODY, &["s"]),
                Ok(()),
                "{name}"
            );
            assert_eq!(
                check(provider, &[(name, value)], BODY, &["old", "s"]),
                Ok(()),
                "rotation, {name}"
            );
            assert!(
                matches!(
                    check(provider, &[(name, value)], BODY, &["t"]),
                    Err(HookError::Wrong(_))
                ),
                "{name}"
            );
            assert!(
                matches!(
                    check(provider, &[(name, value)], b"{}", &["s"]),
                    Err(HookError::Wrong(_))
                ),
                "{name}"
            );
            assert!(
                matches!(
                    check(provider, &[(name, "")], BODY, &["s"]),
                    Err(HookError::Missing(_))
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn another_providers_header_does_not_count() {
        let prefixed = format!("sha256={}", hex_of("s", BODY));
        for provider in [Provider::Gitea, Provider::Gitlab, Provider::Bitbucket] {
            let answer = check(
                provider,
                &[("x-hub-signature-256", &prefixed)],
                BODY,
                &["s"],
            );
            assert!(matches!(answer, Err(HookError::Missing(_))), "{provider:?}");
        }
    }

    #[test]
    fn a_signature_has_one_spelling() {
        let digits = hex_of("s", BODY);
        for value in [
            format!("sha256={}", digits.to_uppercase()),
            format!("SHA256={digits}"),
            format!("sha1={}", &digits[..40]),
            format!("sha256={}", &digits[..62]),
            format!("sha256={digits}00"),
            format!("sha256= {digits}"),
            digits.clone(),
            "sha256=".into(),
        ] {
            let answer = check(
                Provider::Github,
                &[("x-hub-signature-256", &value)],
                BODY,
                &["s"],
            );
            assert_eq!(
                answer,
                Err(HookError::Malformed("x-hub-signature-256")),
                "{value}"
            );
        }
    }

    #[test]
    fn without_a_secret_nothing_is_accepted() {
        let prefixed = format!("sha256={}", hex_of("", BODY));
        let headers = [
            ("x-hub-signature-256", prefixed.as_str()),
            ("x-gitlab-token", ""),
        ];
        for secrets in [&[][..], &[""]] {
            assert_eq!(
                check(Provider::Github, &headers, BODY, secrets),
                Err(HookError::NoSecret)
            );
            assert_eq!(
                check(Provider::Gitlab, &headers, BODY, secrets),
                Err(HookError::NoSecret)
            );
        }
        let forged = check(Provider::Github, &headers, BODY, &["", "s"]);
        assert_eq!(
            forged,
            Err(HookError::Wrong("x-hub-signature-256")),
            "the empty secret beside another"
        );
    }

    #[test]
    fn gitlab_signs_the_standard_way() {
        let key = b"0123456789abcdef0123456789abcdef";
        let secret = format!("whsec_{}", STANDARD.encode(key));
        let stamp = NOW.to_string();
        let good = format!(
            "v1a,AAAA v1,AAAA v1,{}",
            standard_of(key, "msg_1", NOW, BODY)
        );
        let headers = [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", stamp.as_str()),
            ("webhook-signature", good.as_str()),
        ];
        assert_eq!(check(Provider::Gitlab, &headers, BODY, &[&secret]), Ok(()));
        let plain = format!("v1,{}", standard_of(b"plain", "msg_1", NOW, BODY));
        let with = |name, value| headers.map(|(n, v)| if n == name { (n, value) } else { (n, v) });
        assert_eq!(
            check(
                Provider::Gitlab,
                &with("webhook-signature", plain.as_str()),
                BODY,
                &["plain"]
            ),
            Ok(())
        );
        for (name, value) in [
            ("webhook-id", "msg_2"),
            ("webhook-timestamp", "1800000001"),
            ("webhook-signature", "v1,AAAA"),
        ] {
            let answer = check(Provider::Gitlab, &with(name, value), BODY, &[&secret]);
            assert_eq!(answer, Err(HookError::Wrong("webhook-signature")), "{name}");
        }
        assert!(matches!(
            check(Provider::Gitlab, &with("webhook-id", ""), BODY, &[&secret]),
            Err(HookError::Missing(_))
        ));
        assert!(matches!(
            check(
                Provider::Gitlab,
                &with("webhook-timestamp", "+1"),
                BODY,
                &[&secret]
            ),
            Err(HookError::Malformed(_))
        ));
        assert!(matches!(
            check(
                Provider::Gitlab,
                &with("webhook-signature", "v2,AAAA"),
                BODY,
                &[&secret]
            ),
            Err(HookError::Malformed(_))
        ));
    }

    #[test]
    fn an_old_or_future_delivery_does_not_count() {
        for at in [NOW - 301, NOW + 301, 0, u64::MAX] {
            let signature = format!("v1,{}", standard_of(b"s", "m", at, BODY));
            let stamp = at.to_string();
            let headers = [
                ("webhook-id", "m"),
                ("webhook-timestamp", stamp.as_str()),
                ("webhook-signature", signature.as_str()),
            ];
            assert_eq!(
                check(Provider::Gitlab, &headers, BODY, &["s"]),
                Err(HookError::Time),
                "{at}"
            );
        }
    }

    #[test]
    fn an_older_gitlab_sends_its_token() {
        assert_eq!(
            check(
                Provider::Gitlab,
                &[("x-gitlab-token", "s")],
                BODY,
                &["t", "s"]
            ),
            Ok(())
        );
        assert!(check(Provider::Gitlab, &[("x-gitlab-token", "S")], BODY, &["s"]).is_err());
        let both = [
            ("x-gitlab-token", "s"),
            ("webhook-signature", "v1,AAAA"),
            ("webhook-id", "m"),
            ("webhook-timestamp", "1800000000"),
        ];
        assert!(
            check(Provider::Gitlab, &both, BODY, &["s"]).is_err(),
            "a wrong signature is not mended by a token"
        );
    }

    #[test]
    fn a_secret_file_has_one_a_line() {
        assert_eq!(secrets("one\r\n\n  two  \n\n"), ["one", "two"]);
        assert!(secrets(" \n\n").is_empty());
    }
}
