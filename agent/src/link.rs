//! The supervisor's socket: frames in and out, bounded, ending when it closes.
//!
//! Touches descriptor 3, which the supervisor hands down.

use anyhow::{Context, bail};
use serde::Serialize;
use std::{
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
};
use swarm_supervisor::{
    frame::{Decoder, encode},
    os::pass,
    protocol::{FromAgent, MAX_FRAME, ToAgent},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

/// So many messages may wait on either side of the socket.
const WAITING: usize = 256;
const CLOSED: &str = "the supervisor's socket closed";

/// Both directions, as channels.
pub struct Link {
    /// What the supervisor says; closed when its socket is.
    pub heard: mpsc::Receiver<ToAgent>,
    /// What the agent says.
    pub say: mpsc::Sender<Said>,
}

/// A message for the supervisor.
pub struct Said {
    message: FromAgent,
    /// Goes with it.
    memory: Option<Rc<OwnedFd>>,
}

impl Said {
    /// A message that hands memory over.
    pub fn with(message: FromAgent, memory: Rc<OwnedFd>) -> Self {
        Self {
            message,
            memory: Some(memory),
        }
    }

    /// What goes with it.
    pub fn memory(&self) -> Option<&Rc<OwnedFd>> {
        self.memory.as_ref()
    }
}

impl From<FromAgent> for Said {
    fn from(message: FromAgent) -> Self {
        Self {
            message,
            memory: None,
        }
    }
}

/// Takes the socket over. The two futures move the bytes; they end when the socket closes.
pub fn link(
    stream: UnixStream,
) -> (
    Link,
    impl Future<Output = anyhow::Result<()>>,
    impl Future<Output = anyhow::Result<()>>,
) {
    let (read, write) = stream.into_split();
    let (to_core, heard) = mpsc::channel(WAITING);
    let (say, from_core) = mpsc::channel::<Said>(WAITING);
    (
        Link { heard, say },
        hear(read, to_core),
        say_on(write, from_core),
    )
}

async fn say_on(
    mut write: OwnedWriteHalf,
    mut from_core: mpsc::Receiver<Said>,
) -> anyhow::Result<()> {
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(said) => said,
            None => match from_core.recv().await {
                Some(said) => said,
                None => return Ok(()),
            },
        };
        let mut bytes = framed(&first.message)?;
        // What waits goes out at once: a thousand workflows in a few writes. What hands something over begins a new one.
        while bytes.len() < 64 << 10 {
            match from_core.try_recv() {
                Ok(said) if said.memory.is_none() => bytes.extend(framed(&said.message)?),
                Ok(said) => {
                    next = Some(said);
                    break;
                }
                Err(_) => break,
            }
        }
        let mut sent = 0;
        if let Some(memory) = &first.memory {
            let socket: &UnixStream = write.as_ref();
            let send = || pass::send(&socket.as_fd(), &bytes, memory);
            sent = socket
                .async_io(Interest::WRITABLE, send)
                .await
                .context(CLOSED)?;
        }
        write.write_all(&bytes[sent..]).await.context(CLOSED)?;
    }
}

fn framed<T: Serialize>(message: &T) -> anyhow::Result<Vec<u8>> {
    let bytes = encode(message);
    if bytes.len() > MAX_FRAME {
        bail!(
            "a message of {} bytes does not fit the supervisor's socket",
            bytes.len()
        );
    }
    Ok(bytes)
}

async fn hear(mut read: OwnedReadHalf, to: mpsc::Sender<ToAgent>) -> anyhow::Result<()> {
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = read
            .read(&mut buffer)
            .await
            .context("the supervisor's socket")?;
        if length == 0 {
            return Ok(());
        }
        decoder.push(&buffer[..length]);
        while let Some(message) = decoder
            .next_frame::<ToAgent>()
            .context("the supervisor's socket")?
        {
            if to.send(message).await.is_err() {
                return Ok(());
            }
        }
    }
}
