//! The forms of texts that the files take: names, durations, sizes, paths, keys, addresses. Pure.

use crate::{
    characters::find_hidden,
    id::{Digest, Oid},
    key,
    line_pattern::LinePattern,
    name::{Name, Pattern},
    path::check_path,
    rules::file::{BAD_NAME, BAD_PATH, BAD_VALUE},
    shape::Form,
    units::{ByteSize, parse_duration},
};
use std::net::SocketAddr;

/// The longest argument or value of a variable, in bytes (Linux `MAX_ARG_STRLEN` without the NUL).
pub const MAX_ARGUMENT: usize = (128 << 10) - 1;

macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident: $what:literal, $pattern:literal, $rule:expr, $check:expr;)*) => {
        $($(#[$doc])* pub(crate) static $name: Form = Form { what: $what, pattern: $pattern, rule: &$rule, check: $check };)*
    };
}

forms! {
    NAME: "a name of a-z, 0-9 and -", "^[a-z0-9][a-z0-9-]{0,62}$", BAD_NAME, |text| words(Name::new(text));
    PATTERN: "a pattern of a-z, 0-9, - and *", "^[a-z0-9*-]{1,63}$", BAD_NAME, |text| words(Pattern::new(text));
    PERSON_OR_TEAM: "the name of a person or team", "^[a-z0-9][a-z0-9-]{0,62}$", BAD_NAME, |text| words(Name::new(text));
    LABEL: "a label's name such as site", "^[a-z][a-z0-9_-]{0,62}$", BAD_NAME, label;
    FACT: "a fact's name such as node or memory", "^[a-z][a-z0-9._-]{0,62}$", BAD_NAME, fact;
    VARIABLE: "a variable's name such as LANG", "^[A-Za-z_][A-Za-z0-9_]*$", BAD_NAME, variable;
    VERSION: "a version such as \"1.2.0\"", "^[0-9]+\\.[0-9]+\\.[0-9]+", BAD_VALUE, version;
    DURATION: "a duration such as \"250ms\", \"6s\" or \"1h30m\"", "^([0-9]+(d|h|m|s|ms))+$", BAD_VALUE, |text| duration(text, false);
    DURATION_OR_ZERO: "a duration such as \"0s\", \"6s\" or \"1h30m\"", "^([0-9]+(d|h|m|s|ms))+$", BAD_VALUE, |text| duration(text, true);
    SIZE: "a size such as \"64K\", \"256M\" or \"1G\"", "^[1-9][0-9]*[KMGT]?$", BAD_VALUE, size;
    PERCENT: "a share of one core such as \"50%\" or \"200%\"", "^[1-9][0-9]*%$", BAD_VALUE, |text| percent(text).is_none().then(|| "is not a percentage from 1% to 100000%".into());
    LINE: "a line of text", "", BAD_VALUE, line;
    REGEX: "a regular expression such as \"listening on .*8080\"", "", BAD_VALUE, |text| line(text).or_else(|| LinePattern::new(text).err());
    ARGUMENT: "a text", "", BAD_VALUE, argument;
    WORD: "a program or argument that is not empty", "", BAD_VALUE, |text| if text.is_empty() { Some("is empty".into()) } else { argument(text) };
    ENTRY: "a path inside the bundle such as \"bin/app\"", "^[^/\\\\]", BAD_PATH, entry;
    WORKDIR: "\"bundle\", \"state\", or a path below either such as \"state/run\"", "^(bundle|state)(/|$)", BAD_PATH, workdir;
    PORTS: "a port or a range such as \"8080\" or \"8096-8099\"", "^[0-9]{1,5}(-[0-9]{1,5})?$", BAD_VALUE, |text| ports(text).is_none().then(|| "is neither a port from 1 to 65535 nor a rising range of them".into());
    USER: "a user of the box other than root", "^[a-z_][a-z0-9_-]{0,31}$", BAD_VALUE, user;
    GROUP: "a group of the box other than root", "^[a-z_][a-z0-9_-]{0,31}$", BAD_VALUE, user;
    SIGNAL: "a signal such as \"SIGINT\"", "^SIG[A-Z0-9]+$", BAD_VALUE, |text| (!SIGNALS.contains(&text)).then(|| format!("is none of {}", SIGNALS.join(", ")));
    PROBE_URL: "a URL such as \"http://127.0.0.1:8080/ok\"", "^http://", BAD_VALUE, probe_url;
    ABSOLUTE: "an absolute path", "^/", BAD_PATH, absolute;
    FILE: "an absolute path of the box", "^/", BAD_VALUE, file;
    SELECTOR: "a selector such as 'site == \"berkeley\"'", "", BAD_VALUE, |_| None;
    SCHEDULE: "a calendar event such as \"Mon..Fri 02:00\" or a line of crontab such as \"0 2 * * 1-5\"", "", BAD_VALUE, |text| crate::schedule::Schedule::parse(text).err();
    REQUIREMENT: "a requirement such as \">=18\", \"*\" or \">=1G\"", "", BAD_VALUE, |text| crate::facts::Requirement::parse(text).err();
    KEY: "an OpenSSH public key such as \"ssh-ed25519 AAAA… alice@laptop\"", "^(ssh-|ecdsa-|sk-)", BAD_VALUE, |text| words(key::read(text));
    FINGERPRINT: "a key's fingerprint \"SHA256:…\" as ssh-keygen -l prints it", "^SHA256:[A-Za-z0-9+/]{43}$", BAD_VALUE, fingerprint;
    OID: "a full commit id of 40 hexadecimal digits", "^[0-9a-f]{40}$", BAD_VALUE, |text| words(text.parse::<Oid>()).map(|_| "is not one of 40 lower-case hexadecimal digits".into());
    SHA256: "a SHA-256 of 64 hexadecimal digits", "^(sha256:)?[0-9a-f]{64}$", BAD_VALUE, |text| sha256(text).is_none().then(|| "does not have 64 lower-case hexadecimal digits".into());
    REPOSITORY_ID: "a random id such as \"b1f0c2d3\"", "^[A-Za-z0-9._-]{1,128}$", BAD_VALUE, repository_id;
    BRANCH: "a branch's name such as \"main\"", "", BAD_VALUE, branch;
    LISTEN: "an address and a port such as \"127.0.0.1:7701\"", "", BAD_VALUE, |text| text.parse::<SocketAddr>().is_err().then(|| "is not an IP address with a port".into());
    GIT_URL: "a url (ssh://, https://, http://, file://) or an absolute path", "^(ssh://|https://|http://|file://|/)", crate::rules::remote::URL, git_url;
    MAP_URL: "a url such as \"https://map.example:7700\"", "^https?://", BAD_VALUE, map_url;
}

/// The signals that `[stop] signal` may name.
pub const SIGNALS: &[&str] = &[
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM",
    "SIGTERM", "SIGCONT", "SIGWINCH", "SIGPWR",
];

fn words<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<String> {
    result.err().map(|error| format!("is not taken: {error}"))
}

fn made_of(text: &str, first: fn(char) -> bool, rest: fn(char) -> bool, max: usize) -> bool {
    text.len() <= max && text.starts_with(first) && text.chars().all(rest)
}

fn label(text: &str) -> Option<String> {
    if matches!(text, "box" | "name") {
        return Some("stands for the box's own name and cannot be a label".into());
    }
    let good = made_of(
        text,
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c),
        63,
    );
    (!good).then(|| "is not made of a-z, 0-9, - and _ with a letter in front, 63 at most".into())
}

fn fact(text: &str) -> Option<String> {
    let good = made_of(
        text,
        |c| c.is_ascii_lowercase(),
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c),
        100,
    );
    (!good).then(|| "is not made of a-z, 0-9, -, _ and . with a letter in front".into())
}

fn variable(text: &str) -> Option<String> {
    let good = made_of(
        text,
        |c| c.is_ascii_alphabetic() || c == '_',
        |c| c.is_ascii_alphanumeric() || c == '_',
        255,
    );
    (!good).then(|| "is not made of letters, digits and _ with no digit in front".into())
}

fn version(text: &str) -> Option<String> {
    if text.len() > 128 {
        return Some("is longer than 128 characters".into());
    }
    semver::Version::parse(text)
        .err()
        .map(|error| format!("is not a version (SemVer 2.0): {error}"))
}

fn duration(text: &str, zero: bool) -> Option<String> {
    match parse_duration(text) {
        Err(error) => Some(format!("is not taken: {error}")),
        Ok(duration) if duration.is_zero() && !zero => {
            Some("is zero; 0s may stand only in delay, max-delay and soak".into())
        }
        Ok(_) => None,
    }
}

fn size(text: &str) -> Option<String> {
    match ByteSize::parse(text) {
        Err(error) => Some(format!("is not taken: {error}")),
        Ok(ByteSize(0)) => Some("is nothing".into()),
        Ok(_) => None,
    }
}

/// Hundredths of one core.
pub(crate) fn percent(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('%')?;
    let plain = !digits.starts_with(['0', '+']);
    digits
        .parse()
        .ok()
        .filter(|share| plain && (1..=100_000).contains(share))
}

fn line(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("is empty".into());
    }
    find_hidden(text).map(|c| format!("has the character {c:?}"))
}

fn argument(text: &str) -> Option<String> {
    if text.contains('\0') {
        return Some("has a NUL, which no argument or variable can have".into());
    }
    (text.len() > MAX_ARGUMENT).then(|| format!("has {} bytes, {MAX_ARGUMENT} at most", text.len()))
}

fn entry(text: &str) -> Option<String> {
    let plain = text.replace("{arch}", "x").replace("{os}", "x");
    if plain.contains(['{', '}']) {
        return Some("has a placeholder other than {arch} and {os}".into());
    }
    check_path(&plain)
        .err()
        .map(|refusal| format!("is not taken: {}", refusal.reason))
}

fn workdir(text: &str) -> Option<String> {
    let below = text.split_once('/').map(|(_, below)| below);
    if !matches!(text.split('/').next(), Some("bundle" | "state")) {
        return Some("begins with neither bundle nor state".into());
    }
    check_path(below?)
        .err()
        .map(|refusal| format!("is not taken: {}", refusal.reason))
}

/// First and last port, both included.
pub(crate) fn ports(text: &str) -> Option<(u16, u16)> {
    let port = |digits: &str| {
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse::<u16>().ok())?
            .filter(|port| *port > 0)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

fn user(text: &str) -> Option<String> {
    if text == "root" {
        return Some("may not be had by a workflow".into());
    }
    let good = made_of(
        text,
        |c| c.is_ascii_lowercase() || c == '_',
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c),
        32,
    );
    (!good).then(|| "is not a name made of a-z, 0-9, - and _".into())
}

fn probe_url(text: &str) -> Option<String> {
    let rest = text
        .strip_prefix("http://")
        .filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if rest.is_none() {
        return Some("does not begin with http:// and a host".into());
    }
    text.contains(' ')
        .then(|| "has a space".into())
        .or_else(|| line(text))
}

/// Whoever reads it works in another folder than whoever wrote it.
fn file(text: &str) -> Option<String> {
    let is_relative = !text.starts_with('/');
    line(text).or_else(|| is_relative.then(|| "does not begin with /".into()))
}

fn absolute(text: &str) -> Option<String> {
    if !text.starts_with('/') {
        return Some("does not begin with /".into());
    }
    if text.split('/').any(|component| component == "..") {
        return Some("has the component ..".into());
    }
    line(text)
}

fn fingerprint(text: &str) -> Option<String> {
    text.parse::<ssh_key::Fingerprint>()
        .ok()
        .as_ref()
        .is_none_or(|_| !text.starts_with("SHA256:"))
        .then(|| "is not SHA256: and 43 characters".into())
}

/// Reads 64 digits, with or without `sha256:` in front.
pub(crate) fn sha256(text: &str) -> Option<Digest> {
    Digest::from_hex(text.strip_prefix("sha256:").unwrap_or(text)).ok()
}

fn repository_id(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (!made_of(text, plain, plain, 128))
        .then(|| "is not made of letters, digits, ., _ and -, 128 at most".into())
}

/// The parts of git-check-ref-format(1) that matter for one branch.
#[allow(clippy::case_sensitive_file_extension_comparisons)] // git compares so
fn branch(text: &str) -> Option<String> {
    let odd = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let bad = text.is_empty()
        || text.len() > 200
        || text.starts_with(['-', '/'])
        || text.ends_with(['/', '.'])
        || text.contains("..")
        || text.contains("//")
        || text.contains("@{")
        || text.contains(odd)
        || text
            .split('/')
            .any(|part| part.starts_with('.') || part.ends_with(".lock"));
    bad.then(|| "is not a name that git takes for a branch".into())
}

/// Host and what stands before it (`user:password@`) of a url after its scheme.
fn authority(rest: &str) -> (Option<&str>, &str) {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    (user, host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn git_url(text: &str) -> Option<String> {
    if let Some(why) = line(text) {
        return Some(why);
    }
    if text.contains(' ') && !text.starts_with(['/', 'f']) {
        return Some("has a space".into());
    }
    if text.starts_with('/') {
        return None;
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Some(
            "is neither a url nor an absolute path; git@host:path is written ssh://git@host/path"
                .into(),
        );
    };
    let (user, host) = authority(rest);
    match scheme {
        "file" => (!rest.starts_with('/')).then(|| "has no absolute path after file://".into()),
        "ssh" | "https" | "http" if host.is_empty() => Some("has no host".into()),
        "ssh" if host.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) => {
            Some("has a host or user that begins with a dash".into())
        }
        "http" if user.is_some() && !is_loopback(host) => {
            Some("would send its credentials unencrypted; use https://".into())
        }
        "ssh" | "https" | "http" => None,
        _ => Some(format!("has the scheme {scheme:?}, which is not taken")),
    }
}

fn map_url(text: &str) -> Option<String> {
    if let Some(why) = line(text) {
        return Some(why);
    }
    match text.split_once("://") {
        Some(("https", rest)) if !authority(rest).1.is_empty() => None,
        Some(("http", rest)) if is_loopback(authority(rest).1) => None,
        Some(("http", _)) => Some("is http://, which is taken on loopback only".into()),
        _ => Some("does not begin with https:// and a host".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_taken_is_said_so_once() {
        let why = (KEY.check)("").expect("it is no key");
        assert_eq!(why.matches("is not taken").count(), 1, "{why}");
    }
}
