//! A small HTTP/1.1 client on hyper: one kept-alive connection to one origin, with limits on size and time.
//!
//! Requests go out one after another. A kept connection that turns out to be closed is replaced once, and the request is sent
//! again: send only what may arrive twice. Touches the network.

use crate::{
    credentials,
    echo::Echo,
    line::Line,
    tls,
    url::{Scheme, Url},
};
use http_body_util::{BodyExt as _, Full};
pub use hyper::{
    HeaderMap, Method, StatusCode,
    body::Bytes,
    header,
    header::{HeaderName, HeaderValue},
};
use hyper::{
    Request,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

/// What this client calls itself.
pub const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("swarm/", env!("CARGO_PKG_VERSION")));
/// A kept connection is not trusted to be alive after so long: middle boxes forget silently.
const KEPT: Duration = Duration::from_secs(240);
/// How long one address may take to answer.
const CONNECT: Duration = Duration::from_secs(10);
/// Room for a response's head; hyper's own default is 400 KB.
const BUFFER: usize = 64 << 10;

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum HttpError {
    #[error("{0}")]
    Url(#[from] crate::url::UrlError),
    #[error("{to} does not answer")]
    Connect { to: String, source: io::Error },
    #[error("TLS with {host} failed")]
    Tls { host: String, source: rustls::Error },
    #[error("the ca file {} cannot be used: {why}", file.display())]
    Ca { file: PathBuf, why: String },
    #[error("the connection to {to} broke off")]
    Broken { to: String, source: hyper::Error },
    #[error("{to} did not answer in full within {limit:?}")]
    Late { to: String, limit: Duration },
    #[error("{to} sends more than {limit} bytes")]
    TooLarge { to: String, limit: usize },
    #[error("a request that cannot be written: {0}")]
    Request(#[from] hyper::http::Error),
}

/// A whole answer.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// One origin, and the connection to it.
pub struct Client {
    url: Url,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    ca: Option<PathBuf>,
    tls: Option<TlsConnector>,
    kept: Option<Kept>,
}

/// A connection on which nothing is under way.
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
    /// Moves the bytes; ends with the sender, and gives the connection back where it is still in order.
    driver: AbortOnDropHandle<Option<Line>>,
}

impl Client {
    /// A client for `http://` or `https://`; its path stands before that of each request. Nothing is opened, and no root certificate
    /// read, before the first request. User and password in the url become the Authorization header.
    pub fn new(url: &str, ca: Option<&Path>) -> Result<Self, HttpError> {
        Ok(Self::of(Url::parse(url)?, ca))
    }

    /// The same for a url that is parsed already.
    ///
    /// # Panics
    /// Never: a checked host fits into a header.
    pub fn of(mut url: Url, ca: Option<&Path>) -> Self {
        url.path.truncate(url.path.trim_end_matches('/').len());
        let host =
            HeaderValue::try_from(url.authority()).expect("a checked host fits into a header");
        let authorization = url
            .user
            .as_ref()
            .filter(|user| user.password.is_some())
            .map(credentials::basic);
        Self {
            url,
            host,
            authorization,
            ca: ca.map(Into::into),
            tls: None,
            kept: None,
        }
    }

    /// Where requests go.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What is sent with each request.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Sent with each request from now on.
    pub fn authorize(&mut self, value: Option<HeaderValue>) {
        self.authorization = value;
    }

    /// Sends one request and reads the whole answer, of at most `limit` bytes, all within `limit_time`.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        limit: usize,
        time: Duration,
    ) -> Result<Response, HttpError> {
        let deadline = Instant::now() + time;
        let mut streaming = self.open(method, path, headers, body, time).await?;
        let mut whole = Vec::new();
        while let Some(part) = streaming.chunk(deadline).await? {
            if whole.len() + part.len() > limit {
                return Err(HttpError::TooLarge {
                    to: streaming.to,
                    limit,
                });
            }
            whole.extend_from_slice(&part);
        }
        Ok(Response {
            status: streaming.status,
            headers: std::mem::take(&mut streaming.headers),
            body: whole,
        })
    }

    /// Sends one request and waits for the answer's head; the body comes as it arrives. The connection is used again only
    /// where the body was read to its end.
    pub async fn open(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        time: Duration,
    ) -> Result<Streaming<'_>, HttpError> {
        let exchange = self.exchange(&method, path, headers, &body);
        let Ok(done) = timeout(time, exchange).await else {
            return Err(HttpError::Late {
                to: self.url.authority(),
                limit: time,
            });
        };
        let (connection, response) = done?;
        let (head, body) = response.into_parts();
        Ok(Streaming {
            status: head.status,
            headers: head.headers,
            to: self.url.authority(),
            body,
            started: Instant::now(),
            connection: Some(connection),
            home: &mut self.kept,
        })
    }

    async fn exchange(
        &mut self,
        method: &Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: &Bytes,
    ) -> Result<(Kept, hyper::Response<Incoming>), HttpError> {
        if let Some(mut kept) = self.kept.take().filter(|kept| kept.since.elapsed() < KEPT)
            && kept.sender.ready().await.is_ok()
        {
            match kept
                .sender
                .send_request(self.build(method, path, headers, body)?)
                .await
            {
                Ok(response) => return Ok((kept, response)),
                Err(error) if error.is_parse() => return Err(self.broken(error)),
                Err(error) => tracing::debug!(%error, "the kept connection was closed"),
            }
        }
        let mut fresh = self.connect().await?;
        let request = self.build(method, path, headers, body)?;
        let response = fresh
            .sender
            .send_request(request)
            .await
            .map_err(|error| self.broken(error))?;
        Ok((fresh, response))
    }

    fn build(
        &self,
        method: &Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: &Bytes,
    ) -> Result<Request<Full<Bytes>>, HttpError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url.path))
            .body(Full::new(body.clone()))?;
        let to = request.headers_mut();
        to.reserve(headers.len() + 4);
        to.insert(header::HOST, self.host.clone());
        to.insert(header::USER_AGENT, USER_AGENT);
        if let Some(value) = &self.authorization {
            to.insert(header::AUTHORIZATION, value.clone());
        }
        to.extend(headers.iter().cloned());
        Ok(request)
    }

    fn broken(&self, source: hyper::Error) -> HttpError {
        HttpError::Broken {
            to: self.url.authority(),
            source,
        }
    }

    async fn connect(&mut self) -> Result<Kept, HttpError> {
        let stream = self.dial().await.map_err(|source| HttpError::Connect {
            to: self.url.authority(),
            source,
        })?;
        let line = if self.url.scheme == Scheme::Https {
            let connector = match self.tls.take() {
                Some(connector) => connector,
                None => tls::connector(self.ca.as_deref())?,
            };
            let secured = tls::connect(&connector, &self.url.host, stream).await;
            self.tls = Some(connector);
            Line::tls(secured?)
        } else {
            Line::plain(stream)
        };
        self.shake_hands(line).await
    }

    /// Tries the host's addresses in the resolver's order.
    async fn dial(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in tokio::net::lookup_host((self.url.host.as_str(), self.url.port())).await? {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    async fn shake_hands(&self, line: Line) -> Result<Kept, HttpError> {
        let shaken = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(line))
            .await;
        let (sender, driver) = shaken.map_err(|error| self.broken(error))?;
        let driver = tokio::spawn(async move {
            // What ends it badly is seen by the sender, too.
            let parts = driver.without_shutdown().await.ok()?;
            parts.read_buf.is_empty().then(|| parts.io.into_inner())
        });
        Ok(Kept {
            sender,
            since: Instant::now(),
            driver: AbortOnDropHandle::new(driver),
        })
    }

    /// The last request with its answer, to be asked again, together with the kept connection; none where either was too long, or
    /// nothing is kept.
    pub(crate) async fn echo(&mut self) -> Option<Echo> {
        let Kept {
            sender,
            since,
            driver,
        } = self.kept.take().filter(|kept| !kept.sender.is_closed())?;
        drop(sender);
        let line = driver.await.ok()??;
        match Echo::of(line, since.into_std(), KEPT) {
            Ok(echo) => Some(echo),
            Err(line) => {
                self.keep(line?, since).await;
                None
            }
        }
    }

    /// Keeps the connection again.
    pub(crate) async fn take_back(&mut self, echo: Echo) {
        if let Some((line, since)) = echo.into_line() {
            self.keep(line, Instant::from_std(since)).await;
        }
    }

    async fn keep(&mut self, line: Line, since: Instant) {
        let shaken = self.shake_hands(line).await.ok();
        self.kept = shaken.map(|kept| Kept { since, ..kept });
    }
}

/// An answer whose body is read as it comes.
pub struct Streaming<'c> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    to: String,
    body: Incoming,
    started: Instant,
    connection: Option<Kept>,
    home: &'c mut Option<Kept>,
}

impl Streaming<'_> {
    /// The next part of the body; None at its end, which gives the connection back.
    pub async fn chunk(&mut self, deadline: Instant) -> Result<Option<Bytes>, HttpError> {
        loop {
            let Ok(frame) = timeout_at(deadline, self.body.frame()).await else {
                return Err(HttpError::Late {
                    to: self.to.clone(),
                    limit: self.started.elapsed(),
                });
            };
            let broken = |source| HttpError::Broken {
                to: self.to.clone(),
                source,
            };
            let Some(frame) = frame.transpose().map_err(broken)? else {
                let now = Instant::now();
                *self.home = self
                    .connection
                    .take()
                    .map(|kept| Kept { since: now, ..kept });
                return Ok(None);
            };
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}
