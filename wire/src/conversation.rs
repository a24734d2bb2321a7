//! One server, and what is open to it: a kept-alive connection over HTTP, otherwise a running `git-upload-pack`. Touches network and processes.
//!
//! A running upload-pack knows the references as they were when it first looked: each look gets one of its own. Objects it does find
//! later, so the fetches after a look go through the same one.

use crate::{
    bounds::Meter,
    options::Options,
    path,
    pipe::Session,
    protocol::Capabilities,
    reply::{Judge, Reply, Source},
    smart::Smart,
    ssh::{self, Ssh},
    url::{Scheme, Url},
};
use std::path::PathBuf;
use swarm_manifests::{problem::Refusal, rules::remote as rules};

/// A way to a server.
pub(crate) enum Conversation {
    /// `https://`, `http://`
    Http(Box<Smart>),
    /// `ssh://`
    Ssh(Box<Ssh>, Option<Running>),
    /// `file://`, a path
    Path(PathBuf, Option<Running>),
}

/// A process that answered, and may be asked again.
pub(crate) struct Running {
    session: Box<Session>,
    server: Capabilities,
}

impl Running {
    /// Waits until it is gone.
    pub async fn end(mut self) {
        self.session.end().await;
    }
}

impl Conversation {
    /// Nothing is opened yet.
    pub fn new(url: Url, options: &Options) -> Result<Self, Refusal> {
        Ok(match url.scheme {
            Scheme::Https | Scheme::Http => Self::Http(Box::new(Smart::new(url, options))),
            Scheme::Ssh => Self::Ssh(Box::new(Ssh::new(url, options)?), None),
            Scheme::File => Self::Path(url.file_path(), None),
        })
    }

    /// Sends a request, made for what the server can, to the process that still runs, or to a new one.
    pub async fn ask<'a>(
        &'a mut self,
        shown: &'a str,
        request: impl FnOnce(Capabilities) -> Vec<u8>,
        meter: &mut Meter,
    ) -> Result<(Reply<'a>, Capabilities), Refusal> {
        let (running, judge) = match self {
            Self::Http(smart) => {
                let server = smart.capabilities(shown, meter).await?;
                return Ok((smart.ask(request(server), shown, meter).await?, server));
            }
            Self::Ssh(_, running) => (running.take(), ssh::judge as Judge),
            Self::Path(_, running) => (running.take(), path::judge as Judge),
        };
        let running = running.and_then(|mut running| running.session.is_alive().then_some(running));
        let (mut reply, server) = if let Some(Running { session, server }) = running {
            (Reply::new(Source::Pipe(session, judge), shown), server)
        } else {
            let mut reply = Reply::new(Source::Pipe(Box::new(self.start()?), judge), shown);
            let server = reply.capabilities(meter).await?;
            (reply, server)
        };
        reply.send(&request(server), meter).await?;
        Ok((reply, server))
    }

    fn start(&self) -> Result<Session, Refusal> {
        match self {
            Self::Ssh(ssh, _) => ssh.start().map_err(|error| ssh::not_started(&error)),
            Self::Path(path, _) => path::start(path).map_err(|error| path::not_started(&error)),
            Self::Http(_) => Err(Refusal::new(&rules::URL, "http needs no process")),
        }
    }

    /// What an answer left running.
    pub fn keep(&mut self, session: Option<Box<Session>>, server: Capabilities) {
        if let Self::Ssh(_, running) | Self::Path(_, running) = self {
            *running = session.map(|session| Running { session, server });
        }
    }

    /// What runs, so that a new one will be started.
    pub fn part(&mut self) -> Option<Running> {
        match self {
            Self::Ssh(_, running) | Self::Path(_, running) => running.take(),
            Self::Http(_) => None,
        }
    }

    /// After a success ssh gets its master; after a failure nothing that was kept is used again.
    pub fn settle(&mut self, well: bool) {
        match (self, well) {
            (Self::Http(_) | Self::Path(..), true) => {}
            (Self::Ssh(ssh, _), true) => ssh.keep_master(),
            (Self::Http(smart), false) => smart.forget(),
            (Self::Ssh(ssh, running), false) => {
                *running = None;
                ssh.drop_master();
            }
            (Self::Path(_, running), false) => *running = None,
        }
    }
}
