//! What every handler is given: ways to ask and to watch the rooms, and the settings. It owns nothing that changes.

use crate::{
    challenge::Challenger, feed::Feed, fleet::Fleet, nudge::Nudges, settings::Settings,
    store::Store,
};
use std::{ops::Deref, sync::Arc};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// A handle on it.
#[derive(Clone)]
pub struct App(Arc<Rooms>);

/// The rooms.
#[allow(missing_docs)]
pub struct Rooms {
    pub settings: Settings,
    /// The port that is listened on.
    pub port: u16,
    pub store: Store,
    pub fleet: watch::Receiver<Arc<Fleet>>,
    pub feed: Feed,
    pub nudges: Nudges,
    pub challenger: Challenger,
    pub seats: Seats,
    pub stop: CancellationToken,
}

/// How many of the costly requests there may be at a time.
pub struct Seats {
    /// Webhooks whose body is being read: nobody has proved anything yet.
    pub hooks: Semaphore,
    /// Reports whose body is being read.
    pub reports: Semaphore,
    /// Streams of events to people.
    pub streams: Arc<Semaphore>,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            hooks: Semaphore::new(16),
            reports: Semaphore::new(64),
            streams: Arc::new(Semaphore::new(1000)),
        }
    }
}

impl App {
    /// Takes the rooms together.
    pub fn new(rooms: Rooms) -> Self {
        Self(Arc::new(rooms))
    }
}

impl Deref for App {
    type Target = Rooms;
    fn deref(&self) -> &Rooms {
        &self.0
    }
}
