//! sshd on a loopback port with its own configuration, host key and one key that it lets in as the user who runs the test.

use super::{Server, free_port, listens, run, wait_until};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A running ssh server; it ends with this.
pub struct Sshd {
    /// `ssh://USER@127.0.0.1:PORT`
    pub origin: String,
    /// The private key that it lets in.
    pub key: PathBuf,
    /// Its own host key, as a `known_hosts` file.
    pub known_hosts: PathBuf,
    log: PathBuf,
    _server: Server,
}

impl Sshd {
    /// Starts it. Without `protocol` it does not accept `GIT_PROTOCOL`, as sshd comes.
    pub fn start(dir: &Path, protocol: bool) -> Self {
        let extra = if protocol {
            "AcceptEnv GIT_PROTOCOL"
        } else {
            ""
        };
        Self::configured(
            &dir.join(if protocol { "sshd" } else { "sshd-plain" }),
            extra,
        )
    }

    /// Starts one that runs this command, whatever it is asked for.
    pub fn forced(dir: &Path, command: &str) -> Self {
        Self::configured(&dir.join("sshd-forced"), &format!("ForceCommand {command}"))
    }

    fn configured(dir: &Path, extra: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        // sshd started by root insists on this one.
        drop(fs::create_dir_all("/run/sshd"));
        for name in ["host", "key"] {
            run(Command::new("ssh-keygen")
                .current_dir(dir)
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", name]));
        }
        let user = run(Command::new("id").arg("-un"));
        for _ in 0..5 {
            let port = free_port();
            fs::write(dir.join("sshd_config"), config(dir, port, extra)).unwrap();
            let log = fs::File::create(dir.join("log")).unwrap();
            let mut sshd = Server::start(
                Command::new("/usr/sbin/sshd")
                    .args(["-D", "-e", "-f"])
                    .arg(dir.join("sshd_config"))
                    .stdin(Stdio::null())
                    .stderr(log),
                "openssh-server",
            );
            wait_until("sshd listens", || listens(port) || !sshd.is_alive());
            if sshd.is_alive() {
                let host = fs::read_to_string(dir.join("host.pub")).unwrap();
                fs::write(
                    dir.join("known_hosts"),
                    format!("[127.0.0.1]:{port} {host}"),
                )
                .unwrap();
                return Self {
                    origin: format!("ssh://{user}@127.0.0.1:{port}"),
                    key: dir.join("key"),
                    known_hosts: dir.join("known_hosts"),
                    log: dir.join("log"),
                    _server: sshd,
                };
            }
        }
        panic!(
            "sshd does not start: {}",
            fs::read_to_string(dir.join("log")).unwrap_or_default()
        );
    }

    /// How many connections it let in.
    pub fn accepted(&self) -> usize {
        fs::read_to_string(&self.log)
            .unwrap()
            .matches("Accepted publickey")
            .count()
    }

    /// How many sessions it started.
    pub fn sessions(&self) -> usize {
        fs::read_to_string(&self.log)
            .unwrap()
            .matches("Starting session")
            .count()
    }
}

fn config(dir: &Path, port: u16, extra: &str) -> String {
    let dir = dir.display();
    let path = std::env::var("PATH").unwrap();
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/key.pub\nPidFile none\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel VERBOSE\nSetEnv PATH={path}\n{extra}\n"
    )
}
