//! A raw commit, read strictly. In: the object's bytes. Out: its parts, and exactly what was signed. Pure.
//!
//! libgit2's `extract_signature` also finds signatures in the message and in odd headers, which
//! `git verify-commit` does not; here the form is: tree, parent*, author, committer, then only encoding,
//! mergetag and gpgsig, each once, an empty line, the message. No NUL anywhere.

use swarm_manifests::id::Oid;

/// The most parents that a commit may have.
pub const MAX_PARENTS: usize = 64;

/// The parts of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// What it records.
    pub tree: Oid,
    /// The first is the one that counts.
    pub parents: Vec<Oid>,
    /// Who wrote it, as they claim.
    pub author: Ident,
    /// Who made the commit, as they claim.
    pub committer: Ident,
    /// The armour in the `gpgsig` header.
    pub signature: Option<Vec<u8>>,
    /// What the signature is over: the raw commit without the `gpgsig` header.
    pub payload: Vec<u8>,
    /// Everything after the empty line.
    pub message: Vec<u8>,
}

/// A name, an address and a time, as somebody claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    /// In UTF-8, where it was not, with replacement characters.
    pub name: String,
    /// Without the angle brackets.
    pub email: String,
    /// Seconds since 1970, by the signer's own clock.
    pub seconds: i64,
}

/// Why some bytes are no commit of the strict form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum CommitError {
    #[error("it holds a NUL")]
    Nul,
    #[error("its headers have no end")]
    NoEnd,
    #[error("a header {found:?} stands where {wanted} belongs")]
    Order { found: String, wanted: &'static str },
    #[error("its {0} is not of git's form")]
    Value(&'static str),
    #[error("it has a second {0} header")]
    Twice(&'static str),
    #[error("it has an unknown header {0:?}")]
    Unknown(String),
    #[error("it has more than {MAX_PARENTS} parents")]
    Parents,
}

impl Commit {
    /// Reads a raw commit.
    pub fn parse(raw: &[u8]) -> Result<Self, CommitError> {
        if raw.contains(&0) {
            return Err(CommitError::Nul);
        }
        let mut headers = Headers { rest: raw };
        let tree = id(headers.take("tree")?, "tree")?;
        let mut parents = Vec::new();
        while let Some(value) = headers.take_if("parent") {
            if parents.len() == MAX_PARENTS {
                return Err(CommitError::Parents);
            }
            parents.push(id(value, "parent")?);
        }
        let author = Ident::parse(headers.take("author")?).ok_or(CommitError::Value("author"))?;
        let committer =
            Ident::parse(headers.take("committer")?).ok_or(CommitError::Value("committer"))?;
        let fixed = raw.len() - headers.rest.len();
        let extra = Extra::parse(&mut headers)?;
        let end = raw.len() - headers.rest.len();
        let (start, stop) = extra
            .signature_at
            .map_or((end, end), |range| (fixed + range.0, fixed + range.1));
        let payload = [&raw[..start], &raw[stop..]].concat();
        Ok(Self {
            tree,
            parents,
            author,
            committer,
            signature: extra.signature,
            payload,
            message: raw[end + 1..].to_vec(),
        })
    }

    /// The committer's time, as RFC 3339 in UTC; empty where no calendar has it.
    pub fn time(&self) -> String {
        jiff::Timestamp::from_second(self.committer.seconds)
            .map(|time| time.to_string())
            .unwrap_or_default()
    }

    /// The first line of the message.
    pub fn subject(&self) -> String {
        String::from_utf8_lossy(
            self.message
                .split(|&b| b == b'\n')
                .next()
                .unwrap_or_default(),
        )
        .into_owned()
    }
}

/// The headers that may follow `committer`, in any order.
#[derive(Default)]
struct Extra {
    signature: Option<Vec<u8>>,
    /// From the first byte of its header to the last, counted from the first of these headers.
    signature_at: Option<(usize, usize)>,
}

impl Extra {
    fn parse(headers: &mut Headers<'_>) -> Result<Self, CommitError> {
        let whole = headers.rest.len();
        let mut extra = Self::default();
        let (mut encoding, mut mergetag) = (false, false);
        while headers.rest.first() != Some(&b'\n') {
            let start = whole - headers.rest.len();
            let (name, value) = headers.next()?;
            let twice = match name {
                b"gpgsig" => {
                    let value = headers.continued(value)?;
                    extra
                        .signature_at
                        .replace((start, whole - headers.rest.len()))
                        .is_some()
                        || extra.signature.replace(value).is_some()
                }
                b"encoding" => std::mem::replace(&mut encoding, true),
                b"mergetag" => {
                    headers.continued(value)?;
                    std::mem::replace(&mut mergetag, true)
                }
                other => return Err(CommitError::Unknown(clip(other))),
            };
            if twice {
                return Err(CommitError::Twice(if name == b"gpgsig" {
                    "gpgsig"
                } else if name == b"encoding" {
                    "encoding"
                } else {
                    "mergetag"
                }));
            }
        }
        Ok(extra)
    }
}

/// What is left of a commit, header line by header line.
struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// The next line without its LF.
    fn line(&mut self) -> Result<&'a [u8], CommitError> {
        let end = self
            .rest
            .iter()
            .position(|&b| b == b'\n')
            .ok_or(CommitError::NoEnd)?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        Ok(line)
    }

    /// The next header's name and value.
    fn next(&mut self) -> Result<(&'a [u8], &'a [u8]), CommitError> {
        let line = self.line()?;
        let space = line
            .iter()
            .position(|&b| b == b' ')
            .ok_or_else(|| CommitError::Unknown(clip(line)))?;
        Ok((&line[..space], &line[space + 1..]))
    }

    /// The next header, which must be this one.
    fn take(&mut self, wanted: &'static str) -> Result<&'a [u8], CommitError> {
        let (name, value) = self.next()?;
        if name == wanted.as_bytes() {
            Ok(value)
        } else {
            Err(CommitError::Order {
                found: clip(name),
                wanted,
            })
        }
    }

    /// The next header, if it is this one.
    fn take_if(&mut self, wanted: &'static str) -> Option<&'a [u8]> {
        let is_it = self
            .rest
            .strip_prefix(wanted.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&b' '));
        if is_it { self.take(wanted).ok() } else { None }
    }

    /// A value with the lines that continue it (they begin with a space), each with its LF.
    fn continued(&mut self, first: &[u8]) -> Result<Vec<u8>, CommitError> {
        let mut value = first.to_vec();
        value.push(b'\n');
        while self.rest.first() == Some(&b' ') {
            value.extend_from_slice(&self.line()?[1..]);
            value.push(b'\n');
        }
        Ok(value)
    }
}

fn id(value: &[u8], what: &'static str) -> Result<Oid, CommitError> {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(CommitError::Value(what))
}

fn clip(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned()
}

impl Ident {
    /// `Name <address> 1700000000 +0100`
    fn parse(value: &[u8]) -> Option<Self> {
        let open = value.iter().position(|&b| b == b'<')?;
        let close = open + value[open..].iter().position(|&b| b == b'>')?;
        let name = String::from_utf8_lossy(&value[..open])
            .trim_end()
            .to_owned();
        let email = String::from_utf8_lossy(&value[open + 1..close]).into_owned();
        let when = std::str::from_utf8(value[close + 1..].strip_prefix(b" ")?).ok()?;
        let (seconds, zone) = when.split_once(' ')?;
        let (sign, digits) = zone.split_at_checked(1)?;
        let is_zone = matches!(sign, "+" | "-")
            && digits.len() == 4
            && digits.bytes().all(|b| b.is_ascii_digit());
        let is_number = !seconds.is_empty()
            && seconds.len() <= 12
            && seconds.bytes().all(|b| b.is_ascii_digit());
        (is_zone && is_number).then_some(())?;
        Some(Self {
            name,
            email,
            seconds: seconds.parse().ok()?,
        })
    }
}
