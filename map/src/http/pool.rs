//! The connections there are: bounded, and when there are as many as there may be, the one that has been idle longest makes room.

use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};
use tokio_util::sync::CancellationToken;

/// What is known of a connection while it is open; the pool and the connection's own task share it.
#[derive(Debug)]
pub struct Connection {
    /// Told to end.
    pub stop: CancellationToken,
    answering: AtomicU32,
    /// Wall clock, milliseconds: only the order among connections counts.
    idle_since: AtomicI64,
}

/// Held while a request is being answered, to the last byte of its body.
#[derive(Debug)]
pub struct Answering(Arc<Connection>);

impl Connection {
    fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            answering: AtomicU32::new(0),
            idle_since: AtomicI64::new(Timestamp::now().as_millisecond()),
        }
    }

    /// Marks the connection as busy until the guard is dropped.
    pub fn answering(self: &Arc<Self>) -> Answering {
        self.answering.fetch_add(1, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }

    fn is_idle(&self) -> bool {
        self.answering.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0
            .idle_since
            .store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Every open connection, by number. Owned by the accept loop.
#[derive(Debug)]
pub struct Pool {
    most: usize,
    open: BTreeMap<u64, Arc<Connection>>,
    next: u64,
}

impl Pool {
    /// A pool of at most so many.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            open: BTreeMap::new(),
            next: 0,
        }
    }

    /// Takes one in, and tells the longest idle one to end where there are too many. None: all of them are busy.
    pub fn admit(&mut self, stop: CancellationToken) -> Option<(u64, Arc<Connection>)> {
        if self.open.len() >= self.most {
            let idle = self.open.iter().filter(|(_, open)| open.is_idle());
            let longest = idle
                .min_by_key(|(_, open)| open.idle_since.load(Ordering::Relaxed))
                .map(|(number, _)| *number)?;
            if let Some(open) = self.open.remove(&longest) {
                open.stop.cancel();
            }
        }
        self.next += 1;
        let connection = Arc::new(Connection::new(stop));
        self.open.insert(self.next, Arc::clone(&connection));
        Some((self.next, connection))
    }

    /// Forgets one that ended.
    pub fn forget(&mut self, number: u64) {
        self.open.remove(&number);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_lets_the_longest_idle_go_and_never_a_busy_one() {
        let mut pool = Pool::new(2);
        let (_, busy) = pool.admit(CancellationToken::new()).expect("room");
        let _answering = busy.answering();
        let (_, idle) = pool.admit(CancellationToken::new()).expect("room");
        assert!(pool.admit(CancellationToken::new()).is_some());
        assert!(idle.stop.is_cancelled() && !busy.stop.is_cancelled());
        assert_eq!(pool.len(), 2);
    }

    #[test]
    fn a_pool_of_busy_connections_takes_no_more() {
        let mut pool = Pool::new(1);
        let (number, busy) = pool.admit(CancellationToken::new()).expect("room");
        let answering = busy.answering();
        assert!(pool.admit(CancellationToken::new()).is_none());
        drop(answering);
        pool.forget(number);
        assert!(pool.is_empty() && pool.admit(CancellationToken::new()).is_some());
    }
}
