//! Processes of the test world: run to the end, or kept running and ended by id.

use anyhow::{Context, Result, bail};
use std::{
    cell::Cell,
    fs::{self, File},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// How long anything in a test may take before the test says that it did not happen: long, for it costs only who fails.
pub const LIMIT: Duration = Duration::from_secs(240);

pub use crate::reserve::free_port;

thread_local! {
    /// Whether something that this test waited for did not happen. Each test has a thread of its own.
    static GAVE_UP: Cell<bool> = const { Cell::new(false) };
}

/// Whether this test is failing, by a panic or by something that did not happen: who is dropped now tells what it knows.
pub fn is_failing() -> bool {
    std::thread::panicking() || GAVE_UP.get()
}

/// A process that runs until it is dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it, its output in `log`.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        Ok(Self {
            name: name.into(),
            child,
            log: log.into(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said last.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        format!(
            "{} said:\n{}",
            self.name,
            lines[lines.len().saturating_sub(25)..].join("\n")
        )
    }

    /// Everything it said.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it is still there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal (`TERM`, `KILL`, `HUP`).
    pub fn signal(&mut self, name: &str) {
        if self.is_alive() {
            signal(self.pid(), name);
        }
    }

    /// Asks it to end, and waits; kills it after 20 s.
    pub fn end(&mut self) {
        self.signal("TERM");
        let begun = Instant::now();
        while self.is_alive() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// `kill -9`, and waits for the corpse.
    pub fn kill(&mut self) {
        if self.is_alive() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        if is_failing() {
            eprintln!("{}", self.last_words());
        }
    }
}

/// Sends a signal to one process by its id.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .stderr(Stdio::null())
        .status();
}

/// `kill -9` of one process, without a program that does it.
pub fn kill_now(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
}

/// Sends a signal to a process group that its leader's id names.
pub fn signal_group(leader: u32, name: &str) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), "--", &format!("-{leader}")])
        .stderr(Stdio::null())
        .status();
}

/// Whether a process of this id is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .trim_start()
            .starts_with('Z')
    })
}

/// Runs a command to its end, within the limit; what it printed is given back whatever it exited with.
pub fn output(command: &mut Command) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let mut stdout = child.stdout.take().context("stdout")?;
    let mut stderr = child.stderr.take().context("stderr")?;
    let readers = (
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        }),
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).map(|_| bytes)
        }),
    );
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begun.elapsed() > LIMIT * 2 {
            child.kill()?;
            GAVE_UP.set(true);
            bail!("{command:?} did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let join = |reader: std::thread::JoinHandle<std::io::Result<Vec<u8>>>| {
        reader
            .join()
            .map_err(|_| anyhow::anyhow!("a reader panicked"))?
            .map_err(anyhow::Error::from)
    };
    Ok(Output {
        status,
        stdout: join(readers.0)?,
        stderr: join(readers.1)?,
    })
}

/// Runs a command that has to succeed; gives its stdout.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command that has to succeed, with these bytes as its input; gives its stdout.
pub fn feed(command: &mut Command, bytes: &[u8]) -> Result<String> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    let output = command.stdin(file).output()?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Waits until `found` gives something; fails after [`LIMIT`], saying what did not happen.
pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(value) = found() {
            return Ok(value);
        }
        if begun.elapsed() > LIMIT {
            GAVE_UP.set(true);
            bail!("did not happen within {} s: {what}", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until `tried` succeeds; fails after [`LIMIT`] with what it last said.
pub fn until_ok<T>(what: &str, mut tried: impl FnMut() -> Result<T>) -> Result<T> {
    let mut last = None;
    let ended = until(what, || tried().map_err(|error| last = Some(error)).ok());
    match (ended, last) {
        (Err(error), Some(last)) => Err(last.context(error)),
        (ended, _) => ended,
    }
}

/// The path of a program that a test cannot do without; the error says how to install it.
pub fn program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} is needed: apt-get install {package}"))
}

/// The child of a process that runs the same program in this role (`SWARM_ROLE`).
pub fn child_in_role(parent: u32, role: &str) -> Option<u32> {
    let wanted = format!("SWARM_ROLE={role}");
    children(parent).into_iter().find(|pid| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == wanted.as_bytes())
        }) && executable(*pid) == executable(parent)
    })
}

/// The child of a process with this name.
pub fn child_named(parent: u32, name: &str) -> Option<u32> {
    children(parent).into_iter().find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
    })
}

/// The indexer that is at work for a box: a child of its supervisor, or of its agent where users cannot be switched.
pub fn indexer_of(supervisor: u32) -> Option<u32> {
    child_in_role(supervisor, "indexer")
        .or_else(|| child_in_role(child_in_role(supervisor, "agent")?, "indexer"))
}

fn children(parent: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Vec::new();
    };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// The folder of a process's cgroup (v2), where one is mounted.
pub fn cgroup_of(pid: u32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let is_it = tail.starts_with("cgroup2 ");
        head.split(' ').nth(4).filter(|_| is_it)
    })?;
    Some(Path::new(mount).join(group))
}

/// Which program a process runs.
pub fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}
