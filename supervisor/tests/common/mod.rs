//! A world for tests: a folder, the supervisor as a process of its own, and ourselves as its agent.
#![allow(dead_code, clippy::expect_used)]

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};
use swarm_manifests::{
    bundle::{Limits, Sandbox, Stop, Workdir},
    id::Digest,
    lock::{Entry, Kind, Lock},
    manifest::{Mode, OnLimit, Restart},
    status::{Row, State},
};
use swarm_supervisor::{
    client,
    protocol::{Decoder, FromAgent, LogLine, Origin, Request, Response, RunSpec, ToAgent, encode},
};

/// Everything takes far less; a machine under load takes longer.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct World {
    pub folder: tempfile::TempDir,
    supervisor: Option<Child>,
    listener: UnixListener,
    agent: Option<UnixStream>,
    decoder: Decoder,
    /// Every message that the supervisor sent.
    pub heard: Vec<ToAgent>,
    stop: bool,
    /// Whom the supervisor runs as, besides us.
    user: Option<u32>,
    /// What the supervisor is told besides; `{folder}` is the world's.
    env: Option<(&'static str, String)>,
}

impl World {
    pub fn new() -> Self {
        Self::of(None)
    }

    /// With a supervisor that an ordinary user started.
    pub fn of_nobody() -> Self {
        Self::of(Some(65_534))
    }

    /// With a supervisor that keeps folders of removed workflows for so many milliseconds.
    pub fn new_keeping_state(milliseconds: u32) -> Self {
        Self::with(
            None,
            Some(("SWARM_KEEP_STATE_MS", milliseconds.to_string())),
        )
    }

    /// With a supervisor whose logs go on to [`World::log_socket`] too, as `journald` or `syslog` have it.
    pub fn new_forwarding(kind: &str) -> Self {
        let forward = format!("{kind}={{folder}}/log.sock");
        Self::with(None, Some(("SWARM_FORWARD", forward)))
    }

    pub fn log_socket(&self) -> PathBuf {
        self.folder.path().join("log.sock")
    }

    fn of(user: Option<u32>) -> Self {
        Self::with(user, None)
    }

    fn with(user: Option<u32>, env: Option<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("passable");
        let listener = UnixListener::bind(folder.path().join("agent.sock")).expect("a socket");
        let mut world = Self {
            folder,
            supervisor: None,
            listener,
            agent: None,
            decoder: Decoder::new(),
            heard: Vec::new(),
            stop: true,
            user,
            env,
        };
        world.give(world.folder.path());
        fs::write(world.ceiling(), "").expect("a ceiling");
        world.give(&world.folder.path().join("agent.sock"));
        world.start();
        world
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts the supervisor and waits for its Hello.
    pub fn start(&mut self) {
        let socket = self.folder.path().join("agent.sock");
        self.launch(&socket);
        self.meet();
    }

    /// Waits for the Hello of a supervisor that is started already.
    pub fn meet(&mut self) {
        let (agent, _) = self.listener.accept().expect("it connects");
        agent
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout");
        self.agent = Some(agent);
        self.decoder = Decoder::new();
        let heard = self.heard.len();
        self.until("Hello", |world| {
            world.heard[heard..]
                .iter()
                .any(|m| matches!(m, ToAgent::Hello { .. }))
                .then_some(())
        });
    }

    /// Starts the supervisor with an agent of its own: a shell script.
    pub fn start_with_agent(&mut self, script: &str) {
        let agent = self.folder.path().join("agent.sh");
        fs::write(&agent, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("a mode");
        self.launch(&agent);
        let control = self.control();
        self.until("the control socket answers", |_| {
            client::connect(&control)
                .and_then(|connection| connection.ask(&Request::List { full: false }))
                .ok()
        });
    }

    fn launch(&mut self, agent: &Path) {
        use std::os::unix::process::CommandExt as _;
        let mut program = std::env::current_exe().expect("ourselves");
        program.pop();
        program.pop();
        let mut program = program.join("examples/supervise");
        if self.user.is_some() {
            // Where it lies may be closed to others.
            let copy = self.folder.path().join("supervise");
            if !copy.exists() {
                let copied = Command::new("cp").arg(&program).arg(&copy).status();
                assert!(copied.expect("cp").success());
            }
            program = copy;
        }
        let mut command = Command::new(program);
        command.arg(self.state()).arg(self.control()).arg(agent);
        if self.stop {
            command.arg("--stop");
        }
        command.env("SWARM_CEILING_FILE", self.ceiling());
        if let Some((name, value)) = &self.env {
            let folder = self.folder.path().display().to_string();
            command.env(name, value.replace("{folder}", &folder));
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        self.supervisor = Some(
            command
                .spawn()
                .expect("the supervisor's example is built with the tests"),
        );
    }

    fn give(&self, path: &Path) {
        if let Some(user) = self.user {
            std::os::unix::fs::chown(path, Some(user), Some(user)).expect("chown");
        }
    }

    pub fn pid(&self) -> i32 {
        self.supervisor
            .as_ref()
            .expect("it runs")
            .id()
            .cast_signed()
    }

    /// `kill -9`, and nobody is left to wait for it.
    pub fn crash(&mut self) {
        let mut supervisor = self.supervisor.take().expect("it runs");
        supervisor.kill().expect("kill -9");
        supervisor.wait().expect("wait");
        self.agent = None;
    }

    /// SIGTERM, to the end.
    pub fn end(&mut self) {
        let Some(mut supervisor) = self.supervisor.take() else {
            return;
        };
        let _ = kill(
            Pid::from_raw(supervisor.id().cast_signed()),
            Signal::SIGTERM,
        );
        let _ = supervisor.wait();
        self.agent = None;
    }

    /// What workflows may write to on this box: a path a line.
    pub fn ceiling(&self) -> PathBuf {
        self.folder.path().join("ceiling")
    }

    pub fn control(&self) -> PathBuf {
        self.folder.path().join("run/control.sock")
    }

    pub fn tell(&mut self, message: &FromAgent) {
        self.agent
            .as_mut()
            .expect("connected")
            .write_all(&encode(message))
            .expect("it listens");
    }

    pub fn put(&mut self, spec: &RunSpec) {
        self.tell(&FromAgent::Put(Box::new(spec.clone())));
        let revision = spec.revision;
        self.until("the put is known", |world| {
            world
                .heard
                .iter()
                .any(|message| match message {
                    ToAgent::Changed(actual) => {
                        actual.revision == Some(revision) || actual.successor == Some(revision)
                    }
                    _ => false,
                })
                .then_some(())
        });
    }

    /// Puts what is not there, and waits for its rows.
    pub fn put_anew(&mut self, spec: &RunSpec) {
        self.tell(&FromAgent::Put(Box::new(spec.clone())));
        let name = spec.workflow.as_str();
        self.until("the put is known", |world| {
            let rows = world.rows();
            rows.iter().any(|row| row.workflow == name).then_some(())
        });
    }

    pub fn ask(&self, request: &Request) -> Vec<Response> {
        client::connect(&self.control())
            .and_then(|connection| connection.ask(request))
            .expect("an answer")
    }

    pub fn rows(&self) -> Vec<Row> {
        self.list(false)
    }

    pub fn list(&self, full: bool) -> Vec<Row> {
        let answers = self.ask(&Request::List { full }).into_iter();
        let rows = answers.filter_map(|response| match response {
            Response::Rows(rows) => Some(rows),
            _ => None,
        });
        rows.flatten().collect()
    }

    pub fn log(&self, workflow: &str) -> Vec<String> {
        let request = Request::Logs {
            workflow: workflow.into(),
            follow: false,
            lines: None,
            since_unix_ms: None,
        };
        self.ask(&request)
            .into_iter()
            .filter_map(|response| match response {
                Response::Log(LogLine { text, stream, .. })
                    if stream != swarm_supervisor::protocol::Stream::Swarm =>
                {
                    Some(text)
                }
                _ => None,
            })
            .collect()
    }

    /// The only row of a workflow, once it is in this state.
    pub fn reaches(&mut self, workflow: &str, state: State) -> Row {
        self.until(&format!("{workflow} is {}", state.as_str()), |world| {
            world
                .rows()
                .into_iter()
                .find(|row| row.workflow == workflow && row.state == state)
        })
    }

    pub fn until<T>(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            self.listen();
            if let Some(value) = condition(self) {
                return value;
            }
            assert!(
                begun.elapsed() < LIMIT,
                "it did not come to pass: {what}; {:?}",
                self.rows()
            );
        }
    }

    /// Takes what the supervisor says, for a moment at most.
    fn listen(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        let mut buffer = vec![0; 64 << 10];
        if let Ok(count) = agent.read(&mut buffer) {
            self.decoder.push(&buffer[..count]);
        }
        while let Some(message) = self.decoder.next_frame().expect("frames") {
            self.heard.push(message);
        }
    }

    /// A stored bundle with one shell script, and a spec that runs it.
    pub fn script(&self, workflow: &str, mode: Mode, script: &str) -> RunSpec {
        let digest = self.store(workflow, &[("run.sh", script)]);
        RunSpec {
            workflow: workflow.parse().expect("a name"),
            bundle: workflow.parse().expect("a name"),
            version: "1.0.0".into(),
            digest,
            revision: Digest::of(format!("{digest}{mode:?}").as_bytes()),
            origin: Origin {
                by: Some("alice".into()),
                commit: Some("c0ffee".into()),
                ..Origin::default()
            },
            mode,
            time_limit: None,
            on_limit: OnLimit::Expire,
            instances: 1,
            schedule: None,
            restart: Restart::default(),
            command: vec!["/bin/sh".into(), "{bundle}/run.sh".into()],
            env: BTreeMap::new(),
            workdir: Workdir::State(String::new()),
            user: None,
            ports: Vec::new(),
            install: None,
            ready: None,
            health: None,
            stop: Stop {
                grace: Duration::from_millis(300),
                ..Stop::default()
            },
            limits: Limits::default(),
            sandbox: Sandbox::default(),
            secrets: BTreeMap::new(),
            grounds: vec![],
            store: self.state().join("store").join(digest.hex()),
        }
    }

    fn store(&self, name: &str, files: &[(&str, &str)]) -> Digest {
        let entries = files.iter().map(|(path, text)| Entry {
            hash: Digest::of(text.as_bytes()),
            kind: Kind::Plain,
            size: text.len() as u64,
            path: (*path).into(),
        });
        let lock = Lock::new(
            name.parse().expect("a name"),
            semver::Version::new(1, 0, 0),
            entries.collect(),
        )
        .expect("a lock");
        let folder = self.state().join("store").join(lock.digest().hex());
        fs::create_dir_all(folder.join("tree")).expect("a store");
        fs::write(folder.join("bundle.lock"), lock.text()).expect("a lock");
        for (path, text) in files {
            let path = folder.join("tree").join(path);
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("a mode");
            self.give(&path);
        }
        for folder in [&folder, &folder.join("tree")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a mode");
            self.give(folder);
        }
        self.give(&folder.join("bundle.lock"));
        lock.digest()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether a process is there (and no zombie).
pub fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| !rest.trim_start().starts_with('Z'))
    })
}

/// Waits until a process is gone, or a zombie.
pub fn until_gone(pid: i32) {
    let begun = Instant::now();
    while lives(pid) {
        assert!(begun.elapsed() < LIMIT, "process {pid} lives on");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A child of this process with this name.
pub fn child_named(parent: i32, name: &str) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let mut pids = children.split_ascii_whitespace();
    let is_it = |pid: &&str| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    pids.find(is_it)?.parse().ok()
}

/// The number that a program wrote into a file.
pub fn number(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
