//! A git server at the other end of two pipes: `git upload-pack` here, or over ssh. Touches processes.
//!
//! Its error output is read only when it ends: an honest server's fits into the pipe, and one that fills it is cut by the bounds.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// How long a server that has nothing more to say may take to end before it is killed.
const ENDING: Duration = Duration::from_secs(2);
/// So much of what a server complains about is kept.
const COMPLAINT: u64 = 4096;

/// A running server.
pub struct Session {
    child: Child,
    /// All three are closed when it is to end.
    pipes: Option<(ChildStdin, ChildStdout, ChildStderr)>,
    buffer: Box<[u8]>,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// None: it had to be killed.
    pub status: Option<ExitStatus>,
    /// What it complained about: one line, printable.
    pub complaint: String,
}

impl Session {
    /// Starts it; it is killed when this is dropped.
    pub fn start(mut command: Command) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let pipes = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Some((stdin, stdout, stderr)),
            _ => return Err(io::Error::other("a pipe that was asked for is not there")),
        };
        Ok(Self {
            child,
            pipes,
            buffer: vec![0; 64 << 10].into(),
        })
    }

    /// Whether it has not ended by itself.
    pub fn is_alive(&mut self) -> bool {
        self.pipes.is_some() && matches!(self.child.try_wait(), Ok(None))
    }

    /// Writes all of it.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.pipes {
            Some((stdin, ..)) => stdin.write_all(bytes).await,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// What comes next; empty at the end.
    pub async fn chunk(&mut self) -> io::Result<&[u8]> {
        let Some((_, stdout, _)) = &mut self.pipes else {
            return Ok(&[]);
        };
        let length = stdout.read(&mut self.buffer).await?;
        Ok(&self.buffer[..length])
    }

    /// Says goodbye and waits; kills what does not go.
    pub async fn end(&mut self) -> Ended {
        let mut complaint = Vec::new();
        let status = timeout(ENDING, async {
            if let Some((stdin, stdout, stderr)) = self.pipes.take() {
                drop((stdin, stdout));
                drop(stderr.take(COMPLAINT).read_to_end(&mut complaint).await);
            }
            self.child.wait().await.ok()
        });
        let status = status.await.ok().flatten();
        if status.is_none() {
            drop(self.child.kill().await);
        }
        Ended {
            status,
            complaint: one_line(&complaint),
        }
    }
}

/// Text from outside as one printable line: what is no text, and what could move a cursor, is left out.
pub fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text
        .lines()
        .map(|line| line.chars().filter(|c| !hides(*c)).collect::<String>());
    let kept: Vec<_> = lines
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    kept.join("; ").chars().take(600).collect()
}

/// Control and bidirectional characters.
fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_move_the_cursor() {
        assert_eq!(
            one_line(b"fatal: \x1b[31mno\x1b[0m\r\n\n  such\0 thing \xff\n"),
            "fatal: [31mno[0m; such thing \u{fffd}"
        );
        assert_eq!(one_line(&[b'x'; 9000]).len(), 600);
    }
}
