//! A remote over HTTP: git's smart protocol on the kept-alive client. Touches the network, and the credentials file.

use crate::{
    bounds::Meter,
    credentials,
    echo::Echo,
    http::{Bytes, Client, Method, StatusCode, Streaming},
    options::Options,
    protocol::Capabilities,
    reply::{Reply, Source},
    url::{Scheme, Url},
};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use std::time::Duration;
use swarm_manifests::{problem::Refusal, rules::remote as rules};
use tokio::time::Instant;

const ADVERTISEMENT: &str = "/info/refs?service=git-upload-pack";
const GIT_PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");
const VERSION: HeaderValue = HeaderValue::from_static("version=2");
const REQUEST: HeaderValue = HeaderValue::from_static("application/x-git-upload-pack-request");
const RESULT: HeaderValue = HeaderValue::from_static("application/x-git-upload-pack-result");
/// More redirects than any forge needs.
const REDIRECTS: usize = 4;
/// A server may be upgraded: what it can is asked again after so long, and after each failure.
const FRESH: Duration = Duration::from_secs(3600);

/// A git server behind HTTP.
pub(crate) struct Smart {
    configured: Url,
    options: Options,
    client: Client,
    known: Option<(Capabilities, Instant)>,
    /// The server closes what is kept open: asking again on it is of no use.
    closes: bool,
}

impl Smart {
    pub fn new(url: Url, options: &Options) -> Self {
        let client = Client::of(url.clone(), options.ca.as_deref());
        Self {
            configured: url,
            options: options.clone(),
            client,
            known: None,
            closes: false,
        }
    }

    /// Another way to the same server, which knows what this one does and shares no connection with it.
    pub fn beside(&self) -> Self {
        let mut client = Client::of(self.client.url().clone(), self.options.ca.as_deref());
        client.authorize(self.client.authorization().cloned());
        Self {
            configured: self.configured.clone(),
            options: self.options.clone(),
            client,
            known: self.known,
            closes: self.closes,
        }
    }

    /// What was asked last, to be asked again; see [`Client::echo`].
    pub async fn echo(&mut self) -> Option<Echo> {
        if self.closes {
            return None;
        }
        self.client.echo().await
    }

    /// The connection is back.
    pub async fn take_back(&mut self, echo: Echo) {
        self.closes = echo.is_of_no_use();
        self.client.take_back(echo).await;
    }

    /// After a failure nothing is taken for granted: neither what the server can nor a redirect, nor a password.
    pub fn forget(&mut self) {
        *self = Self::new(self.configured.clone(), &self.options);
    }

    /// What the server can.
    pub async fn capabilities(
        &mut self,
        shown: &str,
        meter: &mut Meter,
    ) -> Result<Capabilities, Refusal> {
        if let Some((known, since)) = &self.known
            && since.elapsed() < FRESH
        {
            return Ok(*known);
        }
        self.authorize(shown)?;
        for _ in 0..=REDIRECTS {
            let answer = self
                .client
                .open(
                    Method::GET,
                    ADVERTISEMENT,
                    &[(GIT_PROTOCOL, VERSION)],
                    Bytes::new(),
                    left(meter),
                )
                .await;
            let streaming = answer.map_err(|error| error.refusal(shown))?;
            if streaming.status.is_redirection() {
                let to = target(streaming.headers.get(LOCATION), &self.configured);
                let to = to.map_err(|why| {
                    Refusal::new(&rules::REDIRECT, format!("{shown} redirects {why}"))
                })?;
                self.client = Client::of(to, self.options.ca.as_deref());
                self.authorize(shown)?;
                continue;
            }
            check(
                &streaming,
                shown,
                "application/x-git-upload-pack-advertisement",
            )?;
            let mut reply = Reply::new(Source::Http(Box::new(streaming)), shown);
            let capabilities = reply.capabilities(meter).await?;
            reply.finish(meter).await?;
            self.known = Some((capabilities, Instant::now()));
            return Ok(capabilities);
        }
        Err(Refusal::new(
            &rules::REDIRECT,
            format!("{shown} redirects more than {REDIRECTS} times"),
        ))
    }

    /// Sends one request.
    pub async fn ask<'a>(
        &'a mut self,
        request: Vec<u8>,
        shown: &'a str,
        meter: &Meter,
    ) -> Result<Reply<'a>, Refusal> {
        let headers = [
            (GIT_PROTOCOL, VERSION),
            (CONTENT_TYPE, REQUEST),
            (ACCEPT, RESULT),
        ];
        let answer = self
            .client
            .open(
                Method::POST,
                "/git-upload-pack",
                &headers,
                request.into(),
                left(meter),
            )
            .await;
        let streaming = answer.map_err(|error| error.refusal(shown))?;
        if streaming.status.is_redirection() {
            return Err(Refusal::new(
                &rules::REDIRECT,
                format!("{shown} redirects a request in the middle of a conversation"),
            ));
        }
        check(&streaming, shown, "application/x-git-upload-pack-result")?;
        Ok(Reply::new(Source::Http(Box::new(streaming)), shown))
    }

    /// Read anew each time: tokens are rotated.
    fn authorize(&mut self, shown: &str) -> Result<(), Refusal> {
        let url = self.client.url();
        if url
            .user
            .as_ref()
            .is_some_and(|user| user.password.is_some())
        {
            return Ok(());
        }
        let Some(file) = &self.options.credentials_file else {
            return Ok(());
        };
        let user = credentials::read(file, url).map_err(|error| {
            Refusal::new(
                &rules::AUTH,
                format!(
                    "{shown}: the credentials file {} cannot be read: {error}",
                    file.display()
                ),
            )
        })?;
        self.client.authorize(user.as_ref().map(credentials::basic));
        Ok(())
    }
}

fn left(meter: &Meter) -> Duration {
    meter.next().saturating_duration_since(Instant::now())
}

fn check(streaming: &Streaming<'_>, shown: &str, wanted: &str) -> Result<(), Refusal> {
    let (status, headers) = (streaming.status, &streaming.headers);
    match status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            return Err(Refusal::new(
                &rules::AUTH,
                format!("{shown} answers {status}"),
            ));
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            let hint = "check the url; some forges answer so where credentials are missing or not accepted";
            return Err(Refusal::new(
                &rules::UNREACHABLE,
                format!("{shown}: no such repository there ({status})"),
            )
            .hint(hint));
        }
        _ => {
            return Err(Refusal::new(
                &rules::UNREACHABLE,
                format!("{shown} answers {status}"),
            ));
        }
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("nothing");
    if kind.split(';').next().unwrap_or_default().trim() != wanted {
        let kind = crate::pipe::one_line(kind.as_bytes());
        return Err(Refusal::new(
            &rules::PROTOCOL,
            format!("{shown} answers with {kind}, which is not git's smart protocol"),
        ));
    }
    match headers.get(hyper::header::CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => Err(Refusal::new(
            &rules::PROTOCOL,
            format!("{shown} compresses its answer, which was not asked for"),
        )),
        _ => Ok(()),
    }
}

/// Where a redirect leads, if it may be followed: to the same origin, or from http to https of the same host. User and password of
/// the configured url stay with its origin.
fn target(location: Option<&HeaderValue>, from: &Url) -> Result<Url, String> {
    let location = location
        .and_then(|value| value.to_str().ok())
        .ok_or("without saying where to")?;
    let absolute = if location.starts_with('/') && !location.starts_with("//") {
        let scheme = if from.scheme == Scheme::Https {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}{location}", from.authority())
    } else {
        location.to_owned()
    };
    let base = absolute
        .strip_suffix(ADVERTISEMENT)
        .ok_or("to something that is no repository")?;
    let mut to = Url::parse(base).map_err(|error| format!("to {error}"))?;
    let same = (to.scheme, to.port()) == (from.scheme, from.port());
    let stronger = (from.scheme, to.scheme) == (Scheme::Http, Scheme::Https);
    if to.user.is_some() {
        return Err("to a url with credentials in it".into());
    }
    if to.host != from.host {
        return Err(format!("to another host: {to}"));
    }
    if !same && !stronger {
        return Err(format!("to a weaker scheme or another port: {to}"));
    }
    if same {
        to.user.clone_from(&from.user);
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(base: &str, location: &str) -> Result<String, String> {
        let value = HeaderValue::from_str(&format!("{location}{ADVERTISEMENT}")).unwrap();
        target(Some(&value), &Url::parse(base).unwrap())
            .map(|url| format!("{}{url}", url.user.as_ref().map_or("", |_| "with user: ")))
    }

    #[test]
    fn a_redirect_is_followed_within_the_origin_and_upwards() {
        assert_eq!(
            from("https://a/x", "https://a/y.git").unwrap(),
            "https://a/y.git"
        );
        assert_eq!(
            from("https://u:p@a/x", "/y.git").unwrap(),
            "with user: https://a/y.git"
        );
        assert_eq!(from("http://a/x", "https://a/x").unwrap(), "https://a/x");
        assert_eq!(
            from("http://u:p@localhost/x", "https://localhost/x").unwrap(),
            "https://localhost/x"
        );
    }

    #[test]
    fn a_redirect_elsewhere_is_not_followed() {
        for (base, location) in [
            ("https://a/x", "http://a/x"),
            ("https://a/x", "https://b/x"),
            ("https://a/x", "https://a.evil/x"),
            ("https://a/x", "//b/x"),
            ("https://a/x", "https://a:8443/x"),
            ("http://localhost/x", "http://localhost:22/x"),
            ("https://a/x", "https://u:p@a/x"),
            ("https://a/x", "file:///etc"),
            ("https://a/x", "ssh://a/x"),
            ("https://a/x", "-oProxyCommand=x"),
        ] {
            assert!(from(base, location).is_err(), "{base} to {location}");
        }
        assert!(target(None, &Url::parse("https://a/x").unwrap()).is_err());
        assert!(
            target(
                Some(&HeaderValue::from_static("https://a/login")),
                &Url::parse("https://a/x").unwrap()
            )
            .is_err()
        );
    }
}
