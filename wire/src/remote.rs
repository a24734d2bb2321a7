//! A git remote: look where the branch is, fetch what is missing. Touches network and processes, by the way that the url names.

pub use crate::bounds::Bounds;
use crate::{
    bounds::Meter,
    path,
    protocol::{self, Capabilities},
    reply::{Reply, Source},
    smart::Smart,
    ssh::{self, Ssh},
    url::{Scheme, Url},
};
use std::{path::PathBuf, time::Duration};
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

/// How remotes are reached.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Options {
    pub credentials_file: Option<PathBuf>,
    pub known_hosts: Option<PathBuf>,
    pub identity_file: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    /// Where an ssh `ControlMaster`'s socket and the like may lie.
    pub run_dir: Option<PathBuf>,
}

/// One url, with its kept connection where there is one.
pub struct Remote {
    shown: String,
    way: Way,
    look: Bounds,
}

enum Way {
    Http(Box<Smart>),
    Ssh(Box<Ssh>),
    Path(PathBuf),
}

impl Remote {
    /// Checks the url (`ssh://`, `https://`, `http://`, `file://`, an absolute path; nothing that begins with a dash, no newline). Connects at the first use.
    pub fn new(url: &str, options: &Options) -> Result<Self, Refusal> {
        let url = Url::parse(url).map_err(|error| {
            let refusal = Refusal::new(&rules::URL, format!("[repository] url is {error}"));
            match error.hint {
                Some(hint) => refusal.hint(hint),
                None => refusal,
            }
        })?;
        let shown = url.to_string();
        let way = match url.scheme {
            Scheme::Https | Scheme::Http => Way::Http(Box::new(Smart::new(url, options))),
            Scheme::Ssh => Way::Ssh(Box::new(Ssh::new(url, options)?)),
            Scheme::File => Way::Path(url.file_path()),
        };
        Ok(Self {
            shown,
            way,
            look: LOOK,
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
        match &self.way {
            Way::Path(path) => Some(path),
            Way::Http(_) | Way::Ssh(_) => None,
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
        let name = format!("refs/heads/{branch}");
        let mut meter = Meter::new(&self.look);
        let answer = self
            .converse(
                &mut meter,
                |server| server.ls_refs(&name),
                Answer::Ref(&name),
            )
            .await?;
        Ok(answer.0)
    }

    /// Commits, trees and small blobs (less than 64 KiB) of `want` that `have` has not, as a pack; the whole of it where the server offers no filter.
    /// Returns the number of pack bytes.
    pub async fn fetch(
        &mut self,
        want: Oid,
        have: &[Oid],
        pack: &mut (dyn AsyncWrite + Unpin + Send),
        bounds: &Bounds,
    ) -> Result<u64, Refusal> {
        let have = &have[..have.len().min(MOST_WANTS)];
        let answer = self
            .converse(
                &mut Meter::new(bounds),
                |server| server.fetch(want, have),
                Answer::Pack(pack),
            )
            .await?;
        Ok(answer.1)
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
            return Err(Refusal::new(
                &rules::PACK,
                format!(
                    "{} objects in one request; at most {MOST_WANTS} fit",
                    want.len()
                ),
            ));
        }
        let answer = self
            .converse(
                &mut Meter::new(bounds),
                |server| server.fetch_exactly(want),
                Answer::Pack(pack),
            )
            .await?;
        Ok(answer.1)
    }

    /// One request and its answer. After a failure nothing that was kept is used again.
    async fn converse(
        &mut self,
        meter: &mut Meter,
        request: impl FnOnce(&Capabilities) -> Vec<u8>,
        answer: Answer<'_>,
    ) -> Result<(Option<Oid>, u64), Refusal> {
        let done = match &mut self.way {
            Way::Http(smart) => over_http(smart, &self.shown, meter, request, answer).await,
            Way::Ssh(ssh) => match ssh.start() {
                Ok(session) => {
                    over_pipes(
                        Source::Pipe(Box::new(session), ssh::judge),
                        &self.shown,
                        meter,
                        request,
                        answer,
                    )
                    .await
                }
                Err(error) => Err(ssh::not_started(&error)),
            },
            Way::Path(path) => match path::start(path) {
                Ok(session) => {
                    over_pipes(
                        Source::Pipe(Box::new(session), path::judge),
                        &self.shown,
                        meter,
                        request,
                        answer,
                    )
                    .await
                }
                Err(error) => Err(path::not_started(&error)),
            },
        };
        match (&mut self.way, &done) {
            (Way::Http(smart), Err(_)) => smart.forget(),
            (Way::Ssh(ssh), Err(_)) => ssh.drop_master(),
            (Way::Ssh(ssh), Ok(_)) => ssh.keep_master(),
            _ => {}
        }
        done
    }
}

/// What the answer is expected to be, and where it goes.
enum Answer<'a> {
    Ref(&'a str),
    Pack(&'a mut (dyn AsyncWrite + Unpin + Send)),
}

async fn over_http(
    smart: &mut Smart,
    shown: &str,
    meter: &mut Meter,
    request: impl FnOnce(&Capabilities) -> Vec<u8>,
    answer: Answer<'_>,
) -> Result<(Option<Oid>, u64), Refusal> {
    let capabilities = smart.capabilities(shown, meter).await?;
    let reply = smart.ask(request(&capabilities), shown, meter).await?;
    receive(reply, meter, answer).await
}

/// A process says what it can each time.
async fn over_pipes(
    source: Source<'_>,
    shown: &str,
    meter: &mut Meter,
    request: impl FnOnce(&Capabilities) -> Vec<u8>,
    answer: Answer<'_>,
) -> Result<(Option<Oid>, u64), Refusal> {
    let mut reply = Reply::new(source, shown);
    let capabilities = reply.capabilities(meter).await?;
    reply.send(&request(&capabilities), meter).await?;
    receive(reply, meter, answer).await
}

async fn receive(
    mut reply: Reply<'_>,
    meter: &mut Meter,
    answer: Answer<'_>,
) -> Result<(Option<Oid>, u64), Refusal> {
    let received = match answer {
        Answer::Ref(name) => (
            reply
                .lines(meter, |line| protocol::ref_line(line, name))
                .await?,
            0,
        ),
        Answer::Pack(pack) => {
            reply.too_much = &rules::PACK;
            (None, reply.pack(meter, pack).await?)
        }
    };
    reply.finish(meter).await?;
    Ok(received)
}
