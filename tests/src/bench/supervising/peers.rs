//! Other supervisors, as `./dev bench` installs them: from Debian, `PyPI`, npm and crates.io, each with a configuration as people write
//! it, the output of every child kept. Touches processes.

use super::contender::{Contender, kill_all, stamps};
use crate::{World, process::Running};
use anyhow::{Context, Result, ensure};
use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Runit,
    S6,
    Supervisor,
    Monit,
    Circus,
    Pm2,
    Horust,
    Forever,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Runit,
        Self::S6,
        Self::Supervisor,
        Self::Monit,
        Self::Circus,
        Self::Pm2,
        Self::Horust,
        Self::Forever,
    ];

    /// Those that can have many children: the last needs a node for each.
    pub const FOR_CROWDS: &[Self] = Self::ALL.split_at(7).0;

    fn name(self) -> &'static str {
        match self {
            Self::Runit => "runit, svlogd",
            Self::S6 => "s6, s6-log",
            Self::Supervisor => "supervisord",
            Self::Monit => "monit",
            Self::Circus => "circus",
            Self::Pm2 => "pm2",
            Self::Horust => "Horust",
            Self::Forever => "forever",
        }
    }
}

/// A peer with its children.
pub struct Peer<'a> {
    world: &'a World,
    kind: Kind,
    installed: PathBuf,
    folder: PathBuf,
    child: PathBuf,
    children: usize,
    process: Option<Running>,
}

impl<'a> Peer<'a> {
    /// Writes its configuration.
    pub fn new(world: &'a World, kind: Kind, child: &Path, children: usize) -> Result<Self> {
        let installed =
            std::env::var_os("SWARM_PEERS").map_or_else(|| "target/peers".into(), PathBuf::from);
        let installed = installed
            .canonicalize()
            .context("the peers are not installed: ./dev bench does that, or name them in SWARM_PEERS, or say --without-peers")?;
        let peer = Self {
            world,
            kind,
            installed,
            folder: world.path(format!("peer-{kind:?}-{children}")),
            child: child.to_owned(),
            children,
            process: None,
        };
        fs::create_dir_all(peer.folder.join("stamps"))?;
        fs::create_dir_all(peer.folder.join("logs"))?;
        match kind {
            Kind::Runit => peer.services("exec svlogd -tt ./main")?,
            Kind::S6 => peer.services("exec s6-log t ./main")?,
            Kind::Supervisor => peer.file("conf", &peer.supervisord())?,
            Kind::Monit => peer.monit()?,
            Kind::Circus => peer.file("conf", &peer.circus())?,
            Kind::Pm2 => peer.file("conf.json", &peer.pm2())?,
            Kind::Horust => peer.horust()?,
            Kind::Forever => {}
        }
        Ok(peer)
    }

    fn file(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().context("a parent")?)?;
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(Into::into)
    }

    fn services(&self, logger: &str) -> Result<()> {
        for number in 0..self.children {
            let run = format!(
                "#!/bin/sh\nexec 2>&1\nSTAMPS={} exec {}\n",
                self.stamps(number).display(),
                self.child.display()
            );
            self.file(&format!("services/{number}/run"), &run)?;
            self.file(
                &format!("services/{number}/log/run"),
                &format!("#!/bin/sh\nmkdir -p main\n{logger}\n"),
            )?;
        }
        Ok(())
    }

    fn supervisord(&self) -> String {
        let folder = self.folder.display();
        let mut text = format!(
            "[supervisord]\nnodaemon=true\nuser=root\nminfds=20000\nlogfile={folder}/log\npidfile={folder}/pid\n[unix_http_server]\nfile={folder}/sock\n\
             [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://{folder}/sock\n"
        );
        for number in 0..self.children {
            let _ = write!(
                text,
                "[program:child-{number}]\ncommand={}\nenvironment=STAMPS=\"{}\"\nautorestart=true\nstartsecs=0\nredirect_stderr=true\nstdout_logfile={folder}/logs/{number}\n",
                self.child.display(),
                self.stamps(number).display()
            );
        }
        text
    }

    fn monit(&self) -> Result<()> {
        let folder = self.folder.display();
        let mut text = format!(
            "set daemon 1\nset log {folder}/log\nset pidfile {folder}/pid\nset idfile {folder}/id\nset statefile {folder}/state\n\
             set httpd unixsocket {folder}/sock allow localhost\n"
        );
        for number in 0..self.children {
            let start = format!(
                "#!/bin/sh\nSTAMPS={} {} >> {folder}/logs/{number} 2>&1 &\necho $! > {folder}/{number}.pid\n",
                self.stamps(number).display(),
                self.child.display()
            );
            self.file(&format!("start-{number}"), &start)?;
            let _ = writeln!(
                text,
                "check process child-{number} with pidfile {folder}/{number}.pid\n  start program = \"{folder}/start-{number}\""
            );
        }
        self.file("conf", &text)
    }

    fn circus(&self) -> String {
        let folder = self.folder.display();
        let mut text = format!(
            "[circus]\nendpoint = ipc://{folder}/sock\npubsub_endpoint = ipc://{folder}/pubsub\n"
        );
        for number in 0..self.children {
            let _ = write!(
                text,
                "[watcher:child-{number}]\ncmd = {}\nmax_retry = -1\nstdout_stream.class = FileStream\nstdout_stream.filename = {folder}/logs/{number}\n[env:child-{number}]\nSTAMPS = {}\n",
                self.child.display(),
                self.stamps(number).display()
            );
        }
        text
    }

    fn pm2(&self) -> String {
        let apps = (0..self.children).map(|number| {
            serde_json::json!({
                "name": format!("child-{number}"),
                "script": self.child,
                "interpreter": "none",
                "env": {"STAMPS": self.stamps(number)},
                "max_restarts": 1_000_000,
                "min_uptime": 1,
                "out_file": self.folder.join(format!("logs/{number}")),
                "error_file": self.folder.join(format!("logs/{number}.err")),
            })
        });
        serde_json::json!({"apps": apps.collect::<Vec<_>>()}).to_string()
    }

    fn horust(&self) -> Result<()> {
        for number in 0..self.children {
            let text = format!(
                "command = \"{0}\"\nstdout = \"{1}\"\nstderr = \"{1}\"\n[restart]\nstrategy = \"always\"\nbackoff = \"0s\"\nattempts = 1000000\n[environment]\nadditional = {{ STAMPS = \"{2}\" }}\n",
                self.child.display(),
                self.folder.join(format!("logs/{number}")).display(),
                self.stamps(number).display(),
            );
            self.file(&format!("services/child-{number}.toml"), &text)?;
        }
        Ok(())
    }

    /// A program of the peer, in its own environment.
    fn program(&self, name: &str) -> Command {
        let debian = self.installed.join("root/usr");
        let path = [
            debian.join("bin"),
            debian.join("sbin"),
            self.installed.join("python/bin"),
            self.installed.join("node/node_modules/.bin"),
            self.installed.join("horust/bin"),
        ];
        let found = path
            .iter()
            .map(|folder| folder.join(name))
            .find(|path| path.exists());
        let mut command = self.world.command(found.unwrap_or_else(|| name.into()));
        let own = std::env::var("PATH").unwrap_or_default();
        let path: Vec<String> = path.iter().map(|path| path.display().to_string()).collect();
        let libraries = debian.join(format!("lib/{}-linux-gnu", std::env::consts::ARCH));
        command
            .env("PATH", format!("{}:{own}", path.join(":")))
            .env("LD_LIBRARY_PATH", libraries)
            .env("PYTHONPATH", debian.join("lib/python3/dist-packages"))
            .env("PM2_HOME", self.folder.join("pm2"))
            .env("FOREVER_ROOT", self.folder.join("forever"))
            .env("SWARM_PEER", &self.folder)
            .current_dir(&self.folder);
        if self.kind == Kind::Circus {
            command.env_remove("PYTHONPATH");
        }
        command
    }

    fn starting(&self) -> Command {
        let with = |name: &str, words: &[&str]| {
            let mut command = self.program(name);
            command.args(words);
            command
        };
        match self.kind {
            Kind::Runit => with("runsvdir", &["services"]),
            // Twice: each has its logger.
            Kind::S6 => with(
                "s6-svscan",
                &["-c", &(2 * self.children + 10).to_string(), "services"],
            ),
            Kind::Supervisor => with("supervisord", &["-c", "conf"]),
            Kind::Monit => with("monit", &["-I", "-c", "conf"]),
            Kind::Circus => with("circusd", &["conf"]),
            Kind::Pm2 => with("pm2", &["start", "conf.json"]),
            Kind::Horust => with(
                "horust",
                &["--services-path", "services", "--uds-folder-path", "run"],
            ),
            Kind::Forever => {
                let mut command = with(
                    "forever",
                    &[
                        "--minUptime",
                        "1",
                        "--spinSleepTime",
                        "0",
                        "-c",
                        "/usr/bin/env",
                    ],
                );
                command.arg(&self.child).env("STAMPS", self.stamps(0));
                command
            }
        }
    }

    /// Its name, and what it said last.
    pub fn last_words(&self) -> String {
        let said = self.process.as_ref().map(Running::last_words);
        said.unwrap_or_else(|| self.kind.name().into())
    }

    /// Everybody who was started by it, as their environment says, but the children.
    fn ours(&self) -> Vec<u32> {
        let mark = format!("SWARM_PEER={}", self.folder.display());
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_its = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let is_marked = environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == mark.as_bytes());
            is_marked
                && fs::read_link(format!("/proc/{pid}/exe"))
                    .is_ok_and(|program| program != self.child)
        };
        pids.filter(is_its).collect()
    }
}

impl Contender for Peer<'_> {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn begin(&mut self) -> Result<()> {
        for number in 0..self.children {
            let _ = fs::remove_file(self.stamps(number));
        }
        let log = self.world.path("logs").join(self.kind.name());
        self.process = Some(Running::start(
            self.kind.name(),
            &mut self.starting(),
            &log,
        )?);
        Ok(())
    }

    fn stamps(&self, child: usize) -> PathBuf {
        self.folder.join("stamps").join(child.to_string())
    }

    fn supervising(&self) -> Result<Vec<u32>> {
        let pids = self.ours();
        ensure!(!pids.is_empty(), "{} does not run", self.name());
        Ok(pids)
    }

    fn list(&self) -> Option<Command> {
        let with = |name: &str, words: &[&str]| {
            let mut command = self.program(name);
            command.args(words);
            command
        };
        Some(match self.kind {
            Kind::Runit => with("sh", &["-c", "exec sv status services/*"]),
            Kind::S6 => with(
                "sh",
                &["-c", "for one in services/*; do s6-svstat \"$one\"; done"],
            ),
            Kind::Supervisor => with("supervisorctl", &["-c", "conf", "status"]),
            Kind::Monit => with("monit", &["-c", "conf", "summary"]),
            Kind::Circus => {
                let endpoint = format!("ipc://{}/sock", self.folder.display());
                with("circusctl", &["--endpoint", &endpoint, "status"])
            }
            Kind::Pm2 => with("pm2", &["ls"]),
            // What lists is a program of its own there.
            Kind::Horust | Kind::Forever => return None,
        })
    }

    fn end(&mut self) -> Result<()> {
        // Whoever starts others goes first, and again, until nobody is left who could.
        loop {
            let pids = self.ours();
            if pids.is_empty() {
                break;
            }
            for pid in &pids {
                crate::process::kill_now(*pid);
            }
            if let Some(mut process) = self.process.take() {
                process.kill();
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let last = |child| stamps(&self.stamps(child)).last().map(|stamp| stamp.pid);
        kill_all(&(0..self.children).filter_map(last).collect::<Vec<_>>())
    }
}

impl Drop for Peer<'_> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
