//! What the judging of the trunk reads and the mirror lacks is fetched: files of people that are larger than the filter lets
//! through, and whatever an earlier fetch, or an indexer gone wrong, did not bring.
//!
//! Touches remote and mirror. Each round brings an object; a remote that does not send it, or has ever more missing, ends it.

use super::{Walk, unreadable};
use std::rc::Rc;
use swarm_manifests::{id::Oid, problem::Refusal, rules::remote};
use swarm_repository::{objects::ObjectError, snapshot::Snapshot};

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
    /// Fetches what is new up to `head` and moves the trust as far as it verifies. Gives what stopped it.
    pub(super) async fn follow(&mut self, head: Oid) -> Result<Option<(Refusal, Oid)>, Refusal> {
        // A head that is there before it was asked for may have come without what is behind it.
        let mut was_there = self.objects.has(head);
        self.fetch_history(head).await?;
        self.find_floor().await;
        let mut asked = None;
        for _ in 0..MOST {
            match self.advance(head) {
                Ok(stopped) => return Ok(stopped),
                Err(Halt::Refused(refusal)) => return Err(refusal),
                Err(Halt::Missing(_)) if was_there => {
                    was_there = false;
                    self.fetch_behind(head).await?;
                }
                Err(Halt::Missing(id)) => self.fill(id, &mut asked).await?,
            }
        }
        Err(too_many())
    }

    /// The snapshot at the trusted head.
    pub(super) async fn whole_snapshot(&mut self) -> Result<Option<Rc<Snapshot>>, Refusal> {
        self.filling(Self::snapshot).await
    }

    /// Reads again after each object that was missing.
    pub(super) async fn filling<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Halt>,
    ) -> Result<T, Refusal> {
        let mut asked = None;
        for _ in 0..MOST {
            match read(self) {
                Ok(found) => return Ok(found),
                Err(Halt::Refused(refusal)) => return Err(refusal),
                Err(Halt::Missing(id)) => self.fill(id, &mut asked).await?,
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

    /// One object, asked for once.
    async fn fill(&mut self, id: Oid, asked: &mut Option<Oid>) -> Result<(), Refusal> {
        let Some(fetch) = self.fetch.as_mut().filter(|_| *asked != Some(id)) else {
            return Err(unreadable(&ObjectError::Missing(id)));
        };
        *asked = Some(id);
        fetch.blobs(&[id]).await.map(drop)
    }
}

fn too_many() -> Refusal {
    Refusal::new(
        &remote::PACK,
        format!("more than {MOST} objects that the judging needs were missing one after another"),
    )
}
