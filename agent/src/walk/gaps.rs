//! What the judging of the trunk reads and the mirror lacks is fetched: files of people that no history came with, and whatever
//! an earlier fetch, or an indexer gone wrong, did not bring.
//!
//! Touches remote and mirror. The first round brings all that can be foreseen, each later one an object; a remote that does not
//! send it, or has ever more missing, ends it.

use super::{Walk, trusting::Judged, unreadable};
use crate::metrics::{Timing, Timings};
use std::{rc::Rc, time::Instant};
use swarm_manifests::{id::Oid, problem::Refusal, rules::remote};
use swarm_repository::{objects::ObjectError, reads, snapshot::Snapshot, trusted::Trusted};

/// How many objects are fetched one by one.
const MOST: usize = 1000;

/// Why judging or reading stopped.
pub(super) enum Halt {
    /// For want of this object.
    Missing(Oid),
    /// For another reason.
    Refused(Refusal),
}

impl From<ObjectError> for Halt {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Missing(id) => Self::Missing(id),
            other => Self::Refused(unreadable(&other)),
        }
    }
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Halt> for Refusal {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Missing(id) => unreadable(&ObjectError::Missing(id)),
            Halt::Refused(refusal) => refusal,
        }
    }
}

impl Walk {
    /// Fetches what is new up to `head` and judges it. None: this box trusts nothing, and nobody told it what to.
    pub(super) async fn judged(&mut self, head: Oid) -> Result<Option<Judged>, Refusal> {
        // A head that is there before it was asked for may have come without what is behind it.
        let mut was_there = self.objects.has(head);
        let begun = Instant::now();
        self.fetch_history(head).await?;
        self.took(begun, |timings| &mut timings.fetch);
        self.find_floor().await;
        let mut asked = None;
        for _ in 0..MOST {
            let begun = Instant::now();
            let judged = self.judge(head);
            self.took(begun, |timings| &mut timings.verify);
            match judged {
                Ok(judged) => return Ok(judged),
                Err(Halt::Refused(refusal)) => return Err(refusal),
                Err(Halt::Missing(_)) if was_there => {
                    was_there = false;
                    self.fetch_behind(head).await?;
                }
                Err(Halt::Missing(id)) => self.fill(id, head, &mut asked).await?,
            }
        }
        Err(too_many())
    }

    fn took(&self, begun: Instant, step: fn(&mut Timings) -> &mut Timing) {
        let took = begun.elapsed();
        let timings = &self.out.timings;
        timings.send_modify(|timings| step(timings).add(took));
    }

    /// The snapshot at a verified head.
    pub(super) async fn whole_snapshot(&mut self, at: &Trusted) -> Result<Rc<Snapshot>, Refusal> {
        let mut asked = None;
        for _ in 0..MOST {
            match self.snapshot(at) {
                Ok(snapshot) => return Ok(snapshot),
                Err(Halt::Refused(refusal)) => return Err(refusal),
                Err(Halt::Missing(id)) => self.fill(id, at.head, &mut asked).await?,
            }
        }
        Err(too_many())
    }

    /// The history behind a head that is here, down to what was trusted.
    async fn fetch_behind(&mut self, head: Oid) -> Result<(), Refusal> {
        let have: Vec<Oid> = self.trusted.iter().map(|trusted| trusted.head).collect();
        match &mut self.fetch {
            Some(fetch) => fetch.history(head, &have).await.map(drop),
            None => Ok(()),
        }
    }

    /// One object, asked for once; the first time with all that will be read on the way to `head`.
    async fn fill(&mut self, id: Oid, head: Oid, asked: &mut Option<Oid>) -> Result<(), Refusal> {
        let Some(fetch) = self.fetch.as_mut().filter(|_| *asked != Some(id)) else {
            return Err(unreadable(&ObjectError::Missing(id)));
        };
        let trusted = self.trusted.as_ref().map(|trusted| trusted.head);
        let introduction = || Some(self.config.settings.trust.as_ref()?.introduction);
        let mut wanted = match trusted.or_else(introduction).filter(|_| asked.is_none()) {
            // Where trees are missing as well, only these are asked for.
            Some(from) => reads::unread(&self.objects, from, head).unwrap_or_default(),
            None => Vec::new(),
        };
        if !wanted.contains(&id) {
            wanted = vec![id];
        }
        *asked = Some(id);
        fetch.blobs(&wanted).await.map(drop)
    }
}

fn too_many() -> Refusal {
    Refusal::new(
        &remote::PACK,
        format!("more than {MOST} objects that the judging needs were missing one after another"),
    )
}
