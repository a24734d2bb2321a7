//! From the ref update on the server to the first instruction of the program: ours, and a hook that runs the git program, in turns.

use super::{
    commits::{self, Files},
    figures::Samples,
    program::{self, Protections},
    watched::{IndexerWatch, Roles, cpu, monotonic},
    webhook,
};
use crate::{
    Deploy, GitOverHttp, GitOverSsh, Running, SwarmBox, World,
    process::{free_port, run, until},
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

/// Rounds before those that count; the indexer is looked for in these.
const WARM: usize = 5;
/// Between two rounds, so that none pays for what the one before still has to do.
const PAUSE: Duration = Duration::from_millis(300);
const SECRET: &str = "a secret of the bench";

/// What is raced over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Transport {
    Http,
    Ssh,
}

/// One race.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// How the box and the hook reach the server.
    pub transport: Transport,
    /// 10,000 bundles and 1,000 manifests beside ours.
    pub is_crowded: bool,
    /// The old revision runs and has to be stopped first.
    pub stays: bool,
}

/// How it ended, in milliseconds.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Finish {
    pub ours: Samples,
    pub git: Samples,
    /// CPU of supervisor and agent in a round of ours, without their children.
    pub cpu: Samples,
    pub protections: Protections,
}

/// Runs so many rounds of each.
pub fn race(course: Course, rounds: usize) -> Result<Finish> {
    let world = World::new()?;
    let deploy = Deploy::new(&world)?;
    let program = publish(&world, &deploy, course)?;
    let mut head = deploy.head()?;
    if course.is_crowded {
        let crowd = commits::crowd(10_000, 1_000);
        head = last(&commits::chain(&deploy, &head, &[crowd])?)?;
    }
    let texts: Vec<Files> = (1..=WARM + rounds)
        .map(|round| vec![manifest(course, round)])
        .collect();
    let prepared = commits::chain(&deploy, &head, &texts)?;
    deploy.git(&[
        "push",
        "-q",
        "--no-verify",
        "origin",
        &format!("{head}:refs/heads/main"),
    ])?;
    commits::pack_server(&deploy)?;
    commits::lay_ready(&deploy, &last(&prepared)?)?;
    let server = Server::start(&world, course.transport)?;
    let port = free_port()?;
    let mut here = a_box(&world, &deploy, &server, port)?;
    here.run()?;
    let stamps = here.path("state/workflows/stamp/0");
    program::stamp(&stamps, 0).with_context(|| here.log())?;
    let roles = Roles::find(here.supervisor().pid())?;
    let git = GitHook::new(&world, &server, program)?;
    let mut finish = Finish {
        ours: Samples::default(),
        git: Samples::default(),
        cpu: Samples::default(),
        protections: Protections::of_program(&stamps)?,
    };
    finish.protections.ensure_on()?;
    let mut watch = Some(IndexerWatch::begin(roles.supervisor));
    // Or the disk is still busy with the repository when the rounds begin.
    nix::unistd::sync();
    for (round, commit) in (1..).zip(&prepared) {
        if round == WARM + 1
            && let Some(watch) = watch.take()
        {
            watch.end()?;
        }
        std::thread::sleep(PAUSE);
        commits::move_branch(&deploy, commit)?;
        let used = || -> Result<f64> { roles.all().into_iter().map(cpu).sum() };
        let ours = || -> Result<(f64, f64)> {
            let before = used()?;
            let moved = monotonic()?;
            // What forges say of a push.
            let body = format!("{{\"ref\":\"refs/heads/main\",\"after\":\"{commit}\"}}");
            webhook::post(port, SECRET, &body)?;
            let stamp = program::stamp(&stamps, round).with_context(|| here.log())?;
            Ok((milliseconds(stamp - moved), used()? - before))
        };
        // Whoever comes second finds the server's files in memory: they take turns.
        let ((took, used), git_took) = if round.is_multiple_of(2) {
            (ours()?, git.run(round)?)
        } else {
            let git_took = git.run(round)?;
            std::thread::sleep(PAUSE);
            (ours()?, git_took)
        };
        if round > WARM {
            finish.ours.push(took);
            finish.git.push(git_took);
            finish.cpu.push(used);
        }
    }
    ensure!(
        Roles::find(here.supervisor().pid())?.agent == roles.agent,
        "the agent was started again during the race\n{}",
        here.log()
    );
    Ok(finish)
}

fn milliseconds(nanoseconds: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a minute at most")]
    let nanoseconds = nanoseconds as f64;
    nanoseconds / 1e6
}

fn last(commits: &[String]) -> Result<String> {
    commits.last().cloned().context("a commit")
}

fn manifest(course: Course, round: usize) -> (String, String) {
    let (mode, stay) = if course.stays {
        ("daemon", "STAY = \"1\"\n")
    } else {
        ("once", "")
    };
    let text = format!(
        "version = \"1.0.0\"\n\n[on]\nall = true\n\n[run]\nmode = \"{mode}\"\n\n[env]\nROUND = \"{round}\"\n{stay}"
    );
    ("manifests/stamp.toml".into(), text)
}

/// Publishes the program and its first manifest; gives the program's path for the hook.
fn publish(world: &World, deploy: &Deploy<'_>, course: Course) -> Result<PathBuf> {
    let program = program::compile(world)?;
    let source = deploy.source(
        "stamp",
        "1.0.0",
        "engine = \"exec\"\nentry = \"stamp\"\n",
        &[],
    )?;
    fs::copy(&program, deploy.path(&source).join("stamp"))?;
    deploy.pack(&["publish", &source])?;
    deploy.manifest("stamp", &manifest(course, 0).1)?;
    Ok(program)
}

fn a_box<'a>(
    world: &'a World,
    deploy: &Deploy<'_>,
    server: &Server,
    port: u16,
) -> Result<SwarmBox<'a>> {
    let secret = world.path("hook.secret");
    fs::write(&secret, format!("{SECRET}\n"))?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644))?;
    SwarmBox::new(
        world,
        "box-1",
        deploy,
        &server.url()?,
        &format!("poll = \"10m\"\n{}", server.settings()),
        &format!(
            "[webhook]\nlisten = \"127.0.0.1:{port}\"\nsecret-file = \"{}\"\n",
            secret.display()
        ),
    )
}

enum Server {
    Http(GitOverHttp),
    Ssh(GitOverSsh),
}

impl Server {
    fn start(world: &World, transport: Transport) -> Result<Self> {
        Ok(match transport {
            Transport::Http => Self::Http(GitOverHttp::start(world)?),
            Transport::Ssh => Self::Ssh(GitOverSsh::start(world)?),
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
            Self::Http(_) => String::new(),
            Self::Ssh(server) => server.settings(),
        }
    }
}

/// The peer: a bare clone, `git fetch` by the git program, then fork and exec of the same program.
struct GitHook<'a> {
    world: &'a World,
    program: PathBuf,
    clone: PathBuf,
    state: PathBuf,
    ssh: Option<String>,
    /// The connection that git shares, kept as long as this.
    _master: Option<Running>,
}

impl<'a> GitHook<'a> {
    fn new(world: &'a World, server: &Server, program: PathBuf) -> Result<Self> {
        let (ssh, master) = match server {
            Server::Http(_) => (None, None),
            Server::Ssh(server) => {
                let (command, master) = kept_session(world, server)?;
                (Some(command), Some(master))
            }
        };
        let hook = Self {
            world,
            program,
            clone: world.path("hook.git"),
            state: world.path("hook-state"),
            ssh,
            _master: master,
        };
        fs::create_dir(&hook.state)?;
        run(hook
            .git()
            .args(["clone", "-q", "--bare", &server.url()?])
            .arg(&hook.clone))?;
        Ok(hook)
    }

    fn git(&self) -> Command {
        let mut command = self.world.command("git");
        if let Some(ssh) = &self.ssh {
            command.env("GIT_SSH_COMMAND", ssh);
        }
        command
    }

    /// One round: milliseconds from now to the program's stamp.
    fn run(&self, round: usize) -> Result<f64> {
        let moved = monotonic()?;
        let fetched = self
            .git()
            .arg("-C")
            .arg(&self.clone)
            .args(["fetch", "-q", "origin", "+refs/heads/main:refs/heads/main"])
            .stdin(Stdio::null())
            .status()?;
        ensure!(fetched.success(), "git fetch: {fetched}");
        let ended = Command::new(&self.program)
            .env("SWARM_STATE", &self.state)
            .env("ROUND", round.to_string())
            .stdout(Stdio::null())
            .status()?;
        ensure!(ended.success(), "the program: {ended}");
        Ok(milliseconds(program::stamp(&self.state, round)? - moved))
    }
}

/// A master connection for the git program, and what it has to run as `ssh` to share it.
fn kept_session(world: &World, server: &GitOverSsh) -> Result<(String, Running)> {
    let socket = world.path("hook.ssh");
    let shared = format!(
        "{} -o ControlPath={}",
        server.ssh_command(),
        socket.display()
    );
    let url = server.url("")?;
    let user = url
        .trim_start_matches("ssh://")
        .split_once('@')
        .context("a user")?
        .0;
    let line = format!(
        "exec {shared} -o ControlMaster=yes -N -p {} {user}@127.0.0.1",
        server.port()
    );
    let master = Running::start(
        "ssh master",
        world.command("sh").args(["-c", &line]),
        &world.path("logs/ssh-master"),
    )?;
    until("the shared ssh connection", || {
        socket.exists().then_some(())
    })?;
    Ok((shared, master))
}
