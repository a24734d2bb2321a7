//! What a poll costs that finds nothing: CPU of the agent by its own clock, bytes by the server's count; over HTTP beside a limit in C
//! that asks the same server after it. Touches processes.

use super::{
    c::compile,
    figures::Samples,
    watched::{Roles, cpu, cpu_of_children},
};
use crate::{
    Deploy, GitOverHttp, GitOverSsh, SwarmBox, World,
    process::{Running, until},
};
use anyhow::{Context, Result, ensure};
use std::{fmt::Write as _, fs, time::Duration};

/// Polls before those that count.
const WARM: usize = 40;
/// Polls that make one measurement of CPU.
const BATCH: usize = 20;
const POLL: Duration = Duration::from_millis(50);
/// From the end of one poll to well before the next.
const AFTER: Duration = Duration::from_millis(10);

/// Over what it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Line {
    Http,
    Https,
    Ssh,
}

/// For one poll.
#[derive(Debug)]
pub struct Cost {
    /// Milliseconds of the agent's CPU.
    pub cpu: Samples,
    /// The same of the limit in C, on the same server with the same question.
    pub limit: Option<Samples>,
    /// The same of the processes that it ran for it (`ssh`).
    pub children: f64,
    /// Request and answer; nothing where the server does not count.
    pub bytes: Option<Samples>,
}

/// Measures so many batches of polls on a server with so many refs.
pub fn cost(line: Line, refs: usize, batches: usize) -> Result<Cost> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    deploy.push()?;
    add_refs(&deploy, refs)?;
    let server = Server::start(&world, line)?;
    let mut here = SwarmBox::new(
        &world,
        "box-1",
        &deploy,
        &server.url()?,
        &format!("poll = \"{}ms\"\n{}", POLL.as_millis(), server.settings()),
        "",
    )?;
    here.run()?;
    let agent = Roles::find(here.supervisor().pid())?.agent;
    server.until_polls(WARM).with_context(|| here.log())?;
    let begun = server.polls();
    let before = cpu_of_children(agent)?;
    let cpu = server.cpu_of(agent, batches)?;
    let children = (cpu_of_children(agent)? - before) / count(server.polls() - begun);
    let bytes = server.bytes(begun);
    drop(here);
    Ok(Cost {
        cpu,
        limit: limit(&world, &server, line, batches)?,
        children,
        bytes,
    })
}

/// The limit in C, on a line that it knows.
fn limit(world: &World, server: &Server, line: Line, batches: usize) -> Result<Option<Samples>> {
    let (Line::Http, Server::Http(http)) = (line, server) else {
        return Ok(None);
    };
    let program = compile(world, "poll", include_str!("poll.c"))?;
    let question = world.path("question");
    fs::write(&question, ask(http.port()))?;
    let log = world.path("logs/limit");
    let mut command = world.command(&program);
    command
        .arg(http.port().to_string())
        .arg(POLL.as_micros().to_string())
        .arg(&question);
    let mut limit = Running::start("the limit in C", &mut command, &log)?;
    server.until_polls(server.polls() + WARM)?;
    let samples = server.cpu_of(limit.pid(), batches);
    ensure!(limit.is_alive(), "the limit in C ended");
    limit.kill();
    samples.map(Some)
}

/// Where main is, as the agent asks for it.
fn ask(port: u16) -> String {
    let lines = [
        pkt("command=ls-refs"),
        pkt("object-format=sha1"),
        "0001".into(),
        pkt("ref-prefix refs/heads/main"),
        "0000".into(),
    ];
    let body = lines.concat();
    format!(
        "POST /deploy.git/git-upload-pack HTTP/1.1\r\ngit-protocol: version=2\r\ncontent-type: application/x-git-upload-pack-request\r\naccept: application/x-git-upload-pack-result\r\nhost: 127.0.0.1:{port}\r\nuser-agent: git/swarmlet\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn pkt(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn count(number: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a few hundred")]
    let number = number as f64;
    number
}

/// Branches beside main, in the form that `git pack-refs` leaves.
fn add_refs(deploy: &Deploy<'_>, refs: usize) -> Result<()> {
    let head = deploy.head()?;
    let mut packed = String::from("# pack-refs with: peeled fully-peeled sorted \n");
    for number in 1..refs {
        writeln!(packed, "{head} refs/heads/branch-{number:05}")?;
    }
    fs::write(deploy.remote().join("packed-refs"), packed)?;
    Ok(())
}

enum Server {
    Http(GitOverHttp),
    Ssh(GitOverSsh),
}

impl Server {
    fn start(world: &World, line: Line) -> Result<Self> {
        Ok(match line {
            Line::Http => Self::Http(GitOverHttp::start(world)?),
            Line::Https => Self::Http(GitOverHttp::start_tls(world)?),
            Line::Ssh => Self::Ssh(GitOverSsh::start(world)?),
        })
    }

    fn url(&self) -> Result<String> {
        match self {
            Self::Http(server) => Ok(server.url("deploy.git")),
            Self::Ssh(server) => server.url("deploy.git"),
        }
    }

    fn settings(&self) -> String {
        match self {
            Self::Http(server) => server
                .ca
                .as_ref()
                .map(|ca| format!("ca = \"{}\"\n", ca.display()))
                .unwrap_or_default(),
            Self::Ssh(server) => server.settings(),
        }
    }

    /// How often it was asked so far.
    fn polls(&self) -> usize {
        match self {
            Self::Http(server) => server.requests().len(),
            Self::Ssh(server) => server.sessions(),
        }
    }

    /// Waits for that many, and until the last is over.
    fn until_polls(&self, polls: usize) -> Result<()> {
        until("the agent polling", || {
            (self.polls() >= polls).then_some(())
        })?;
        std::thread::sleep(AFTER);
        Ok(())
    }

    /// Milliseconds for one poll of whoever asks, by so many batches.
    fn cpu_of(&self, pid: u32, batches: usize) -> Result<Samples> {
        let (mut polls, mut used) = (self.polls(), cpu(pid)?);
        let mut samples = Samples::default();
        for _ in 0..batches {
            self.until_polls(polls + BATCH)?;
            let (polls_now, used_now) = (self.polls(), cpu(pid)?);
            samples.push((used_now - used) / count(polls_now - polls));
            (polls, used) = (polls_now, used_now);
        }
        Ok(samples)
    }

    /// Of each poll after the first `begun`.
    fn bytes(&self, begun: usize) -> Option<Samples> {
        let Self::Http(server) = self else {
            return None;
        };
        #[allow(clippy::cast_precision_loss, reason = "a few hundred bytes")]
        let bytes = server.requests()[begun..]
            .iter()
            .map(|bytes| *bytes as f64)
            .collect::<Vec<_>>();
        Some(bytes.into())
    }
}
