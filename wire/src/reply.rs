//! An answer of a git server, packet by packet, whichever way it comes. Touches what it reads from.

use crate::{
    bounds::{Exceeded, Meter},
    http::{HttpError, Streaming},
    pipe::{self, Ended, Session},
    pkt::{Decoder, Packet},
    protocol::{Capabilities, NotARef, Unfit},
};
use std::ops::Range;
use swarm_manifests::{
    problem::Refusal,
    rules::{Rule, remote as rules},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::timeout_at,
};

/// What it means that a process ended too early.
pub(crate) type Judge = fn(&str, &Ended) -> Refusal;

/// Where the bytes come from.
pub(crate) enum Source<'a> {
    /// The body of an HTTP answer.
    Http(Box<Streaming<'a>>),
    /// A process.
    Pipe(Box<Session>, Judge),
}

/// An answer under way.
pub(crate) struct Reply<'a> {
    source: Source<'a>,
    decoder: Decoder,
    shown: &'a str,
    /// What a reader of a refusal wants to know about where more came than allowed.
    pub too_much: &'static Rule,
}

impl<'a> Reply<'a> {
    pub fn new(source: Source<'a>, shown: &'a str) -> Self {
        Self {
            source,
            decoder: Decoder::default(),
            shown,
            too_much: &rules::PROTOCOL,
        }
    }

    /// The next packet; None where the answer ends, between two packets.
    async fn packet(&mut self, meter: &mut Meter) -> Result<Option<Packet>, Refusal> {
        loop {
            match self.decoder.take() {
                Ok(Some(packet)) => return Ok(Some(packet)),
                Ok(None) => {}
                Err(error) => {
                    return Err(self.protocol(&format!(
                        "answered with something else than git's protocol: {error}"
                    )));
                }
            }
            if !self.more(meter).await? {
                return match self.source {
                    _ if self.decoder.is_empty() => Ok(None),
                    Source::Http(_) => {
                        Err(self
                            .refuse(self.too_much, "ended its answer in the middle of a packet"))
                    }
                    Source::Pipe(..) => Err(self.early_end().await),
                };
            }
        }
    }

    /// The next packet of a section; the answer's early end is the reason where there is one.
    async fn expect(&mut self, meter: &mut Meter) -> Result<Packet, Refusal> {
        match self.packet(meter).await? {
            Some(Packet::Data(place)) => {
                if let Some(error) = self.decoder.data(place.clone()).strip_prefix(b"ERR ") {
                    return Err(self.refuse(
                        &rules::UNREACHABLE,
                        &format!("says: {}", pipe::one_line(error)),
                    ));
                }
                Ok(Packet::Data(place))
            }
            Some(packet) => Ok(packet),
            None => Err(self.early_end().await),
        }
    }

    /// Reads more; false at the end.
    async fn more(&mut self, meter: &mut Meter) -> Result<bool, Refusal> {
        let deadline = meter.next();
        let read = match &mut self.source {
            Source::Http(streaming) => match streaming.chunk(deadline).await {
                Ok(Some(bytes)) => {
                    self.decoder.push(&bytes);
                    bytes.len()
                }
                Ok(None) => 0,
                Err(HttpError::Late { .. }) => return Err(self.exceeded(&meter.late())),
                Err(error) => return Err(error.refusal(self.shown)),
            },
            Source::Pipe(session, _) => match timeout_at(deadline, session.chunk()).await {
                Ok(Ok(bytes)) => {
                    self.decoder.push(bytes);
                    bytes.len()
                }
                Ok(Err(error)) => return Err(self.refuse(&rules::UNREACHABLE, &error.to_string())),
                Err(_) => return Err(self.exceeded(&meter.late())),
            },
        };
        meter
            .count(read)
            .map_err(|exceeded| self.exceeded(&exceeded))?;
        Ok(read > 0)
    }

    /// Reads the advertisement. `# service=…` and a flush may stand before it over HTTP.
    pub async fn capabilities(&mut self, meter: &mut Meter) -> Result<Capabilities, Refusal> {
        let mut capabilities = Capabilities::default();
        let mut first = true;
        loop {
            match self.expect(meter).await? {
                Packet::Data(place) => {
                    let line = self.decoder.data(place);
                    let announced = first && line.starts_with(b"# service=");
                    if !announced && let Err(unfit) = capabilities.read(line) {
                        return Err(self.unfit(unfit));
                    }
                    first = false;
                    if announced && self.expect(meter).await? != Packet::Flush {
                        return Err(self.protocol("announced its service, and then no flush came"));
                    }
                }
                Packet::Flush => break,
                other => {
                    return Err(self.protocol(&format!(
                        "sent a packet of another kind ({other:?}) among its capabilities"
                    )));
                }
            }
        }
        capabilities.check().map_err(|unfit| self.unfit(unfit))?;
        Ok(capabilities)
    }

    /// Hands each line of a section on, up to the flush.
    pub async fn lines<T>(
        &mut self,
        meter: &mut Meter,
        mut found: impl FnMut(&[u8]) -> Result<Option<T>, NotARef>,
    ) -> Result<Option<T>, Refusal> {
        let mut answer = None;
        loop {
            match self.expect(meter).await {
                Ok(Packet::Data(place)) => match found(self.decoder.data(place)) {
                    Ok(one) => answer = answer.or(one),
                    Err(wrong @ NotARef::Garbled) => return Err(self.protocol(&wrong.to_string())),
                    Err(wrong @ NotARef::Broken) => {
                        return Err(self.refuse(&rules::BRANCH, &wrong.to_string()));
                    }
                },
                Ok(Packet::Flush) => return Ok(answer),
                Ok(other) => {
                    return Err(self.protocol(&format!(
                        "sent a packet of another kind ({other:?}) among its references"
                    )));
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Writes the pack out of a `fetch` answer; gives its length back.
    pub async fn pack(
        &mut self,
        meter: &mut Meter,
        pack: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<u64, Refusal> {
        match self.expect(meter).await? {
            Packet::Data(place) if self.decoder.data(place.clone()) == b"packfile\n" => {}
            Packet::Data(place) => {
                let said = pipe::one_line(self.decoder.data(place));
                return Err(self.protocol(&format!("sent {said:?} where the pack should begin")));
            }
            other => {
                return Err(self.protocol(&format!("sent {other:?} where the pack should begin")));
            }
        }
        let mut length = 0;
        loop {
            match self.expect(meter).await? {
                Packet::Data(place) => length += self.band(meter, place, pack).await?,
                Packet::Flush => break,
                other => {
                    return Err(self.protocol(&format!(
                        "sent a packet of another kind ({other:?}) within the pack"
                    )));
                }
            }
        }
        if timeout_at(meter.end(), pack.flush()).await.is_err() {
            return Err(self.exceeded(&meter.late()));
        }
        Ok(length)
    }

    /// One packet of the sideband: 1 is the pack, 2 talk, 3 the server's last words.
    async fn band(
        &mut self,
        meter: &Meter,
        place: Range<usize>,
        pack: &mut (dyn AsyncWrite + Unpin + Send),
    ) -> Result<u64, Refusal> {
        match self.decoder.data(place) {
            [1, bytes @ ..] => match timeout_at(meter.end(), pack.write_all(bytes)).await {
                Ok(Ok(())) => Ok(bytes.len() as u64),
                Ok(Err(error)) => Err(self.refuse(
                    &rules::PACK,
                    &format!("sent a pack that nobody takes: {error}"),
                )),
                Err(_) => Err(self.exceeded(&meter.late())),
            },
            [2, ..] => Ok(0),
            [3, words @ ..] => Err(self.refuse(
                &rules::UNREACHABLE,
                &format!("gave up: {}", pipe::one_line(words)),
            )),
            _ => Err(self.protocol("sent a packet of an unknown band within the pack")),
        }
    }

    /// A request, where it goes over pipes.
    pub async fn send(&mut self, request: &[u8], meter: &Meter) -> Result<(), Refusal> {
        let Source::Pipe(session, _) = &mut self.source else {
            return Ok(());
        };
        match timeout_at(meter.end(), session.send(request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.early_end().await),
            Err(_) => Err(self.exceeded(&meter.late())),
        }
    }

    /// The answer is whole: an HTTP body is read to its end, which frees the connection; a process can be asked again.
    pub async fn finish(mut self, meter: &mut Meter) -> Result<Option<Box<Session>>, Refusal> {
        let more = match &self.source {
            Source::Http(_) => self.packet(meter).await?.is_some(),
            Source::Pipe(..) => !self.decoder.is_empty(),
        };
        match self.source {
            _ if more => Err(self.protocol("went on after the end of its answer")),
            Source::Http(_) => Ok(None),
            Source::Pipe(session, _) => Ok(Some(session)),
        }
    }

    /// What the end of the answer means that came too early.
    async fn early_end(&mut self) -> Refusal {
        match &mut self.source {
            Source::Http(_) => self.protocol("ended its answer early"),
            Source::Pipe(session, judge) => judge(self.shown, &session.end().await),
        }
    }

    fn refuse(&self, rule: &'static Rule, what: &str) -> Refusal {
        Refusal::new(rule, format!("{} {what}", self.shown))
    }

    fn protocol(&self, what: &str) -> Refusal {
        self.refuse(&rules::PROTOCOL, what)
    }

    fn unfit(&self, unfit: Unfit) -> Refusal {
        match (unfit, &self.source) {
            (Unfit::ObjectFormat, _) => self.refuse(&rules::OBJECT_FORMAT, &unfit.to_string()),
            (Unfit::Version, Source::Pipe(..)) => self
                .refuse(&rules::PROTOCOL, &unfit.to_string())
                .hint("set AcceptEnv GIT_PROTOCOL in the server's sshd_config"),
            (Unfit::Version, Source::Http(_)) => self
                .refuse(&rules::PROTOCOL, &unfit.to_string())
                .hint("a proxy before the git server must pass the Git-Protocol header on"),
            (Unfit::Command(_), _) => self.refuse(&rules::PROTOCOL, &unfit.to_string()),
        }
    }

    fn exceeded(&self, exceeded: &Exceeded) -> Refusal {
        let rule = if matches!(exceeded, Exceeded::Bytes(_)) {
            self.too_much
        } else {
            &rules::UNREACHABLE
        };
        self.refuse(rule, &exceeded.to_string())
    }
}
