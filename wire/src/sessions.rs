//! A person's sessions with maps, kept in their home: one file, a line a map.
//!
//! Touches `sessions` below `$XDG_STATE_HOME/swarm` (or `~/.local/state/swarm`), mode 0600; whoever reads it is that person
//! until the session ends.

use crate::http::{HeaderName, HeaderValue, header};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

/// The longest file that is read, in bytes.
const MAX: u64 = 1 << 20;

fn file() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let state = set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(state.join("swarm/sessions"))
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The session with this map, where there is one that has not ended and nobody else may read the file.
pub fn find(url: &str) -> Option<String> {
    let path = file()?;
    let about = fs::symlink_metadata(&path).ok()?;
    if !about.is_file() || about.mode() & 0o077 != 0 || about.len() > MAX {
        return None;
    }
    look(&fs::read_to_string(path).ok()?, url, now())
}

/// Keeps a session with this map in place of the one there was.
pub fn keep(url: &str, session: &str, expires_in_s: u64) -> io::Result<()> {
    let path =
        file().ok_or_else(|| io::Error::other("neither $XDG_STATE_HOME nor $HOME is set"))?;
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let old = fs::read_to_string(&path).unwrap_or_default();
    let text = with(
        &old,
        url,
        session,
        now().saturating_add(expires_in_s),
        now(),
    );
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    new.write_all(text.as_bytes())?;
    new.sync_data()?;
    fs::rename(&beside, &path)
}

/// The header that says whose request it is; none where the secret is none.
pub fn bearer(session: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::try_from(format!("Bearer {session}")).ok()?;
    value.set_sensitive(true);
    Some((header::AUTHORIZATION, value))
}

/// A line: when it ends in Unix seconds, the url, the secret.
fn lines(text: &str, now: u64) -> impl Iterator<Item = (u64, &str, &str)> {
    text.lines().filter_map(move |line| {
        let mut words = line.split(' ');
        let (expires, url, secret) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
        (expires > now).then_some((expires, url, secret))
    })
}

fn plain(url: &str) -> &str {
    url.trim_end_matches('/')
}

fn look(text: &str, url: &str, now: u64) -> Option<String> {
    lines(text, now)
        .find(|(_, other, _)| *other == plain(url))
        .map(|(_, _, secret)| secret.to_owned())
}

fn with(old: &str, url: &str, session: &str, expires: u64, now: u64) -> String {
    let others = lines(old, now).filter(|(_, other, _)| *other != plain(url));
    let mut text = String::new();
    for (expires, url, secret) in others.chain([(expires, plain(url), session)]) {
        text += &format!("{expires} {url} {secret}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_map_until_it_ends_and_replaces_the_one_before() {
        let one = with("", "https://a/", "s1", 100, 0);
        let two = with(&one, "https://b", "s2", 50, 0);
        assert_eq!(look(&two, "https://a", 99).as_deref(), Some("s1"));
        assert_eq!(look(&two, "https://b/", 49).as_deref(), Some("s2"));
        assert_eq!(look(&two, "https://b", 50), None);
        let three = with(&two, "https://a", "s3", 200, 60);
        assert_eq!(three, "200 https://a s3\n");
        assert_eq!(look("not a line\n", "not", 0), None);
    }
}
