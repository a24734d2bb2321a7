//! Urls of remotes and maps: checked once, shown without secrets. Pure.

use std::{fmt, net::IpAddr, path::PathBuf};

/// A url that was checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// How it is reached.
    pub scheme: Scheme,
    /// User, and password where one stands in it.
    pub user: Option<User>,
    /// Lower case, without brackets; empty for paths.
    pub host: String,
    /// None: the scheme's own.
    pub port: Option<u16>,
    /// As it was written, beginning with a slash; for `file` decoded.
    pub path: String,
}

/// The ways to reach something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Scheme {
    Https,
    Http,
    Ssh,
    File,
}

/// The part of a url before the `@`; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Decoded.
    pub name: String,
    /// Decoded.
    pub password: Option<String>,
}

/// Why a url is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct UrlError {
    what: String,
    /// What to write instead.
    pub hint: Option<String>,
}

fn bad(what: impl Into<String>) -> UrlError {
    UrlError {
        what: what.into(),
        hint: None,
    }
}

impl Url {
    /// Reads `https://`, `http://`, `ssh://`, `file://` and absolute paths.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > 2048 {
            return Err(bad("a url of more than 2048 bytes"));
        }
        if text.starts_with('-') {
            return Err(bad("a url that begins with a dash"));
        }
        if text
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() && !text.starts_with('/'))
        {
            return Err(bad("a url with a space or a control character in it"));
        }
        if text.starts_with('/') {
            return Ok(Self::file(text.into()));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(not_a_url(text));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            "file" => return file_url(rest),
            _ => return Err(bad("a scheme other than https, http, ssh and file")),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(read_user(user)?), place),
            None => (None, authority),
        };
        let (host, port) = read_place(place)?;
        if path
            .bytes()
            .any(|b| !b.is_ascii_graphic() || b"\"<>\\^`{|}#".contains(&b))
        {
            return Err(bad("a path that needs percent-encoding"));
        }
        let url = Self {
            scheme,
            user,
            host,
            port,
            path: path.into(),
        };
        url.check_user()?;
        Ok(url)
    }

    fn file(path: String) -> Self {
        Self {
            scheme: Scheme::File,
            user: None,
            host: String::new(),
            port: None,
            path,
        }
    }

    /// No password reaches a wire that others can read, nor ssh's arguments.
    fn check_user(&self) -> Result<(), UrlError> {
        match (&self.user, self.scheme) {
            (Some(_), Scheme::Http) if !self.is_loopback() => {
                Err(bad("credentials over http:// to another machine"))
            }
            (
                Some(User {
                    password: Some(_), ..
                }),
                Scheme::Ssh,
            ) => Err(bad("a password in an ssh:// url; ssh takes keys only")),
            (Some(user), Scheme::Ssh) if !is_word(&user.name) => {
                Err(bad("an ssh user that is not a plain word"))
            }
            (None, Scheme::Ssh) if self.path.len() < 2 => Err(bad("an ssh:// url without a path")),
            _ => Ok(()),
        }
    }

    /// Whether the host is this very machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The port, also where none was written.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.scheme {
            Scheme::Https => 443,
            Scheme::Http => 80,
            Scheme::Ssh => 22,
            Scheme::File => 0,
        })
    }

    /// `host` or `host:port`, with brackets where it is an IPv6 address.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        self.port
            .map_or(host.clone(), |port| format!("{host}:{port}"))
    }

    /// The path as the file system has it, percent-encoding undone.
    pub fn decoded_path(&self) -> Result<String, UrlError> {
        match self.scheme {
            Scheme::File => Ok(self.path.clone()),
            _ => decode(&self.path),
        }
    }

    /// The path of a `file` url.
    pub fn file_path(&self) -> PathBuf {
        PathBuf::from(&self.path)
    }
}

impl fmt::Display for Url {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
            Scheme::Ssh => "ssh",
            Scheme::File => return f.write_str(&self.path),
        };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("User(..)")
    }
}

/// A url as people may see it, whether it is a good one or not.
pub fn for_people(text: &str) -> String {
    Url::parse(text).map_or_else(|_| shown(text), |url| url.to_string())
}

/// Text that was to be a url, without what could be user and password.
pub(crate) fn shown(text: &str) -> String {
    let (scheme, rest) = text
        .split_once("://")
        .map_or(("", text), |(scheme, rest)| (scheme, rest));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let whole = if scheme.is_empty() {
        rest.to_owned()
    } else {
        format!("{scheme}://{rest}")
    };
    whole.chars().take(80).collect()
}

fn not_a_url(text: &str) -> UrlError {
    let scp = text.split_once(':').filter(|(host, path)| {
        !path.is_empty()
            && !path.starts_with(':')
            && !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b))
    });
    match scp {
        Some((host, path)) => UrlError {
            what: "the short form of an ssh url".into(),
            hint: Some(format!(
                "write ssh://{host}/{}",
                path.trim_start_matches('/')
            )),
        },
        None => bad("neither a url (https://, http://, ssh://, file://) nor an absolute path"),
    }
}

fn file_url(rest: &str) -> Result<Url, UrlError> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if path.starts_with('/') {
        Ok(Url::file(decode(path)?))
    } else {
        Err(bad("a file:// url that names a host; write file:///path"))
    }
}

fn read_user(text: &str) -> Result<User, UrlError> {
    let (name, password) = match text.split_once(':') {
        Some((name, password)) => (name, Some(decode(password)?)),
        None => (text, None),
    };
    Ok(User {
        name: decode(name)?,
        password,
    })
}

fn read_place(place: &str) -> Result<(String, Option<u16>), UrlError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| bad("a host without its ]"))?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| bad("a host in brackets that is no IPv6 address"))?;
            (host, rest)
        }
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    if !is_word(host) && !host.contains(':') {
        return Err(bad(
            "a host that is no name or address (other scripts: write it as xn--…)",
        ));
    }
    let port = match port.strip_prefix(':') {
        Some(digits) => match digits.parse() {
            Ok(port) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Some(port),
            _ => return Err(bad("a port that is no number from 1 to 65535")),
        },
        None if port.is_empty() => None,
        None => return Err(bad("something after the host's ]")),
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// What may be handed to a program without ever being taken for an option.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Undoes percent-encoding; control characters are refused in either form.
pub(crate) fn decode(text: &str) -> Result<String, UrlError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => out.extend(u8::try_from(high * 16 + low)),
            _ => return Err(bad("a % without two hexadecimal digits after it")),
        }
    }
    match String::from_utf8(out) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text),
        _ => Err(bad(
            "percent-encoding of something that is no printable text",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_people_use_are_read() {
        for (text, shown, port) in [
            (
                "https://git.example/deploy.git",
                "https://git.example/deploy.git",
                443,
            ),
            (
                "https://u:p%40x@Git.Example:8443/a",
                "https://git.example:8443/a",
                8443,
            ),
            ("http://127.0.0.1:80/a", "http://127.0.0.1:80/a", 80),
            ("http://u:p@[::1]:3000/a", "http://[::1]:3000/a", 3000),
            (
                "ssh://git@host:2222/srv/a%20b.git",
                "ssh://host:2222/srv/a%20b.git",
                2222,
            ),
            ("file:///srv/a%20b", "/srv/a b", 0),
            ("file://localhost/srv", "/srv", 0),
            ("/srv/with space", "/srv/with space", 0),
        ] {
            let url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((url.to_string().as_str(), url.port()), (shown, port));
            assert_eq!(format!("{url:?}"), shown);
        }
    }

    #[test]
    fn urls_that_could_run_or_leak_something_are_refused() {
        for text in [
            "-oProxyCommand=touch /tmp/x",
            "ssh://-oProxyCommand=x/path",
            "ssh://-l@host/path",
            "ssh://git:secret@host/path",
            "ssh://host",
            "ext::sh -c touch%20x",
            "ext::sh",
            "fd::3",
            "https://host/a\nb",
            "https://host/a b",
            "https://ho%0ast/a",
            "https://host/é",
            "https://hóst/",
            "https:///path",
            "http://u:p@host/a",
            "http://u@10.0.0.1/a",
            "ftp://host/a",
            "git://host/a",
            "relative/path",
            "file://other/path",
            "https://host:0/",
            "https://host:+1/",
            "https://host:99999/",
            "https://[::1/a",
            "https://[::1]x/a",
            "file:///a%0ab",
            "",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_url_that_is_refused_is_shown_without_its_password() {
        assert_eq!(shown("http://user:p@ss@host/path"), "http://host/path");
        assert_eq!(shown("u:secret@host:path"), "host:path");
        assert_eq!(shown("-oProxyCommand=x"), "-oProxyCommand=x");
    }

    #[test]
    fn what_people_see_of_a_url_has_no_password() {
        assert_eq!(
            for_people("https://bob:secret@host/d.git"),
            "https://host/d.git"
        );
        assert_eq!(
            for_people("file:///srv/a@b/deploy.git"),
            "/srv/a@b/deploy.git"
        );
        assert_eq!(
            for_people("http://bob:secret@host:port/x"),
            "http://host:port/x"
        );
    }

    #[test]
    fn the_short_form_of_ssh_gets_a_hint() {
        let error = Url::parse("git@host:team/deploy.git").unwrap_err();
        assert_eq!(
            error.hint.as_deref(),
            Some("write ssh://git@host/team/deploy.git")
        );
    }
}
