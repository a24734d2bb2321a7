//! The other side of the control socket, for the command line: one request goes in, its responses come out. Blocking.

use crate::{
    frame::{Decoder, encode},
    protocol::{Request, Response},
};
use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

/// Why there is no answer; [`ClientError::exit`] is the exit code of SPEC §6.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ClientError {
    #[error(
        "the agent is not running here: no socket at {0}; start it with: swarm-agent run (or systemctl start swarm-agent)"
    )]
    NotRunning(String),
    #[error(
        "you may not act on this box: {0} is closed to you; root and members of the group swarm-operators may"
    )]
    NotAllowed(String),
    #[error("the control socket {path}: {source}")]
    Socket { path: String, source: io::Error },
    #[error("the agent ended before it answered")]
    Ended,
    #[error("the agent's answer is not understood, it may be of another version: {0}")]
    Frame(#[from] crate::frame::FrameError),
}

impl ClientError {
    /// The exit code for it.
    pub fn exit(&self) -> u8 {
        match self {
            Self::NotAllowed(_) => 4,
            Self::NotRunning(_) | Self::Socket { .. } | Self::Ended => 5,
            Self::Frame(_) => 1,
        }
    }
}

/// A connection for one request.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    path: String,
}

/// The responses to a request; the last one is `Done` or `Failed`.
#[derive(Debug)]
pub struct Responses {
    stream: UnixStream,
    path: String,
    decoder: Decoder,
    over: bool,
}

/// Connects to the control socket at `path`.
pub fn connect(path: &Path) -> Result<Connection, ClientError> {
    let shown = path.display().to_string();
    match UnixStream::connect(path) {
        Ok(stream) => Ok(Connection {
            stream,
            path: shown,
        }),
        Err(error) => Err(match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning(shown)
            }
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed(shown),
            _ => ClientError::Socket {
                path: shown,
                source: error,
            },
        }),
    }
}

impl Connection {
    /// Sends the request.
    pub fn send(mut self, request: &Request) -> Result<Responses, ClientError> {
        self.stream
            .write_all(&encode(request))
            .map_err(|source| ClientError::Socket {
                path: self.path.clone(),
                source,
            })?;
        Ok(Responses {
            stream: self.stream,
            path: self.path,
            decoder: Decoder::new(),
            over: false,
        })
    }
}

impl Responses {
    fn read(&mut self) -> Result<Response, ClientError> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(response) = self.decoder.next_frame()? {
                return Ok(response);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ClientError::Ended),
                Ok(count) => self.decoder.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(ClientError::Ended);
                }
                Err(source) => {
                    return Err(ClientError::Socket {
                        path: self.path.clone(),
                        source,
                    });
                }
            }
        }
    }
}

impl Iterator for Responses {
    type Item = Result<Response, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let response = self.read();
        self.over = !matches!(
            response,
            Ok(Response::Rows(_) | Response::Log(_) | Response::Record(_) | Response::Body(_))
        );
        Some(response)
    }
}
