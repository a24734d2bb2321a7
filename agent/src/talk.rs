//! What supervisor and agent say on stderr while they run: `info` and above, or what `RUST_LOG` asks for.
//!
//! Touches stderr, and never waits for it: a journal that reads no more must not hold up a supervisor.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    stdio::stderr,
};
use std::{
    io::{self, IsTerminal as _, Write},
    os::fd::BorrowedFd,
};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// What a pipe that is ready takes without waiting: `PIPE_BUF` of pipe(7).
const AT_ONCE: usize = 4096;

/// From now on it is heard. Once for a process.
pub fn begin() {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let talk = tracing_subscriber::fmt()
        .with_writer(|| Unhurried(stderr()))
        .with_ansi(colours);
    // The filter by names costs memory that an idle box need not spend.
    if std::env::var_os("RUST_LOG").is_some() {
        talk.with_env_filter(EnvFilter::from_default_env()).init();
    } else {
        talk.with_max_level(LevelFilter::INFO).init();
    }
}

/// Drops what cannot be written now.
struct Unhurried<'a>(BorrowedFd<'a>);

impl Write for Unhurried<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut ready = [PollFd::new(&self.0, PollFlags::OUT)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if poll(&mut ready, Some(&now))? == 0 {
            return Ok(line.len());
        }
        Ok(rustix::io::write(self.0, &line[..line.len().min(AT_ONCE)])?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read as _, os::fd::AsFd as _};

    #[test]
    fn a_line_that_nobody_takes_is_dropped_and_nobody_waits() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let line = [b'x'; AT_ONCE];
        for _ in 0..100 {
            Unhurried(writer.as_fd())
                .write_all(&line)
                .expect("never an error");
        }
        drop(writer);
        let mut kept = Vec::new();
        reader.read_to_end(&mut kept).expect("what was taken");
        assert!(!kept.is_empty() && kept.len() < 100 * AT_ONCE);
    }
}
