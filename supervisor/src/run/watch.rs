//! What the loop waits for: file descriptors with a name for each, and one alarm on the clock that nobody can set. Touches epoll and timerfd.

use crate::{os::clock, protocol::Stream, time::BootTime};
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use std::{collections::HashMap, io, os::fd::AsFd, time::Duration};
use swarm_manifests::name::Name;

/// Which descriptor became ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A signal for us.
    Signals,
    /// The agent's socket.
    Agent,
    /// The agent's process ended.
    AgentExit,
    /// The agent wants an indexer.
    IndexerWanted,
    /// An indexer ended.
    IndexerEnded(u64),
    /// The agent hung up on an indexer.
    IndexerLeft(u64),
    /// Somebody connects to the control socket.
    Listener,
    /// A client of the control socket.
    Client(u64),
    /// An instance's main process ended.
    Exit(Name, u16),
    /// An instance printed something.
    Output(Name, u16, Stream),
    /// An instance's main process came to its program, or did not.
    Birth(Name, u16),
    /// A tree became empty, or not.
    Tree(Name, u16),
    /// An instance notifies.
    Notify(Name, u16),
    /// Whoever takes lines of logs besides takes more.
    Forward,
    /// A side job's process ended, or its socket is ready.
    Job(u64),
    /// The keeper is gone.
    Keeper,
    /// The trial of a new program ended.
    Trial,
    /// A thread has finished something.
    Worker,
    /// The alarm.
    Alarm,
    /// A schedule's time has come, or the clock was set.
    Schedule,
}

impl Source {
    /// Whether it can wait: nobody is dead, and nobody waits for an answer.
    fn is_printed(&self) -> bool {
        matches!(self, Self::Output(..) | Self::Forward)
    }
}

/// What is seen to first, and what only then: however much somebody prints, the deaths of others are not kept waiting by it.
/// Within both, as it came.
pub(super) fn in_order(ready: Vec<Source>) -> (Vec<Source>, Vec<Source>) {
    ready.into_iter().partition(|source| !source.is_printed())
}

/// A watched descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u64);

pub(super) struct Watch {
    epoll: Epoll,
    sources: HashMap<u64, Source>,
    next: u64,
    alarm: TimerFd,
    set: Option<BootTime>,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let alarm = TimerFd::new(
            ClockId::CLOCK_BOOTTIME,
            TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK,
        )?;
        epoll.add(&alarm, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Self {
            epoll,
            sources: HashMap::from([(0, Source::Alarm)]),
            next: 1,
            alarm,
            set: None,
        })
    }

    /// Readable.
    pub(super) fn read(&mut self, fd: impl AsFd, source: Source) -> io::Result<Token> {
        self.add(fd, EpollFlags::EPOLLIN, source)
    }

    pub(super) fn add(
        &mut self,
        fd: impl AsFd,
        flags: EpollFlags,
        source: Source,
    ) -> io::Result<Token> {
        let token = self.next;
        self.epoll.add(fd, EpollEvent::new(flags, token))?;
        self.next += 1;
        self.sources.insert(token, source);
        Ok(Token(token))
    }

    /// Waits for reading, and for writing too if `write`.
    pub(super) fn writing(&mut self, token: Token, fd: impl AsFd, write: bool) -> io::Result<()> {
        let flags = if write {
            EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT
        } else {
            EpollFlags::EPOLLIN
        };
        Ok(self
            .epoll
            .modify(fd, &mut EpollEvent::new(flags, token.0))?)
    }

    /// To be called before the descriptor is closed: a child may hold it open.
    pub(super) fn remove(&mut self, token: Token, fd: impl AsFd) {
        self.sources.remove(&token.0);
        let _ = self.epoll.delete(fd);
    }

    /// Waits until something is ready or the alarm goes off, which is at `until`.
    pub(super) fn wait(&mut self, until: Option<BootTime>) -> io::Result<Vec<Source>> {
        let patience = if until.is_some_and(|until| until <= clock::now()) {
            EpollTimeout::ZERO
        } else {
            self.set_alarm(until)?;
            EpollTimeout::NONE
        };
        let mut events = [EpollEvent::empty(); 64];
        let count = match self.epoll.wait(&mut events, patience) {
            Err(nix::errno::Errno::EINTR) => 0,
            other => other?,
        };
        let ready = events[..count]
            .iter()
            .filter_map(|event| self.sources.get(&event.data()).cloned())
            .collect::<Vec<_>>();
        if ready.contains(&Source::Alarm) {
            self.set = None;
            self.alarm.unset()?;
        }
        Ok(ready)
    }

    fn set_alarm(&mut self, until: Option<BootTime>) -> io::Result<()> {
        if until == self.set {
            return Ok(());
        }
        match until {
            // Zero would switch it off.
            Some(until) => {
                let at = TimeSpec::from_duration(until.0.max(Duration::from_nanos(1)));
                self.alarm.set(
                    Expiration::OneShot(at),
                    TimerSetTimeFlags::TFD_TIMER_ABSTIME,
                )?;
            }
            None => self.alarm.unset()?,
        }
        self.set = until;
        Ok(())
    }
}

/// A thousand instances have some thousands of descriptors between them.
pub(super) fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_waits_for_all_else_and_nothing_is_lost() {
        let name = |name: &str| name.parse::<Name>().expect("a name");
        let flood = |stream| Source::Output(name("flood"), 0, stream);
        let ready = vec![
            flood(Stream::Stdout),
            Source::Client(7),
            flood(Stream::Stderr),
            Source::Forward,
            Source::Exit(name("calm"), 0),
            Source::Output(name("calm"), 0, Stream::Stdout),
            Source::Alarm,
        ];
        let first = vec![
            Source::Client(7),
            Source::Exit(name("calm"), 0),
            Source::Alarm,
        ];
        let then = vec![
            flood(Stream::Stdout),
            flood(Stream::Stderr),
            Source::Forward,
            Source::Output(name("calm"), 0, Stream::Stdout),
        ];
        assert_eq!(in_order(ready), (first, then));
        assert_eq!(in_order(Vec::new()), (Vec::new(), Vec::new()));
    }
}
