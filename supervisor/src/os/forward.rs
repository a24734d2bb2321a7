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
    path::PathBuf,
    time::Duration,
};
use swarm_manifests::settings::Forward;
use waiting::Waiting;

/// Where nobody listens it is tried again after this long.
const AGAIN: Duration = Duration::from_secs(1);

/// The way there.
#[derive(Debug)]
pub struct Forwarder {
    kind: Forward,
    path: PathBuf,
    socket: UnixDatagram,
    connected: bool,
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
            again: None,
            waiting: Waiting::default(),
            lost: BTreeMap::new(),
        })
    }

    /// To be watched for writing, by edges.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Hands on lines as they stand in a log; `pid` is the main process.
    pub fn take(&mut self, whose: &Whose, pid: Option<i32>, lines: &[u8], now: BootTime) {
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
        if self.again.is_none_or(|again| again <= now) {
            self.go_on(now);
        }
    }

    /// Sends what waits, as much as is taken.
    pub fn go_on(&mut self, now: BootTime) {
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
                Ok(()) => self.waiting.done(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    self.waiting.done();
                    *self.lost.entry(whose).or_default() += 1;
                }
                Err(error) => {
                    if self.connected {
                        tracing::warn!(path = %self.path.display(), %error, "logs are not taken; what finds no room is counted");
                    }
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
