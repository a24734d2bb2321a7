//! The lookout: asks where the branch is, again and again, until that is news. In: the remote, what is known, when to look next.
//! Out: the remote again, and what was seen.
//!
//! A task of its own, which nothing but its timer and its socket wakes: most looks find nothing, and such a one should cost
//! nothing else. Over HTTP a thread asks the same question again until the answer is another one, and the runtime sleeps
//! through it. Touches the network, and the time of the last contact.

use crate::{chance, fetch::Fetch, picture::Contact};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use swarm_manifests::{id::Oid, problem::Refusal};
use swarm_wire::{
    echo::{Echo, Heard},
    pace::{Outcome, Pace},
};
use tokio::{
    sync::watch,
    task::JoinError,
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// What it is sent out with, and comes back with.
pub struct Errand {
    /// The remote.
    pub fetch: Fetch,
    /// Where the branch was seen last, if that is all there is to know; none: whatever is seen is news.
    pub known: Option<Oid>,
    /// When to look.
    pub rhythm: Rhythm,
    /// Where it says that it looked.
    pub contact: watch::Sender<Contact>,
}

/// When to look: the pace, on a clock.
#[derive(Debug, Clone)]
pub struct Rhythm {
    /// How fast.
    pub pace: Pace,
    start: Instant,
    due: Instant,
}

impl Rhythm {
    /// Looks at once, and then at this pace.
    pub fn new(pace: Pace) -> Self {
        let now = Instant::now();
        Self {
            pace,
            start: now,
            due: now,
        }
    }

    /// What the pace calls now.
    pub fn now(&self) -> std::time::Duration {
        self.start.elapsed()
    }

    /// A look ended.
    pub fn looked(&mut self, outcome: Outcome) {
        self.pace.looked(self.now(), outcome);
        self.due = Instant::now() + self.pace.until_poll(chance::dice());
    }
}

/// One that is out.
pub struct Lookout {
    task: AbortOnDropHandle<Back>,
    stop: CancellationToken,
    back: Option<Back>,
}

/// Where the branch is, or why that could not be seen.
pub type Seen = Result<Oid, Refusal>;

/// One that came back.
pub struct Back {
    /// What it was sent out with.
    pub errand: Errand,
    /// What it saw; none: it was called back.
    pub seen: Option<Seen>,
}

impl Lookout {
    /// Sends it out.
    pub fn send_out(errand: Errand) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(look(errand, stop.clone()));
        Self {
            task: AbortOnDropHandle::new(task),
            stop,
            back: None,
        }
    }

    /// Waits until it comes back by itself. May be dropped and called again.
    pub async fn returns(&mut self) -> Result<(), JoinError> {
        if self.back.is_none() {
            self.back = Some((&mut self.task).await?);
        }
        Ok(())
    }

    /// Calls it back. A look that is under way is done first.
    pub async fn call_back(mut self) -> Result<Back, JoinError> {
        if let Some(back) = self.back.take() {
            return Ok(back);
        }
        self.stop.cancel();
        self.task.await
    }
}

async fn look(mut errand: Errand, stop: CancellationToken) -> Back {
    loop {
        if quietly(&mut errand, &stop).await {
            return Back { errand, seen: None };
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Back { errand, seen: None },
            () = sleep_until(errand.rhythm.due) => {}
        }
        match errand.fetch.look(false).await {
            Ok(head) if Some(head) == errand.known => same(&mut errand.rhythm, &errand.contact),
            news => {
                return Back {
                    errand,
                    seen: Some(news),
                };
            }
        }
    }
}

/// A look found nothing new.
fn same(rhythm: &mut Rhythm, contact: &watch::Sender<Contact>) {
    rhythm.looked(Outcome::Same);
    contact.send_modify(|contact| contact.at = Some(jiff::Timestamp::now()));
}

/// Repeats the last look, where it can be, for as long as nothing is new. True: it was called back.
async fn quietly(errand: &mut Errand, stop: &CancellationToken) -> bool {
    let Some(known) = errand.known else {
        return false;
    };
    let Some(echo) = errand.fetch.echo(known).await else {
        return false;
    };
    let (bell, rung) = sync_channel(0);
    let (rhythm, contact) = (errand.rhythm.clone(), errand.contact.clone());
    let mut asking = tokio::task::spawn_blocking(move || repeat(echo, rhythm, &contact, &rung));
    let (is_called, asked) = tokio::select! {
        biased;
        () = stop.cancelled() => {
            drop(bell);
            (true, asking.await)
        }
        asked = &mut asking => (false, asked),
    };
    // A thread that was lost took nothing with it but its connection.
    if let Ok((echo, rhythm)) = asked {
        errand.rhythm = rhythm;
        errand.fetch.take_back(echo).await;
    }
    is_called
}

/// Asks when it is due, until the answer is another one or the bell is gone. Waits, and so is a thread's.
fn repeat(
    mut echo: Echo,
    mut rhythm: Rhythm,
    contact: &watch::Sender<Contact>,
    bell: &Receiver<()>,
) -> (Echo, Rhythm) {
    loop {
        let wait = rhythm.due.saturating_duration_since(Instant::now());
        if bell.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) || echo.ask() != Heard::Same {
            return (echo, rhythm);
        }
        same(&mut rhythm, contact);
    }
}
