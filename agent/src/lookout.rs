//! The lookout: asks where the branch is, again and again, until that is news. In: the remote, what is known, when to look next.
//! Out: the remote again, and what was seen.
//!
//! A task of its own, which nothing but its timer and its socket wakes: most looks find nothing, and such a one should cost
//! nothing else. Touches the network, and the time of the last contact.

use crate::{chance, fetch::Fetch, picture::Contact};
use swarm_manifests::{id::Oid, problem::Refusal};
use swarm_wire::pace::{Outcome, Pace};
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
        tokio::select! {
            biased;
            () = stop.cancelled() => return Back { errand, seen: None },
            () = sleep_until(errand.rhythm.due) => {}
        }
        match errand.fetch.look(false).await {
            Ok(head) if Some(head) == errand.known => {
                errand.rhythm.looked(Outcome::Same);
                errand
                    .contact
                    .send_modify(|contact| contact.at = Some(jiff::Timestamp::now()));
            }
            news => {
                return Back {
                    errand,
                    seen: Some(news),
                };
            }
        }
    }
}
