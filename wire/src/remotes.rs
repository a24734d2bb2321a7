//! Several urls of one repository, tried in order. Which one answers makes no difference to trust. Touches what they touch.

use crate::{
    echo::Echo,
    remote::{Blobs, Bounds, Options, Remote},
};
use std::time::Duration;
use swarm_manifests::{id::Oid, problem::Refusal, rules::remote as rules};
use tokio::{io::AsyncWrite, time::Instant};

/// So long a later url is used before the first is tried again.
const BACK: Duration = Duration::from_secs(300);

/// The urls, and the one that works.
pub struct Remotes {
    all: Vec<Remote>,
    current: usize,
    moved: Instant,
}

impl Remotes {
    /// Checks every url; at least one.
    pub fn new(urls: &[String], options: &Options) -> Result<Self, Refusal> {
        let all: Vec<_> = urls
            .iter()
            .map(|url| Remote::new(url, options))
            .collect::<Result<_, _>>()?;
        if all.is_empty() {
            return Err(Refusal::new(
                &rules::URL,
                "[repository] url is an empty list",
            ));
        }
        Ok(Self {
            all,
            current: 0,
            moved: Instant::now(),
        })
    }

    /// The one that is used now.
    pub fn current(&self) -> &Remote {
        &self.all[self.current]
    }

    /// Every url, in order.
    pub fn all(&self) -> &[Remote] {
        &self.all
    }

    /// As [`Remote::look`], at the first url that answers, beginning with the one that did last.
    pub async fn look(&mut self, branch: &str) -> Result<Option<Oid>, Refusal> {
        let start = if self.moved.elapsed() > BACK {
            0
        } else {
            self.current
        };
        let mut failed: Option<Refusal> = None;
        for step in 0..self.all.len() {
            let at = (start + step) % self.all.len();
            match self.all[at].look(branch).await {
                Ok(head) => {
                    if at != self.current || start != self.current {
                        self.move_to(at);
                    }
                    return Ok(head);
                }
                Err(refusal) => failed = Some(join(failed, refusal)),
            }
        }
        Err(failed.unwrap_or_else(|| Refusal::new(&rules::UNREACHABLE, "no url")))
    }

    /// As [`Remote::echo`], of the first url: where a later one is used, the first is tried again now and then.
    pub async fn echo(&mut self, known: Oid) -> Option<Echo> {
        if self.current != 0 {
            return None;
        }
        self.all[0].echo(known).await
    }

    /// As [`Remote::take_back`].
    pub async fn take_back(&mut self, echo: Echo) {
        self.all[0].take_back(echo).await;
    }

    /// As [`Remote::fetch`], from the current url. Where it fails the next look begins at the url after it: some of the pack
    /// may have been written, so nothing is tried again here.
    pub async fn fetch(
        &mut self,
        want: Oid,
        have: &[Oid],
        blobs: Blobs,
        pack: &mut (dyn AsyncWrite + Unpin + Send),
        bounds: &Bounds,
    ) -> Result<u64, Refusal> {
        let current = &mut self.all[self.current];
        let done = current.fetch(want, have, blobs, pack, bounds).await;
        self.move_on(done)
    }

    /// As [`Remote::fetch_blobs`]; otherwise like [`Remotes::fetch`].
    pub async fn fetch_blobs(
        &mut self,
        want: &[Oid],
        pack: &mut (dyn AsyncWrite + Unpin + Send),
        bounds: &Bounds,
    ) -> Result<u64, Refusal> {
        let done = self.all[self.current].fetch_blobs(want, pack, bounds).await;
        self.move_on(done)
    }

    /// As [`Remote::rest`].
    pub async fn rest(&mut self) {
        self.all[self.current].rest().await;
    }

    fn move_on(&mut self, done: Result<u64, Refusal>) -> Result<u64, Refusal> {
        if done.is_err() {
            self.move_to((self.current + 1) % self.all.len());
        }
        done
    }

    fn move_to(&mut self, at: usize) {
        self.current = at;
        self.moved = Instant::now();
    }
}

/// The first url's rule, everybody's reason.
fn join(first: Option<Refusal>, next: Refusal) -> Refusal {
    match first {
        None => next,
        Some(first) => Refusal {
            reason: format!("{}; {}", first.reason, next.reason),
            ..first
        },
    }
}
