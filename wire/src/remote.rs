//! A git remote: look where the branch is, fetch what is missing. Touches network and processes, by the way that the url names.

pub use crate::{bounds::Bounds, options::Options, protocol::Blobs};
use crate::{
    bounds::Meter,
    conversation::Conversation,
    echo::Echo,
    protocol::{self, Capabilities},
    url::{self, Url},
};
use std::time::Duration;
use swarm_manifests::{id::Oid, problem::Refusal, rules::remote as rules};
use tokio::io::AsyncWrite;

/// So many objects fit into one request: 50 bytes each, and servers take a megabyte.
pub const MOST_WANTS: usize = 16_000;
/// A look is small and quick, or it is no look: one reference was asked for.
const LOOK: Bounds = Bounds {
    bytes: 1 << 20,
    time: Duration::from_secs(30),
    idle: Duration::from_secs(15),
};

/// One url, with its kept connection where there is one.
pub struct Remote {
    shown: String,
    server: Conversation,
    look: Bounds,
    /// Where the branch was at the last look.
    seen: Option<Oid>,
    /// Whether nothing was asked since that look.
    is_last: bool,
}

impl Remote {
    /// Checks the url (`ssh://`, `https://`, `http://`, `file://`, an absolute path; nothing that begins with a dash, no newline). Connects at the first use.
    pub fn new(url: &str, options: &Options) -> Result<Self, Refusal> {
        let url = Url::parse(url).map_err(|error| {
            let refusal = Refusal::new(
                &rules::URL,
                format!("[repository] url {:?} is {error}", url::shown(url)),
            );
            match error.hint {
                Some(hint) => refusal.hint(hint),
                None => refusal,
            }
        })?;
        let shown = url.to_string();
        let server = Conversation::new(url, options)?;
        Ok(Self {
            shown,
            server,
            look: LOOK,
            seen: None,
            is_last: false,
        })
    }

    /// Other bounds for a look than 1 MiB, 30 s in all and 15 s without a byte.
    #[must_use]
    pub fn look_within(mut self, bounds: Bounds) -> Self {
        self.look = bounds;
        self
    }

    /// The url without user and password, for people.
    pub fn shown_url(&self) -> &str {
        &self.shown
    }

    /// The folder, where the remote is one on this machine: it can be watched.
    pub fn local_path(&self) -> Option<&std::path::Path> {
        match &self.server {
            Conversation::Path(path, _) => Some(path),
            Conversation::Http(_) | Conversation::Ssh(..) => None,
        }
    }

    /// Where the branch is: one `ls-refs` with exactly its prefix. None: the remote has no such branch.
    pub async fn look(&mut self, branch: &str) -> Result<Option<Oid>, Refusal> {
        if !protocol::is_branch(branch) {
            return Err(Refusal::new(
                &rules::URL,
                format!("[repository] branch is {branch:?}, which is no branch's name"),
            ));
        }
        self.is_last = false;
        // The one that runs does not see references move; it may end while its successor starts.
        let before = self.server.part();
        let done = self.read_head(&format!("refs/heads/{branch}")).await;
        self.server.settle(done.is_ok());
        let head = done?;
        let nothing_to_fetch = head.is_none() || head == self.seen;
        let after = if nothing_to_fetch {
            self.server.part()
        } else {
            None
        };
        for running in [before, after].into_iter().flatten() {
            running.end().await;
        }
        (self.seen, self.is_last) = (head, true);
        Ok(head)
    }

    /// Commits, trees and these blobs of `want` that `have` has not, as a pack; all blobs where the server offers no filter.
    /// Returns the number of pack bytes.
    pub async fn fetch(
        &mut self,
        want: Oid,
        have: &[Oid],
        blobs: Blobs,
        pack: &mut (dyn AsyncWrite + Unpin + Send),
        bounds: &Bounds,
    ) -> Result<u64, Refusal> {
        let have = &have[..have.len().min(MOST_WANTS)];
        let done = self
            .read_pack(|server| server.fetch(want, have, blobs), pack, bounds)
            .await;
        self.server.settle(done.is_ok());
        done
    }

    /// Exactly these objects, as a pack: blobs, or trees with everything below them. At most [`MOST_WANTS`] at once; none: nothing is asked.
    pub async fn fetch_blobs(
        &mut self,
        want: &[Oid],
        pack: &mut (dyn AsyncWrite + Unpin + Send),
        bounds: &Bounds,
    ) -> Result<u64, Refusal> {
        if want.is_empty() {
            return Ok(0);
        }
        if want.len() > MOST_WANTS {
            let reason = format!(
                "{} objects in one request; at most {MOST_WANTS} fit",
                want.len()
            );
            return Err(Refusal::new(&rules::PACK, reason));
        }
        let done = self
            .read_pack(|server| server.fetch_exactly(want), pack, bounds)
            .await;
        self.server.settle(done.is_ok());
        done
    }

    /// The last look, to be asked again on its own connection as long as the branch stays at `known`; none where another thing
    /// was asked since, or this way has none.
    pub async fn echo(&mut self, known: Oid) -> Option<Echo> {
        let Conversation::Http(smart) = &mut self.server else {
            return None;
        };
        if !self.is_last || self.seen != Some(known) {
            return None;
        }
        smart.echo().await
    }

    /// The connection is back.
    pub async fn take_back(&mut self, echo: Echo) {
        if let Conversation::Http(smart) = &mut self.server {
            smart.take_back(echo).await;
        }
    }

    /// A second connection to the same server, for a fetch while a look is under way; none: this way has no use for one.
    pub fn beside(&self) -> Option<Self> {
        let Conversation::Http(smart) = &self.server else {
            return None;
        };
        Some(Self {
            shown: self.shown.clone(),
            server: Conversation::Http(Box::new(smart.beside())),
            look: self.look.clone(),
            seen: None,
            is_last: false,
        })
    }

    /// Nothing more is to be fetched for now: a process that was kept for it ends.
    pub async fn rest(&mut self) {
        if let Some(running) = self.server.part() {
            running.end().await;
        }
    }

    async fn read_head(&mut self, name: &str) -> Result<Option<Oid>, Refusal> {
        let mut meter = Meter::new(&self.look);
        let (mut reply, server) = self
            .server
            .ask(&self.shown, |server| server.ls_refs(name), &mut meter)
            .await?;
        let head = reply
            .lines(&mut meter, |line| protocol::ref_line(line, name))
            .await?;
        let left = reply.finish(&mut meter).await?;
        self.server.keep(left, server);
        Ok(head)
    }

    async fn read_pack(
        &mut self,
        request: impl FnOnce(Capabilities) -> Vec<u8>,
        pack: &mut (dyn AsyncWrite + Unpin + Send),
        bounds: &Bounds,
    ) -> Result<u64, Refusal> {
        self.is_last = false;
        let mut meter = Meter::new(bounds);
        let (mut reply, server) = self.server.ask(&self.shown, request, &mut meter).await?;
        reply.too_much = &rules::PACK;
        let length = reply.pack(&mut meter, pack).await?;
        let left = reply.finish(&mut meter).await?;
        self.server.keep(left, server);
        Ok(length)
    }
}
