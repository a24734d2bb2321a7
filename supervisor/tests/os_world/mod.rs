//! A box in miniature for the tests of the operating system's rooms: everything lies below a folder of mode 0700 in /tmp.
#![allow(dead_code)] // Each test file uses another part.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use swarm_manifests::{
    bundle::{Limits, Sandbox},
    status::LastExit,
};
use swarm_supervisor::{
    os::{
        identity::Pidfd,
        launch::{Ids, Launch, Profile},
        pipes::Pipes,
        spawn::{self, Child, SpawnError},
    },
    protocol::Stream,
};

/// An ordinary user of every box.
const NOBODY: u32 = 65_534;
/// The longest that anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

pub fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Runs all tests of the calling file again as an ordinary user, but the one that calls this.
pub fn again_as_ordinary_user(but: &str) {
    use std::os::unix::process::CommandExt as _;
    if !root() {
        return;
    }
    let dir = tempfile::tempdir_in("/tmp").expect("tempdir");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("mode");
    let copy = dir.path().join("tests");
    // Where the program lies may be closed to others. By cp: a descriptor of ours could be open in a child that another test just forks.
    let program = std::env::current_exe().expect("a program");
    assert!(
        std::process::Command::new("cp")
            .args([&program, &copy])
            .status()
            .expect("cp")
            .success()
    );
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("mode");
    let mut command = std::process::Command::new(&copy);
    command
        .args(["--skip", but])
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/")
        .env("HOME", "/")
        .env_remove("TMPDIR");
    let output = command.output().expect("run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// Waits for something that comes by itself.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub struct World {
    _dir: tempfile::TempDir,
    pub top: PathBuf,
    pub state: PathBuf,
    pub bundle: PathBuf,
    pipes: Pipes,
    out: RefCell<String>,
    err: RefCell<String>,
}

pub struct Done {
    pub exit: LastExit,
    pub out: String,
    pub err: String,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir_in("/tmp").expect("tempdir");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("mode");
        let top = dir.path().join("state");
        let (run, bundle, state) = (
            top.join("run"),
            top.join("store/x/tree"),
            top.join("workflows/w/0"),
        );
        for folder in [&run, &bundle, &state] {
            fs::create_dir_all(folder).expect("folder");
        }
        fs::write(bundle.join("main"), "the bundle\n").expect("written");
        fs::set_permissions(&bundle, fs::Permissions::from_mode(0o555)).expect("mode");
        let pipes = Pipes::open(&run, None).expect("pipes");
        Self {
            _dir: dir,
            top,
            state,
            bundle,
            pipes,
            out: RefCell::default(),
            err: RefCell::default(),
        }
    }

    /// A folder below the top, owned by this user where users can be switched.
    pub fn folder(&self, path: &str, uid: u32) -> PathBuf {
        let folder = self.top.join(path);
        fs::create_dir_all(&folder).expect("folder");
        give(&folder, uid);
        folder
    }

    /// A shell script in the default sandbox.
    pub fn shell(&self, script: &str, uid: u32) -> Launch {
        give(&self.state, uid);
        for pipe in ["stdout.pipe", "stderr.pipe"] {
            give(&self.top.join("run").join(pipe), uid);
        }
        let (stdout, stderr) = self.pipes.for_child().expect("pipes");
        let env = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".into()),
            ("SWARM_STATE", self.state.clone().into_os_string()),
        ];
        Launch {
            profile: Profile::Workflow,
            argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
            env: env
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect::<BTreeMap<_, _>>(),
            workdir: self.state.clone(),
            user: root().then(|| Ids {
                uid,
                gid: uid,
                groups: Vec::new(),
            }),
            stdout,
            stderr,
            extra: None,
            cgroup: None,
            limits: Limits::default(),
            sandbox: Sandbox::default(),
            read: vec![self.bundle.clone()],
            write: vec![self.state.clone()],
            stand_ins: Vec::new(),
            hide: vec![self.top.clone()],
            join: None,
        }
    }

    #[allow(clippy::unused_self)] // Reads like the others.
    pub fn spawn(&self, launch: Launch) -> Result<Child, SpawnError> {
        spawn::spawn(launch)
    }

    /// To its end.
    pub fn run(&self, launch: Launch) -> Done {
        self.read();
        self.out.borrow_mut().clear();
        self.err.borrow_mut().clear();
        let child = self.spawn(launch).expect("started");
        let exit = self.wait(&child.pidfd);
        self.read();
        Done {
            exit,
            out: self.out.borrow().clone(),
            err: self.err.borrow().clone(),
        }
    }

    pub fn wait(&self, pidfd: &Pidfd) -> LastExit {
        let mut exit = None;
        until("the process ends", || {
            self.read();
            exit = pidfd.exit();
            exit.is_some()
        });
        exit.expect("it ended")
    }

    pub fn wait_for(&self, text: &str) {
        until(text, || {
            self.read();
            self.out.borrow().contains(text)
        });
        self.out.borrow_mut().clear();
    }

    fn read(&self) {
        let mut buffer = [0; 4096];
        for (stream, text) in [(Stream::Stdout, &self.out), (Stream::Stderr, &self.err)] {
            while let Ok(read @ 1..) = self.pipes.read(stream, &mut buffer) {
                text.borrow_mut()
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        }
    }
}

fn give(path: &Path, uid: u32) {
    if root() {
        chown(path, Some(uid), Some(uid)).expect("chown");
    }
}
