//! The demo's world: one folder, and the processes that live in it.

use anyhow::{Context, Result, anyhow, bail, ensure};
use std::{
    ffi::OsStr,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// The three boxes and their labels.
pub const BOXES: [(&str, &str); 3] = [
    ("till-1", "shop = \"north\""),
    ("till-2", "shop = \"north\""),
    ("lab-1", "shop = \"none\""),
];

/// A folder with everything, and every process that was started.
pub struct World {
    folder: tempfile::TempDir,
    programs: PathBuf,
    children: Vec<(String, Child)>,
    /// Where the map listens.
    pub map_port: u16,
    /// Where the git server listens.
    pub git_port: u16,
    /// Where each box hears webhooks.
    pub hook_ports: Vec<u16>,
}

impl World {
    /// Makes the folder, and finds the three programs beside this one.
    pub fn new(map_port: Option<u16>) -> Result<Self> {
        let programs = std::env::current_exe()?
            .parent()
            .map(Path::to_path_buf)
            .ok_or_else(|| anyhow!("this program lies nowhere"))?;
        for program in ["swarm-pack", "swarm-map"] {
            ensure!(
                programs.join(program).exists(),
                "{program} is not beside this program in {}; build all three: ./dev build",
                programs.display()
            );
        }
        let folder = tempfile::Builder::new()
            .prefix("swarm-demo-")
            .tempdir()
            .context("making the demo's folder")?;
        // Workflows run as users of their own and pass through here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let world = Self {
            programs,
            children: Vec::new(),
            map_port: map_port.map_or_else(free_port, Ok)?,
            git_port: free_port()?,
            hook_ports: (0..3).map(|_| free_port()).collect::<Result<_>>()?,
            folder,
        };
        for name in ["home", "keys", "logs", "git", "boxes"] {
            fs::create_dir(world.path(name))?;
        }
        fs::set_permissions(world.path("keys"), fs::Permissions::from_mode(0o700))?;
        fs::write(world.path("webhook.secret"), "a-secret-of-the-demo-only\n")?;
        Ok(world)
    }

    /// A path below the demo's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One of our programs, or git and the like, in an environment of the demo's own.
    pub fn command(&self, program: &str) -> Command {
        let beside = self.programs.join(program);
        let mut command = Command::new(if beside.exists() {
            beside.as_os_str()
        } else {
            OsStr::new(program)
        });
        command
            .env("HOME", self.path("home"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0");
        for name in [
            "SSH_AUTH_SOCK",
            "XDG_CONFIG_HOME",
            "SWARM_CONFIG",
            "SWARM_MAP",
            "GIT_DIR",
            "GIT_WORK_TREE",
        ] {
            command.env_remove(name);
        }
        // Ctrl-C is for the demo; it ends the others in order.
        command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub async fn output(&self, folder: &Path, words: &[&str]) -> Result<Output> {
        let mut command = self.command(words[0]);
        command.args(&words[1..]).current_dir(folder);
        let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await;
        output
            .with_context(|| format!("{} did not end within two minutes", words.join(" ")))?
            .with_context(|| format!("running {}", words[0]))
    }

    /// Runs a command that has to succeed, and gives what it printed.
    pub async fn run(&self, folder: &Path, words: &[&str]) -> Result<String> {
        let output = self.output(folder, words).await?;
        if !output.status.success() {
            bail!(
                "{} ended with {}:\n{}{}",
                words.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a process that stays, its output in `logs/NAME`.
    pub fn start(&mut self, name: &str, mut command: Command) -> Result<()> {
        let log = fs::File::create(self.path("logs").join(name))?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        self.children.push((name.to_string(), child));
        Ok(())
    }

    /// Waits for something to become true; what a started process said last goes into the error.
    pub async fn until<F: AsyncFnMut(&Self) -> Result<bool>>(
        &mut self,
        what: &str,
        limit: Duration,
        mut holds: F,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            if holds(self).await? {
                return Ok(());
            }
            for at in 0..self.children.len() {
                if let Some(status) = self.children[at].1.try_wait()? {
                    let name = self.children[at].0.clone();
                    bail!(
                        "{name} ended ({status}) while we waited for {what}:\n{}",
                        self.last_words(&name)
                    );
                }
            }
            if begun.elapsed() > limit {
                let words: Vec<_> = self
                    .children
                    .iter()
                    .map(|(name, _)| format!("{name}: {}", self.last_words(name)))
                    .collect();
                bail!(
                    "{what} did not come within {} s\n{}",
                    limit.as_secs(),
                    words.join("\n")
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn last_words(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path("logs").join(name)).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Ends every process, the last one first, and removes the folder.
    pub async fn tidy(mut self) -> Result<()> {
        while let Some((name, mut child)) = self.children.pop() {
            let Some(pid) = child.id() else { continue };
            // A box stops its workflows first: it was started with --stop-workflows.
            terminate(pid).with_context(|| format!("ending {name}"))?;
            if tokio::time::timeout(Duration::from_secs(20), child.wait())
                .await
                .is_err()
            {
                eprintln!("{name} did not end by itself; it is killed.");
                child.kill().await?;
            }
        }
        crate::store::open_up(self.folder.path());
        self.folder.close().context("removing the demo's folder")
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Asks one process to end. It is our own child and not waited for yet, so that the id is still its own.
pub fn terminate(pid: u32) -> Result<()> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("a process id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("sending SIGTERM")
}
