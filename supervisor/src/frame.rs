//! Framing: values come in, length-prefixed JSON goes out, and the other way round. Pure.
//!
//! A frame is a big-endian `u32` length (at most [`MAX_FRAME`]) and that many bytes of JSON. Whoever owns a socket, blocking, epoll or
//! tokio, moves the bytes itself.

use serde::{Serialize, de::DeserializeOwned};

/// The longest frame, in bytes.
pub const MAX_FRAME: usize = 16 << 20;

/// Why what came over a socket is not a frame. The connection is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length says more than [`MAX_FRAME`].
    #[error("a frame of {0} bytes, more than the {MAX_FRAME} that are taken")]
    TooLarge(usize),
    /// Not the JSON that is spoken here.
    #[error("a frame that is not understood: {0}")]
    Json(#[from] serde_json::Error),
}

/// One value as a frame.
///
/// # Panics
/// Never: wire types have text keys only and fail to serialize in no other way.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, value).expect("wire types serialize");
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Takes bytes as they arrive and gives whole values.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// What is read already; dropped when the buffer grows, so that many small frames in one read cost no copies.
    start: usize,
}

impl Decoder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes from the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole value; none: more bytes are needed.
    pub fn next_frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let unread = &self.buffer[self.start..];
        let Some((head, body)) = unread.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLarge(length));
        }
        let Some(body) = body.get(..length) else {
            return Ok(None);
        };
        let value = serde_json::from_slice(body)?;
        self.start += 4 + length;
        if self.start == self.buffer.len() {
            // A large frame must not cost its memory for ever.
            self.buffer = Vec::new();
            self.start = 0;
        }
        Ok(Some(value))
    }

    /// Bytes that are kept until their frame is whole.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Request;

    #[test]
    fn frames_come_out_however_the_bytes_were_cut() {
        let sent = [
            Request::List { full: false },
            Request::Purge {
                workflow: "ramp".into(),
            },
            Request::List { full: false },
        ];
        let bytes: Vec<u8> = sent.iter().flat_map(encode).collect();
        for size in 1..bytes.len() {
            let mut decoder = Decoder::new();
            let mut got = Vec::new();
            for part in bytes.chunks(size) {
                decoder.push(part);
                while let Some(request) = decoder.next_frame::<Request>().expect("good frames") {
                    got.push(request);
                }
            }
            assert_eq!(got, sent, "cut into {size}");
            assert_eq!(decoder.buffered(), 0);
        }
    }

    #[test]
    fn a_frame_that_claims_too_much_is_refused_before_it_is_read() {
        let mut decoder = Decoder::new();
        decoder.push(&u32::MAX.to_be_bytes());
        assert!(matches!(
            decoder.next_frame::<Request>(),
            Err(FrameError::TooLarge(_))
        ));
    }

    #[test]
    fn a_frame_of_something_else_is_an_error() {
        let mut decoder = Decoder::new();
        decoder.push(&encode(&"hello"));
        assert!(matches!(
            decoder.next_frame::<Request>(),
            Err(FrameError::Json(_))
        ));
    }
}
