//! A question that is asked again, byte for byte, until its answer is another one. In: a connection with its last exchange.
//! Out: whether the answer is the same.
//!
//! Made for looks that find nothing, which are most of all that a box ever asks: one write, one read, one comparison. Only that
//! an answer is the same is ever concluded here; whatever else comes is asked again by the client, which understands it. Touches
//! the connection, and blocks whoever calls.

use crate::line::{Exchange, Line, SHORT};
use std::time::{Duration, Instant};

/// How long the server may say nothing, and how long it may take in all.
const IDLE: Duration = Duration::from_secs(15);
const WHOLE: Duration = Duration::from_secs(30);

/// What came of asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The same answer.
    Same,
    /// Another one, or not all of it in time.
    Other,
    /// Nothing: the server had closed the connection.
    Closed,
}

/// A question that was answered, and the connection.
pub struct Echo {
    line: Line,
    exchange: Exchange,
    asked: Instant,
    fresh: Duration,
    last: Heard,
    /// How often the answer was the same.
    echoes: u64,
}

impl Echo {
    /// Of a connection on which nothing is under way, used last at `asked` and trusted to be alive for `fresh`. The connection
    /// again where what was asked last cannot be asked so.
    pub(crate) fn of(
        mut line: Line,
        asked: Instant,
        fresh: Duration,
    ) -> Result<Self, Option<Line>> {
        let Some(exchange) = line.last.take_whole() else {
            return Err(Some(line));
        };
        line.block(IDLE).map_err(|_| None)?;
        Ok(Self {
            line,
            exchange,
            asked,
            fresh,
            last: Heard::Same,
            echoes: 0,
        })
    }

    /// Asks again. After another answer than the same one there is nothing more to ask here.
    pub fn ask(&mut self) -> Heard {
        if self.last == Heard::Same {
            let begun = Instant::now();
            self.last = if begun - self.asked < self.fresh {
                self.exchange(begun)
            } else {
                Heard::Other
            };
            self.asked = begun;
            self.echoes += u64::from(self.last == Heard::Same);
        }
        self.last
    }

    fn exchange(&mut self, begun: Instant) -> Heard {
        self.line.give(WHOLE);
        if self.line.send(&self.exchange.said).is_err() {
            return Heard::Closed;
        }
        let mut buffer = [0; SHORT];
        let mut length = 0;
        while length < buffer.len() && begun.elapsed() < WHOLE {
            match self.line.receive(&mut buffer[length..]) {
                Ok(read @ 1..) => length += read,
                Ok(0) | Err(_) if length == 0 => return Heard::Closed,
                Ok(_) | Err(_) => return Heard::Other,
            }
            match is_same(&self.exchange.heard, &buffer[..length]) {
                Some(true) => return Heard::Same,
                Some(false) => return Heard::Other,
                None => {}
            }
        }
        Heard::Other
    }

    /// Whether the server closes what is kept open before it is asked again.
    pub(crate) fn is_of_no_use(&self) -> bool {
        self.last == Heard::Closed && self.echoes == 0
    }

    /// The connection, with when it was used last; none where it is not fit for another request.
    pub(crate) fn into_line(mut self) -> Option<(Line, Instant)> {
        let is_well = self.last == Heard::Same && self.line.watch().is_ok();
        self.line.last = self.exchange;
        is_well.then_some((self.line, self.asked))
    }
}

/// Whether an answer in HTTP/1.1 says the same as an earlier one: its status and its whole body, byte for byte, framing included.
/// Dates and the like in its head differ each time. None: so far it does, and there is more to come.
fn is_same(earlier: &[u8], now: &[u8]) -> Option<bool> {
    let Some((status, body)) = parts(earlier) else {
        return Some(false);
    };
    let is_success = status.starts_with(b"HTTP/1.1 200 ");
    if !is_success || body.is_empty() {
        return Some(false);
    }
    let Some((status_now, body_now)) = parts(now) else {
        let short = now.len().min(status.len());
        return (now[..short] != status[..short]).then_some(false);
    };
    if status_now != status || !body.starts_with(body_now) {
        return Some(false);
    }
    (body_now.len() == body.len()).then_some(true)
}

/// The status line and the body.
fn parts(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = |pattern: &[u8]| answer.windows(pattern.len()).position(|at| at == pattern);
    Some((&answer[..end(b"\r\n")?], &answer[end(b"\r\n\r\n")? + 4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &[u8] =
        b"HTTP/1.1 200 OK\r\nDate: Mon\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";

    #[test]
    fn an_answer_is_the_same_by_status_and_whole_body_alone() {
        let same = b"HTTP/1.1 200 OK\r\nX-Id: 7\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
        assert_eq!(is_same(EARLIER, same), Some(true));
        for length in 0..same.len() {
            assert_eq!(
                is_same(EARLIER, &same[..length]),
                None,
                "{length} bytes of it"
            );
        }
        for other in [
            &b"HTTP/1.1 200 OK\r\n\r\n5\r\nabcdX\r\n0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n5\r\nabcde\r\n0\r\n\r\nH",
            b"HTTP/1.1 200 OK\r\n\r\nabcde",
            b"HTTP/1.1 401 Unauthorized\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
            b"HTTP/1.1 5",
            b"HTTP/1.1 200 Fine\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        ] {
            let text = String::from_utf8_lossy(other);
            assert_eq!(is_same(EARLIER, other), Some(false), "{text}");
        }
    }

    #[test]
    fn what_was_no_success_or_had_no_body_is_never_the_same() {
        for earlier in [
            &b"HTTP/1.1 304 Not Modified\r\n\r\nx"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"no http",
        ] {
            assert_eq!(is_same(earlier, earlier), Some(false));
        }
    }
}
