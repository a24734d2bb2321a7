//! The git credentials file: lines such as `https://user:password@host`, as `git-credential-store(1)` writes them. Pure, but for [`read`].

use crate::url::{Scheme, Url, User};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::header::HeaderValue;
use std::{io, path::Path};

/// More than any credentials file has.
const LIMIT: u64 = 1 << 20;

/// The credentials for this url in a credentials file; None where it has none.
pub fn read(file: &Path, url: &Url) -> io::Result<Option<User>> {
    use io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?
        .take(LIMIT)
        .read_to_string(&mut text)?;
    Ok(find(&text, url))
}

/// The first line for the url's scheme, host and port, and its user where it names one. What stands in the file for
/// `http://` counts on loopback only.
pub fn find(text: &str, url: &Url) -> Option<User> {
    if !matches!(url.scheme, Scheme::Https | Scheme::Http) {
        return None;
    }
    text.lines()
        .filter_map(|line| Url::parse(line.trim()).ok())
        .find_map(|entry| {
            let same =
                (entry.scheme, &entry.host, entry.port()) == (url.scheme, &url.host, url.port());
            let user = entry.user.filter(|user| user.password.is_some())?;
            let wanted = url
                .user
                .as_ref()
                .is_none_or(|wanted| wanted.name == user.name);
            (same && wanted).then_some(user)
        })
}

/// The value of the Authorization header, marked as a secret.
///
/// # Panics
/// Never: base64 fits into a header.
pub fn basic(user: &User) -> HeaderValue {
    let pair = format!(
        "{}:{}",
        user.name,
        user.password.as_deref().unwrap_or_default()
    );
    let text = format!("Basic {}", STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(text).expect("base64 fits into a header");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\n# ours\nhttps://a:one@git.example\nhttps://b:two@git.example:8443/x\nhttp://c:three@127.0.0.1:80\nhttp://d:four@git.example\nhttps://e:f%3aive@git.example\n";

    fn password(url: &str) -> Option<String> {
        find(FILE, &Url::parse(url).unwrap())?.password
    }

    #[test]
    fn a_line_counts_for_its_own_scheme_host_and_port() {
        assert_eq!(
            password("https://git.example/deploy.git").as_deref(),
            Some("one")
        );
        assert_eq!(
            password("https://git.example:443/deploy.git").as_deref(),
            Some("one")
        );
        assert_eq!(
            password("https://git.example:8443/").as_deref(),
            Some("two")
        );
        assert_eq!(password("http://127.0.0.1/").as_deref(), Some("three"));
        assert_eq!(password("https://e@git.example/").as_deref(), Some("f:ive"));
        assert_eq!(password("https://other.example/"), None);
        assert_eq!(password("https://git.example.evil/"), None);
    }

    #[test]
    fn nothing_is_sent_over_plain_http_to_another_machine() {
        assert_eq!(password("http://git.example/"), None);
    }

    #[test]
    fn the_header_is_a_secret() {
        let value = basic(&User {
            name: "a".into(),
            password: Some("b".into()),
        });
        assert_eq!(
            (value.to_str().unwrap(), format!("{value:?}").as_str()),
            ("Basic YTpi", "Sensitive")
        );
    }
}
