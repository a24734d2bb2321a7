//! Lines of logs go on to journald or syslog: whole lines come in, datagrams go out. Touches one Unix socket, and never waits for it.
//!
//! What cannot be sent at once waits a little, bounded, each instance in its turn (`waiting`); what finds no room is counted.

mod entry;
mod waiting;

use super::read::Written;
use crate::time::BootTime;
pub use entry::Whose;
use std::{
    collections::BTreeMap,
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_manifests::settings::Forward;
use waiting::Waiting;

/// Where nobody listens it is tried again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be told of whoever should listen there, once each time that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nobody does, or nobody does any more.
    Missing,
    /// Somebody does after all.
    Came,
}

/// The way there.
#[derive(Debug)]
pub struct Forwarder {
    kind: Forward,
    path: PathBuf,
    socket: UnixDatagram,
    connected: bool,
    /// It was told that nobody listens there.
    is_missed: bool,
    /// When it is tried again, where nobody listens.
    again: Option<BootTime>,
    waiting: Waiting,
    /// How many lines of whom were not taken.
    lost: BTreeMap<Whose, u64>,
}

impl Forwarder {
    /// Whether anybody listens there shows later: that may change at any time.
    pub fn new(kind: Forward, path: PathBuf) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            kind,
            path,
            socket,
            connected: false,
            is_missed: false,
            again: None,
            waiting: Waiting::default(),
            lost: BTreeMap::new(),
        })
    }

    /// Where somebody should listen.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// To be watched for writing, by edges.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Hands on lines as they stand in a log; `pid` is the main process.
    pub fn take(
        &mut self,
        whose: &Whose,
        pid: Option<i32>,
        lines: &[u8],
        now: BootTime,
    ) -> Option<News> {
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let Some(line) = Written::parse(line) else {
                continue;
            };
            if !self.waiting.has_room(whose, line.text.len()) {
                *self.lost.entry(whose.clone()).or_default() += 1;
                continue;
            }
            let datagram = entry::datagram(self.kind, whose, pid, &line);
            for loser in self.waiting.push(whose, datagram) {
                *self.lost.entry(loser).or_default() += 1;
            }
        }
        let is_time = self.again.is_none_or(|again| again <= now);
        is_time.then(|| self.go_on(now)).flatten()
    }

    /// Sends what waits, as much as is taken.
    pub fn go_on(&mut self, now: BootTime) -> Option<News> {
        let was_missed = self.is_missed;
        self.send_on(now);
        match (was_missed, self.is_missed) {
            (false, true) => Some(News::Missing),
            (true, false) => Some(News::Came),
            _ => None,
        }
    }

    fn send_on(&mut self, now: BootTime) {
        self.again = None;
        while let Some((whose, datagram)) = self.waiting.next() {
            let whose = whose.clone();
            let sent = if self.connected {
                self.socket.send(datagram).map(|_| ())
            } else {
                self.socket.connect(&self.path)
            };
            match sent {
                Ok(()) if !self.connected => self.connected = true,
                Ok(()) => {
                    self.is_missed = false;
                    self.waiting.done();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    self.waiting.done();
                    *self.lost.entry(whose).or_default() += 1;
                }
                Err(error) => {
                    tracing::debug!(path = %self.path.display(), %error, "logs are not taken");
                    self.is_missed = true;
                    self.connected = false;
                    self.again = Some(now + AGAIN);
                    return;
                }
            }
        }
    }

    /// When [`Forwarder::go_on`] is due although nothing happens.
    pub fn deadline(&self) -> Option<BootTime> {
        self.again.filter(|_| !self.waiting.is_empty())
    }

    /// How many lines of an instance were not taken so far.
    pub fn lost(&self, whose: &Whose) -> u64 {
        self.lost.get(whose).copied().unwrap_or(0)
    }

    /// The instance is gone for good.
    pub fn forget(&mut self, whose: &Whose) {
        self.lost.remove(whose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nobody_listens_is_told_once_and_once_that_somebody_came() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut forwarder = Forwarder::new(Forward::Syslog, path.clone()).expect("a socket");
        let whose = Whose {
            workflow: "ramp".parse().expect("a name"),
            instance: 0,
        };
        let mut now = BootTime(Duration::ZERO);
        let mut prints = |forwarder: &mut Forwarder| {
            now = now + AGAIN;
            let line = "2026-11-24T00:00:00.000Z o hello\n";
            forwarder.take(&whose, None, line.as_bytes(), now)
        };
        assert_eq!(prints(&mut forwarder), Some(News::Missing));
        assert_eq!(prints(&mut forwarder), None);
        let listener = UnixDatagram::bind(&path).expect("a listener");
        assert_eq!(prints(&mut forwarder), Some(News::Came));
        assert_eq!(prints(&mut forwarder), None);
        let mut datagram = [0; 1024];
        for _ in 0..4 {
            let length = listener.recv(&mut datagram).expect("a line");
            assert!(datagram[..length].ends_with(b": hello"));
        }
        drop(listener);
        assert_eq!(prints(&mut forwarder), Some(News::Missing));
        assert_eq!(prints(&mut forwarder), None);
    }
}
