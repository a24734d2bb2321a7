//! Literals in `[env]` that look like secrets. In: names and values. Out: findings. Pure.

use std::collections::BTreeMap;
use swarm_manifests::{problem::Problem, rules::file::LITERAL_SECRET};

/// What tokens of well-known services begin with, and how long they are at least.
const TOKENS: [(&str, usize); 14] = [
    ("AKIA", 20),
    ("ASIA", 20),
    ("ghp_", 36),
    ("gho_", 36),
    ("ghs_", 36),
    ("github_pat_", 40),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("sk_live_", 20),
    ("sk-", 32),
    ("AGE-SECRET-KEY-", 40),
    ("eyJhbGciOi", 40),
    ("AIza", 35),
];
/// Words in a variable's name that announce a secret.
const WORDS: [&str; 9] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "API_KEY",
    "APIKEY",
    "PRIVATE_KEY",
    "ACCESS_KEY",
];
/// Ends of a name that say where something is, not what it is.
const PLACES: [&str; 7] = ["_FILE", "_PATH", "_DIR", "_NAME", "_ID", "_URL", "_TTL"];

/// The problems of one file's `[env]`, each at the value.
pub fn problems(file: &str, text: &str, env: &BTreeMap<String, String>) -> Vec<Problem> {
    let suspects = env
        .iter()
        .filter_map(|(name, value)| Some((name, value, reason(name, value)?)));
    suspects
        .map(|(name, value, reason)| {
            let message = format!("{name} looks like a secret: {reason}");
            let problem = match text.find(value.as_str()) {
                Some(at) => Problem::at(file, text, at..at + value.len(), &LITERAL_SECRET, message),
                None => Problem::whole(file, &LITERAL_SECRET, message),
            };
            problem.hint(LITERAL_SECRET.remedy)
        })
        .collect()
}

fn reason(name: &str, value: &str) -> Option<&'static str> {
    if value.contains("-----BEGIN ") && value.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    if TOKENS
        .iter()
        .any(|(begin, length)| value.starts_with(begin) && value.len() >= *length)
    {
        return Some("the form of a token");
    }
    if has_password(value) {
        return Some("a password in a url");
    }
    let name = name.to_ascii_uppercase();
    let is_announced = WORDS.iter().any(|word| name.contains(word))
        && !PLACES.iter().any(|place| name.ends_with(place));
    (is_announced && is_value(value)).then_some("its name says so, and the value is written out")
}

/// `scheme://user:password@host`, the password written out.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let login = authority.rsplit_once('@').map(|(login, _)| login);
    login
        .and_then(|login| login.split_once(':'))
        .is_some_and(|(_, password)| is_value(password))
}

/// Neither a path, a placeholder, a switch nor a number of few digits.
fn is_value(value: &str) -> bool {
    value.len() >= 5
        && !value.starts_with(['/', '.', '~', '{', '$'])
        && !matches!(
            value,
            "false" | "required" | "optional" | "disabled" | "enabled"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_and_what_only_speaks_of_them_is_not() {
        for (name, value, found) in [
            ("DB_PASSWORD", "hunter2", true),
            ("api_key", "0123456789abcdef", true),
            ("ANYTHING", "ghp_0123456789abcdefghijklmnopqrstuvwxyz", true),
            ("ANYTHING", "-----BEGIN OPENSSH PRIVATE KEY-----\nx", true),
            ("DATABASE", "postgres://app:hunter2@db/app", true),
            ("DATABASE", "postgres://app@db/app", false),
            ("DB_PASSWORD_FILE", "/run/password", false),
            ("TOKEN", "/run/token", false),
            ("TOKEN", "{label.token}", false),
            ("TOKEN_TTL", "3600s", false),
            ("SECRET", "", false),
            ("LANG", "C.UTF-8", false),
            ("SITE", "berkeley", false),
        ] {
            assert_eq!(reason(name, value).is_some(), found, "{name} = {value}");
        }
    }

    #[test]
    fn the_value_is_marked() {
        let text = "version = \"1.0.0\"\n[env]\nDB_PASSWORD = \"hunter2\"\n";
        let env = BTreeMap::from([("DB_PASSWORD".to_string(), "hunter2".to_string())]);
        let found = problems("manifests/a.toml", text, &env);
        assert_eq!(
            (found[0].line, found[0].column, found[0].rule.id),
            (3, 16, "S-FILE-13")
        );
        assert!(
            !found[0].message.contains("hunter2"),
            "{}",
            found[0].message
        );
    }
}
