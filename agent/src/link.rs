//! The supervisor's socket: frames in and out, bounded, ending when it closes.
//!
//! Touches descriptor 3, which the supervisor hands down.

use anyhow::{Context, bail};
use serde::Serialize;
use swarm_supervisor::{
    frame::{Decoder, encode},
    protocol::{FromAgent, MAX_FRAME, ToAgent},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixStream, unix::OwnedReadHalf},
    sync::mpsc,
};

/// So many messages may wait on either side of the socket.
const WAITING: usize = 256;

/// Both directions, as channels.
pub struct Link {
    /// What the supervisor says; closed when its socket is.
    pub heard: mpsc::Receiver<ToAgent>,
    /// What the agent says.
    pub say: mpsc::Sender<FromAgent>,
}

/// Takes the socket over. The two futures move the bytes; they end when the socket closes.
pub fn link(
    stream: UnixStream,
) -> (
    Link,
    impl Future<Output = anyhow::Result<()>>,
    impl Future<Output = anyhow::Result<()>>,
) {
    let (read, mut write) = stream.into_split();
    let (to_core, heard) = mpsc::channel(WAITING);
    let (say, mut from_core) = mpsc::channel::<FromAgent>(WAITING);
    let writer = async move {
        while let Some(message) = from_core.recv().await {
            let mut bytes = framed(&message)?;
            // What waits goes out at once: a thousand workflows in a few writes.
            while bytes.len() < 64 << 10 {
                let Ok(message) = from_core.try_recv() else {
                    break;
                };
                bytes.extend(framed(&message)?);
            }
            write
                .write_all(&bytes)
                .await
                .context("the supervisor's socket closed")?;
        }
        Ok(())
    };
    (Link { heard, say }, hear(read, to_core), writer)
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
