//! One branch of a repository: where it is, and what is missing of it, taken apart by the indexer. In: urls. Out: heads and
//! folders of objects.
//!
//! Touches the network and starts the indexer as a process of its own. A fetch that dies leaves a folder in quarantine, which
//! whoever comes next clears; nobody ever has half a pack.

use crate::{
    echo::Echo,
    indexer::{Indexed, Indexer, Quarantine},
    remote::{Blobs, Bounds, MOST_WANTS, Options, Remote},
    remotes::Remotes,
};
use std::time::Duration;
use swarm_manifests::{id::Oid, problem::Refusal, rules::trunk::NO_BRANCH};

/// What one fetch may cost.
const BOUNDS: Bounds = Bounds {
    bytes: 4 << 30,
    time: Duration::from_secs(3600),
    idle: Duration::from_secs(30),
};
/// So much of a pack may be between the connection and the indexer.
const PIPE: usize = 64 << 10;
/// After so many turns of the runtime a request that was made is on its way.
const TURNS: usize = 4;

/// The branch, and the quarantine in which what comes of it lies first.
pub struct Fetch {
    remotes: Remotes,
    branch: String,
    quarantine: Quarantine,
    /// One that waits for the next pack.
    ready: Option<Indexer>,
    /// A second connection, once one was of use.
    beside: Option<Remote>,
}

impl Fetch {
    /// Checks the urls. The quarantine is empty.
    pub fn new(
        urls: &[String],
        branch: &str,
        options: &Options,
        quarantine: Quarantine,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            remotes: Remotes::new(urls, options)?,
            branch: branch.to_owned(),
            quarantine,
            ready: None,
            beside: None,
        })
    }

    /// The url that is used now, for people.
    pub fn shown_url(&self) -> &str {
        self.remotes.current().shown_url()
    }

    /// Where the branch is. Where something new is expected, an indexer starts while the server thinks.
    pub async fn look(&mut self, expects_news: bool) -> Result<Oid, Refusal> {
        let quarantine = &self.quarantine;
        let ready = self.ready.take();
        let prepare = async {
            if ready.is_some() || !expects_news {
                return ready;
            }
            // The request goes out first.
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            Indexer::start(quarantine).ok()
        };
        let (head, ready) = tokio::join!(self.remotes.look(&self.branch), prepare);
        self.ready = ready;
        self.branch_at(head?)
    }

    /// The last look, to be asked again as long as the branch stays at `known`; see [`Remote::echo`].
    pub async fn echo(&mut self, known: Oid) -> Option<Echo> {
        self.remotes.echo(known).await
    }

    /// The connection is back.
    pub async fn take_back(&mut self, echo: Echo) {
        self.remotes.take_back(echo).await;
    }

    /// Where the branch is, and the history up to `guess`, fetched meanwhile on a second connection. What was fetched counts only
    /// where the branch is there.
    pub async fn look_ahead(
        &mut self,
        guess: Oid,
        have: &[Oid],
        blobs: Blobs,
    ) -> Result<(Oid, Option<Indexed>), Refusal> {
        let kept = self.beside.take();
        let current = self.remotes.current();
        let beside = kept.filter(|kept| kept.shown_url() == current.shown_url());
        let Some(mut beside) = beside.or_else(|| current.beside()) else {
            return Ok((self.look(true).await?, None));
        };
        let (head, indexed) = {
            // Rarely needed, and large: not in whoever waits for it.
            let mut work = Box::pin(ahead(&mut beside, guess, have, blobs, &self.quarantine));
            let mut look = Box::pin(self.remotes.look(&self.branch));
            let (head, done) = tokio::select! {
                biased;
                head = &mut look => (head, None),
                done = &mut work => (look.await, Some(done)),
            };
            match (&head, done) {
                (Ok(Some(head_now)), None) if *head_now == guess => (head, work.await.ok()),
                // Who guessed wrong is not waited for.
                (_, done) => (head, done.and_then(Result::ok)),
            }
        };
        if indexed.is_some() {
            self.beside = Some(beside);
        }
        let head = self.branch_at(head?)?;
        Ok((head, indexed.filter(|_| head == guess)))
    }

    fn branch_at(&self, head: Option<Oid>) -> Result<Oid, Refusal> {
        head.ok_or_else(|| {
            Refusal::new(
                &NO_BRANCH,
                format!("{} has no branch {:?}", self.shown_url(), self.branch),
            )
            .hint("push the branch again, or correct [repository] branch; what runs goes on")
        })
    }

    /// Nothing more is expected: an indexer that waits is let go.
    pub fn rest(&mut self) {
        self.ready = None;
    }

    /// The commits, trees and these blobs of `want` that `have` has not.
    pub async fn history(
        &mut self,
        want: Oid,
        have: &[Oid],
        blobs: Blobs,
    ) -> Result<Indexed, Refusal> {
        let mut indexer = self.indexer()?;
        let pack = &mut indexer.input;
        let sent = self.remotes.fetch(want, have, blobs, pack, &BOUNDS).await;
        indexer.end(sent).await
    }

    /// The first of these objects, as many as fit into one request, and those that are left to ask for.
    pub async fn blobs<'a>(&mut self, want: &'a [Oid]) -> Result<(Indexed, &'a [Oid]), Refusal> {
        let (some, left) = want.split_at(want.len().min(MOST_WANTS));
        let mut indexer = self.indexer()?;
        let pack = &mut indexer.input;
        let sent = self.remotes.fetch_blobs(some, pack, &BOUNDS).await;
        Ok((indexer.end(sent).await?, left))
    }

    fn indexer(&mut self) -> Result<Indexer, Refusal> {
        match self.ready.take() {
            Some(ready) => Ok(ready),
            None => Indexer::start(&self.quarantine),
        }
    }
}

/// The history up to `guess`, over a connection of its own.
async fn ahead(
    beside: &mut Remote,
    guess: Oid,
    have: &[Oid],
    blobs: Blobs,
    quarantine: &Quarantine,
) -> Result<Indexed, Refusal> {
    let (mut pipe, mut end) = tokio::io::duplex(PIPE);
    let sending = async {
        let sent = beside.fetch(guess, have, blobs, &mut pipe, &BOUNDS).await;
        drop(pipe);
        sent
    };
    let taking = async {
        // Both requests go out before the indexer is started.
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        let mut indexer = Indexer::start(quarantine)?;
        // An indexer that does not take all of it says why at its end.
        let _ = tokio::io::copy(&mut end, &mut indexer.input).await;
        drop(end);
        Ok::<_, Refusal>(indexer)
    };
    let (sent, indexer) = tokio::join!(sending, taking);
    indexer?.end(sent).await
}
