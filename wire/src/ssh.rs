//! A remote over the system's `ssh`, so that known hosts, agents, hardware keys and jump hosts work as people know them. Touches processes.
//!
//! Each look needs an upload-pack of its own. The first session connects by itself; then a master is started which the next
//! ones go through. Where the master is gone, ssh connects by itself again: there is nothing to wait for.

use crate::{
    options::Options,
    pipe::{Ended, Session},
    url::Url,
};
use std::{
    ffi::OsString,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use swarm_manifests::{problem::Refusal, rules::remote as rules};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

/// A Unix socket's path has 107 bytes; ssh needs some for a temporary name beside it.
const SOCKET_PATH: usize = 88;
/// A master that cannot come up is not tried more often than this.
const AGAIN: Duration = Duration::from_secs(60);

/// One place to reach by ssh.
pub struct Ssh {
    url: Url,
    path: String,
    options: Vec<OsString>,
    socket: Option<PathBuf>,
    master: Option<Child>,
    tried: Option<Instant>,
}

impl Ssh {
    /// Nothing is started yet.
    pub fn new(url: Url, options: &Options) -> Result<Self, Refusal> {
        let path = url
            .decoded_path()
            .map_err(|error| Refusal::new(&rules::URL, error.to_string()))?;
        // As git does: ssh://host/~user/x is below the user's home.
        let path = if path.starts_with("/~") {
            path[1..].to_owned()
        } else {
            path
        };
        if path.starts_with('-') {
            return Err(Refusal::new(
                &rules::URL,
                "an ssh path that begins with a dash",
            ));
        }
        let socket = options
            .run_dir
            .as_ref()
            .map(|dir| dir.join(socket_name(&url)))
            .filter(|path| path.as_os_str().len() <= SOCKET_PATH);
        let options = arguments(&url, options, socket.as_deref())?;
        Ok(Self {
            url,
            path,
            options,
            socket,
            master: None,
            tried: None,
        })
    }

    /// Starts `git-upload-pack` over there.
    pub fn start(&self) -> io::Result<Session> {
        let mut ssh = self.ssh();
        ssh.args(["-T", "-o", "ControlMaster=no", "--"])
            .arg(&self.url.host);
        ssh.arg(format!("git-upload-pack {}", quote(&self.path)));
        Session::start(ssh)
    }

    /// After a session went well: sees to it that a master is there for the next one.
    pub fn keep_master(&mut self) {
        let Some(socket) = &self.socket else { return };
        let alive = self
            .master
            .as_mut()
            .is_some_and(|master| matches!(master.try_wait(), Ok(None)));
        if alive || self.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            return;
        }
        // One that a killed agent left behind ends by itself when its connection does.
        drop(std::fs::remove_file(socket));
        self.tried = Some(Instant::now());
        self.master = self
            .start_master()
            .inspect_err(|error| tracing::debug!(%error, "no ssh master"))
            .ok();
    }

    /// The master may be the reason of a failure: it ends, and the next session connects by itself.
    pub fn drop_master(&mut self) {
        self.master = None;
        if let Some(socket) = &self.socket {
            drop(std::fs::remove_file(socket));
        }
    }

    /// Stdio on /dev/null, or it would hold a session's pipes open. `setpriv` ends it with us even when we are killed.
    fn start_master(&self) -> io::Result<Child> {
        let mut master = self.ssh_through("setpriv", &["--pdeathsig", "TERM", "--", "ssh"]);
        master
            .args([
                "-N",
                "-T",
                "-o",
                "ControlMaster=yes",
                "-o",
                "ControlPersist=no",
                "--",
            ])
            .arg(&self.url.host);
        master
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        master.spawn()
    }

    fn ssh(&self) -> Command {
        self.ssh_through("ssh", &[])
    }

    fn ssh_through(&self, program: &str, before: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(before)
            .args(&self.options)
            .env("GIT_PROTOCOL", "version=2")
            .env("LC_ALL", "C");
        command
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.drop_master();
    }
}

fn arguments(
    url: &Url,
    options: &Options,
    socket: Option<&Path>,
) -> Result<Vec<OsString>, Refusal> {
    let mut set: Vec<String> = [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "ConnectTimeout=10",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=3",
        "SendEnv=GIT_PROTOCOL",
        "ForwardAgent=no",
        "ForwardX11=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "LogLevel=ERROR",
    ]
    .map(Into::into)
    .into();
    if let Some(file) = &options.known_hosts {
        set.push(format!("UserKnownHostsFile={}", quoted_file(file)?));
        set.push("GlobalKnownHostsFile=/dev/null".into());
    }
    if let Some(file) = &options.identity_file {
        set.push(format!("IdentityFile={}", quoted_file(file)?));
        set.push("IdentitiesOnly=yes".into());
    }
    set.push(match socket {
        Some(path) => format!("ControlPath={}", quoted_file(path)?),
        None => "ControlPath=none".into(),
    });
    set.extend(url.port.map(|port| format!("Port={port}")));
    set.extend(url.user.as_ref().map(|user| format!("User={}", user.name)));
    Ok(set
        .into_iter()
        .flat_map(|option| ["-o".into(), option.into()])
        .collect())
}

/// A file's path as `ssh_config(5)` wants it.
fn quoted_file(file: &Path) -> Result<String, Refusal> {
    match file.to_str() {
        Some(text) if !text.contains(['"', '\\', '$']) && !text.chars().any(char::is_control) => {
            Ok(format!("\"{}\"", text.replace('%', "%%")))
        }
        _ => Err(Refusal::new(
            &rules::URL,
            format!(
                "{} is a path that ssh's options cannot hold",
                file.display()
            ),
        )),
    }
}

/// As git quotes a path for the shell over there.
fn quote(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''").replace('!', r"'\!'"))
}

/// The same for the same place, so that a successor finds what a killed predecessor left.
fn socket_name(url: &Url) -> String {
    let mut hasher = DefaultHasher::new();
    (url.authority(), url.user.as_ref().map(|user| &user.name)).hash(&mut hasher);
    format!("ssh-{:016x}", hasher.finish())
}

/// What it means that ssh could not be started.
pub fn not_started(error: &io::Error) -> Refusal {
    let refusal = Refusal::new(
        &rules::UNREACHABLE,
        format!("ssh cannot be started: {error}"),
    );
    if error.kind() == io::ErrorKind::NotFound {
        refusal.hint("install ssh: apt-get install openssh-client")
    } else {
        refusal
    }
}

/// What it means that ssh ended before the server was done: 255 is ssh's own failure.
pub fn judge(shown: &str, ended: &Ended) -> Refusal {
    let said = &ended.complaint;
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let (rule, what) = if says(&[
        "Host key verification failed",
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "host key is known for",
    ]) {
        (&rules::HOST_KEY, "its host key is not the known one")
    } else if says(&[
        "Permission denied",
        "Too many authentication failures",
        "No more authentication methods",
    ]) {
        (&rules::AUTH, "it does not let this box's key in")
    } else if ended.status.and_then(|status| status.code()) == Some(255) {
        (&rules::UNREACHABLE, "ssh could not connect")
    } else {
        (
            &rules::UNREACHABLE,
            "git-upload-pack over there ended early",
        )
    };
    let refusal = Refusal::new(rule, format!("{shown}: {what}: {said}"));
    if says(&["No user exists for uid"]) {
        return refusal.hint("ssh wants the agent's user to have an entry in /etc/passwd");
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word_for_the_shell_over_there() {
        assert_eq!(
            quote("/srv/a b'; touch x #!"),
            r"'/srv/a b'\''; touch x #'\!''"
        );
    }

    #[test]
    fn strict_host_keys_and_no_questions_whatever_is_configured() {
        let url = Url::parse("ssh://git@host:2222/srv/x.git").unwrap();
        let options = Options {
            known_hosts: Some("/etc/swarm/known %h".into()),
            ..Options::default()
        };
        let set = arguments(&url, &options, None).unwrap();
        for wanted in [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "UserKnownHostsFile=\"/etc/swarm/known %%h\"",
            "GlobalKnownHostsFile=/dev/null",
            "Port=2222",
            "User=git",
        ] {
            assert!(set.contains(&wanted.into()), "{wanted} in {set:?}");
        }
    }
}
