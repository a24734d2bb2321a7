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
    #[error("the agent is not running here: no socket at {0}")]
    NotRunning(String),
    #[error("you may not act on this box: {0} is closed to you")]
    NotAllowed(String),
    #[error("the control socket {path}: {source}")]
    Socket { path: String, source: io::Error },
    #[error("the agent ended before it answered")]
    Ended,
    #[error("the agent's answer is not understood, it may be of another version: {0}")]
    Frame(#[from] crate::frame::FrameError),
}

impl ClientError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotRunning(_) => {
                Some("start it with: swarm-agent run, or: systemctl start swarm-agent")
            }
            Self::NotAllowed(_) => Some("root and members of the group swarm-operators may"),
            Self::Ended => Some("it is started again by itself where systemd runs it; try again"),
            Self::Socket { .. } | Self::Frame(_) => None,
        }
    }

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
    decoder: Decoder,
    buffer: Vec<u8>,
}

/// Connects to the control socket at `path`.
pub fn connect(path: &Path) -> Result<Connection, ClientError> {
    let shown = path.display().to_string();
    match UnixStream::connect(path) {
        Ok(stream) => Ok(Connection::over(stream, shown)),
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
    /// Over a socket that leads to the supervisor already; `path` names it for people.
    pub fn over(stream: UnixStream, path: String) -> Self {
        Self {
            stream,
            path,
            decoder: Decoder::new(),
            buffer: vec![0; 64 << 10],
        }
    }

    /// Sends the request.
    pub fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        match self.stream.write_all(&encode(request)) {
            // It may have said why before it hung up.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(source) => Err(ClientError::Socket {
                path: self.path.clone(),
                source,
            }),
            Ok(()) => Ok(()),
        }
    }

    /// The next response; the last one is `Done`, `Failed` or `Busy`.
    pub fn receive(&mut self) -> Result<Response, ClientError> {
        loop {
            if let Some(response) = self.decoder.next_frame()? {
                return Ok(response);
            }
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Err(ClientError::Ended),
                Ok(count) => self.decoder.push(&self.buffer[..count]),
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

    /// Every response to a request, up to the last.
    pub fn ask(mut self, request: &Request) -> Result<Vec<Response>, ClientError> {
        self.send(request)?;
        let mut responses = Vec::new();
        loop {
            let response = self.receive()?;
            let last = response.is_last();
            responses.push(response);
            if last {
                return Ok(responses);
            }
        }
    }
}

impl Response {
    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. } | Self::Busy)
    }
}
