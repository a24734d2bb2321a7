//! Git's pkt-lines: bytes come in as they arrive, packets go out. Pure.
//!
//! `gitprotocol-common(5)`: four hexadecimal digits of length, themselves included, then the payload.

use std::ops::Range;

/// The longest payload of one packet.
pub const MAX_PAYLOAD: usize = 65_516;

/// What is no pkt-line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PktError {
    /// The first four bytes are no hexadecimal number.
    #[error("a packet begins with {0:?} instead of its length")]
    Length(String),
    /// A length that no packet has.
    #[error("a packet says that it is {0} bytes long")]
    Size(usize),
}

/// One packet; data as the place where [`Decoder::data`] has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// `0000`
    Flush,
    /// `0001`
    Delimiter,
    /// `0002`
    ResponseEnd,
    /// A payload.
    Data(Range<usize>),
}

/// Takes a stream of bytes apart.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// More bytes of the stream. Ranges handed out before mean nothing afterwards.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet; None while some of it is missing.
    pub fn take(&mut self) -> Result<Option<Packet>, PktError> {
        let rest = &self.buffer[self.start..];
        let Some(head) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = length(*head)?;
        let packet = match length {
            0 => Packet::Flush,
            1 => Packet::Delimiter,
            2 => Packet::ResponseEnd,
            3 => return Err(PktError::Size(3)),
            _ if length > MAX_PAYLOAD + 4 => return Err(PktError::Size(length)),
            _ if rest.len() < length => return Ok(None),
            _ => Packet::Data(self.start + 4..self.start + length),
        };
        self.start += length.max(4);
        Ok(Some(packet))
    }

    /// The payload of the packet that [`Decoder::take`] gave last.
    pub fn data(&self, place: Range<usize>) -> &[u8] {
        self.buffer.get(place).unwrap_or_default()
    }

    /// Whether every byte so far belonged to a packet that was taken.
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }
}

fn length(head: [u8; 4]) -> Result<usize, PktError> {
    let mut bytes = [0; 2];
    hex::decode_to_slice(head, &mut bytes)
        .map_err(|_| PktError::Length(head.escape_ascii().to_string()))?;
    Ok(usize::from(u16::from_be_bytes(bytes)))
}

/// Appends one line of a request, with the newline that git's own client sends.
///
/// # Panics
/// Where the line is longer than [`MAX_PAYLOAD`]: requests are made of our own short words.
pub fn line(request: &mut Vec<u8>, text: &str) {
    assert!(text.len() < MAX_PAYLOAD, "a request's line is short");
    request.extend_from_slice(format!("{:04x}", text.len() + 5).as_bytes());
    request.extend_from_slice(text.as_bytes());
    request.push(b'\n');
}

/// Appends a flush packet.
pub fn flush(request: &mut Vec<u8>) {
    request.extend_from_slice(b"0000");
}

/// Appends a delimiter packet.
pub fn delimiter(request: &mut Vec<u8>) {
    request.extend_from_slice(b"0001");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(decoder: &mut Decoder) -> Vec<Result<Packet, PktError>> {
        std::iter::from_fn(|| decoder.take().transpose())
            .take(10)
            .collect()
    }

    #[test]
    fn what_is_written_is_read_back_however_it_arrives() {
        let mut wire = Vec::new();
        line(&mut wire, "command=ls-refs");
        delimiter(&mut wire);
        line(&mut wire, "ref-prefix refs/heads/main");
        flush(&mut wire);
        for step in 1..=wire.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in wire.chunks(step) {
                decoder.push(part);
                while let Some(packet) = decoder.take().unwrap() {
                    seen.push(match packet {
                        Packet::Data(place) => {
                            String::from_utf8(decoder.data(place).to_vec()).unwrap()
                        }
                        other => format!("{other:?}"),
                    });
                }
            }
            assert_eq!(
                seen,
                [
                    "command=ls-refs\n",
                    "Delimiter",
                    "ref-prefix refs/heads/main\n",
                    "Flush"
                ],
                "in steps of {step}"
            );
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn a_length_that_is_none_is_refused() {
        for bad in ["zzzz", "<htm", "0003", "ffff", "fff1", "-001", "+00f"] {
            let mut decoder = Decoder::default();
            decoder.push(bad.as_bytes());
            assert!(matches!(all(&mut decoder)[..], [Err(_), ..]), "{bad}");
        }
    }

    #[test]
    fn an_empty_payload_is_a_packet() {
        let mut decoder = Decoder::default();
        decoder.push(b"0004");
        assert_eq!(decoder.take(), Ok(Some(Packet::Data(4..4))));
    }

    #[test]
    fn the_longest_packet_is_taken() {
        let mut decoder = Decoder::default();
        decoder.push(b"fff0");
        decoder.push(&vec![7; MAX_PAYLOAD]);
        assert_eq!(decoder.take(), Ok(Some(Packet::Data(4..MAX_PAYLOAD + 4))));
    }
}
