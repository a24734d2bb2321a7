//! Git servers as people have them: nginx with `git http-backend`, and sshd, on loopback ports, with configurations of their own.

use crate::{
    World,
    process::{Running, free_port, program, run, signal_group, until},
};
use anyhow::{Context, Result};
use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// `git http-backend` behind nginx and fcgiwrap; pushes are allowed. Serves `git/` of the world.
#[derive(Debug)]
pub struct GitOverHttp {
    _nginx: Running,
    fcgiwrap: Running,
    port: u16,
    access_log: PathBuf,
    marks: AtomicU32,
    /// Over https: what a client has to trust.
    pub ca: Option<PathBuf>,
}

impl GitOverHttp {
    /// Starts both.
    pub fn start(world: &World) -> Result<Self> {
        Self::serve(world, false)
    }

    /// The same over https, with a certificate for `localhost` that is its own authority.
    pub fn start_tls(world: &World) -> Result<Self> {
        Self::serve(world, true)
    }

    fn serve(world: &World, tls: bool) -> Result<Self> {
        let (nginx, fcgiwrap) = (
            program("nginx", "nginx-light")?,
            program("fcgiwrap", "fcgiwrap")?,
        );
        let backend = Path::new(run(world.command("git").arg("--exec-path"))?.trim())
            .join("git-http-backend");
        let folder = world.path("nginx");
        fs::create_dir_all(folder.join("tmp"))?;
        let port = free_port()?;
        let socket = folder.join("fcgiwrap.sock");
        let ca = if tls {
            Some(self_signed(world, &folder)?)
        } else {
            None
        };
        let listen = listen(port, ca.as_deref());
        fs::write(
            folder.join("nginx.conf"),
            nginx_conf(&folder, &world.path("git"), &backend, &socket, &listen),
        )?;
        let mut wrap = world.command(fcgiwrap);
        wrap.env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*");
        wrap.args(["-c", "4", "-s"])
            .arg(format!("unix:{}", socket.display()));
        // It leaves its workers behind when it ends: they are ended as its group.
        std::os::unix::process::CommandExt::process_group(&mut wrap, 0);
        let fcgiwrap = Running::start("fcgiwrap", &mut wrap, &world.path("logs/fcgiwrap"))?;
        until("fcgiwrap's socket", || socket.exists().then_some(()))?;
        let nginx = Running::start(
            "nginx",
            world
                .command(nginx)
                .arg("-e")
                .arg(folder.join("error.log"))
                .arg("-c")
                .arg(folder.join("nginx.conf")),
            &world.path("logs/nginx"),
        )?;
        until("nginx listening", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })?;
        Ok(Self {
            _nginx: nginx,
            fcgiwrap,
            port,
            access_log: folder.join("access.log"),
            marks: AtomicU32::new(0),
            ca,
        })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The url of a repository below `git/`.
    pub fn url(&self, name: &str) -> String {
        match self.ca {
            None => format!("http://127.0.0.1:{}/{name}", self.port),
            Some(_) => format!("https://localhost:{}/{name}", self.port),
        }
    }

    /// Each request that asked git for something, in order, as far as nginx has recorded it: the bytes of request and answer.
    pub fn requests(&self) -> Vec<u64> {
        let bytes = |line: &str| {
            let mut words = line.split(' ');
            Some(words.next()?.parse::<u64>().ok()? + words.next()?.parse::<u64>().ok()?)
        };
        let record = self.record();
        let asked = record.lines().filter(|line| line.contains(" POST "));
        asked.filter_map(bytes).collect()
    }

    /// How many of those have been answered.
    pub fn answered(&self) -> Result<usize> {
        self.settle()?;
        Ok(self.requests().len())
    }

    /// Bytes sent to clients so far, by nginx's own count.
    pub fn bytes_sent(&self) -> Result<u64> {
        self.settle()?;
        let record = self.record();
        let real = record.lines().filter(|line| !line.contains(" /mark-"));
        Ok(real
            .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
            .sum())
    }

    fn record(&self) -> String {
        fs::read_to_string(&self.access_log).unwrap_or_default()
    }

    /// nginx writes a line after the client has its answer: one more request is made, and waited for in the record. Its one worker has
    /// then written all that came before.
    fn settle(&self) -> Result<()> {
        let mark = format!("mark-{}", self.marks.fetch_add(1, Ordering::Relaxed));
        let url = self.url(&mark);
        run(Command::new("curl").args(["-sk", "--max-time", "60", "-o", "/dev/null", &url]))?;
        until("nginx writing its record", || {
            self.record().contains(&format!(" /{mark} ")).then_some(())
        })
    }
}

impl Drop for GitOverHttp {
    fn drop(&mut self) {
        signal_group(self.fcgiwrap.pid(), "TERM");
    }
}

fn nginx_conf(
    folder: &Path,
    repositories: &Path,
    backend: &Path,
    socket: &Path,
    listen: &str,
) -> String {
    let user = if nix_is_root() { "user root;" } else { "" };
    format!(
        r"{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    log_format bytes '$bytes_sent $request_length $connection $request';
    access_log {folder}/access.log bytes;
    client_body_temp_path {folder}/tmp/body;
    proxy_temp_path {folder}/tmp/proxy;
    fastcgi_temp_path {folder}/tmp/fastcgi;
    uwsgi_temp_path {folder}/tmp/uwsgi;
    scgi_temp_path {folder}/tmp/scgi;
    client_max_body_size 2g;
    keepalive_timeout 300s;
    server {{
        {listen}
        location /mark- {{ return 204; }}
        location / {{
            fastcgi_pass unix:{socket};
            fastcgi_param SCRIPT_FILENAME {backend};
            fastcgi_param GIT_PROJECT_ROOT {repositories};
            fastcgi_param GIT_HTTP_EXPORT_ALL 1;
            fastcgi_param GIT_PROTOCOL $http_git_protocol;
            fastcgi_param PATH_INFO $uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
            fastcgi_param REMOTE_ADDR $remote_addr;
            fastcgi_buffering off;
        }}
    }}
}}
",
        folder = folder.display(),
        repositories = repositories.display(),
        backend = backend.display(),
        socket = socket.display(),
    )
}

fn listen(port: u16, certificate: Option<&Path>) -> String {
    match certificate {
        None => format!("listen 127.0.0.1:{port};"),
        Some(file) => format!(
            "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};",
            file.display(),
            file.with_extension("key").display()
        ),
    }
}

/// A certificate for `localhost` in `tls.pem`, its key in `tls.key`.
fn self_signed(world: &World, folder: &Path) -> Result<PathBuf> {
    let openssl = program("openssl", "openssl")?;
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout tls.key -out tls.pem";
    run(world
        .command(openssl)
        .current_dir(folder)
        .args(words.split(' ')))?;
    Ok(folder.join("tls.pem"))
}

fn nix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// sshd on a loopback port with a host key and one authorised client key of its own.
#[derive(Debug)]
pub struct GitOverSsh {
    sshd: Running,
    port: u16,
    root: PathBuf,
    /// What it sent, where that is kept.
    sent: Option<PathBuf>,
    /// For the client: its private key.
    pub identity: PathBuf,
    /// For the client: the server's key.
    pub known_hosts: PathBuf,
}

impl GitOverSsh {
    /// Starts it.
    pub fn start(world: &World) -> Result<Self> {
        Self::serve(world, None)
    }

    /// The same, and what git sends through it is counted.
    pub fn start_counting(world: &World) -> Result<Self> {
        Self::serve(world, Some(world.path("sshd-sent")))
    }

    fn serve(world: &World, sent: Option<PathBuf>) -> Result<Self> {
        let sshd = program("sshd", "openssh-server")?;
        let (host, identity) = (world.key("ssh-host")?, world.key("ssh-client")?);
        let folder = world.path("sshd");
        fs::create_dir_all(&folder)?;
        // sshd wants its privilege separation folder, which Debian makes at boot.
        if nix_is_root() {
            fs::create_dir_all("/run/sshd")?;
        }
        let port = free_port()?;
        fs::copy(
            identity.with_extension("pub"),
            folder.join("authorized_keys"),
        )?;
        let conf = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nAcceptEnv GIT_PROTOCOL\nPidFile none\nLogLevel VERBOSE\nPermitRootLogin yes\nMaxStartups 100\n",
            host.display(),
            folder.join("authorized_keys").display()
        );
        let counted = sent.as_ref().map(|sent| {
            format!(
                "ForceCommand eval \"$SSH_ORIGINAL_COMMAND\" | tee -a {}\n",
                sent.display()
            )
        });
        fs::write(
            folder.join("sshd_config"),
            conf + &counted.unwrap_or_default(),
        )?;
        let sshd = Running::start(
            "sshd",
            world
                .command(sshd)
                .args(["-D", "-e", "-f"])
                .arg(folder.join("sshd_config")),
            &world.path("logs/sshd"),
        )?;
        until("sshd listening", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })?;
        let known_hosts = folder.join("known_hosts");
        let key = fs::read_to_string(host.with_extension("pub"))?;
        fs::write(&known_hosts, format!("[127.0.0.1]:{port} {key}"))?;
        Ok(Self {
            sshd,
            port,
            root: world.path("git"),
            sent,
            identity,
            known_hosts,
        })
    }

    /// The url of a repository below `git/`.
    pub fn url(&self, name: &str) -> Result<String> {
        let user = std::process::Command::new("id")
            .arg("-un")
            .output()
            .context("id")?;
        let user = String::from_utf8(user.stdout)?;
        Ok(format!(
            "ssh://{}@127.0.0.1:{}{}/{name}",
            user.trim(),
            self.port,
            self.root.display()
        ))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that git sent to clients so far.
    pub fn bytes_sent(&self) -> Result<u64> {
        let sent = self.sent.as_ref().context("started to count")?;
        Ok(fs::metadata(sent)?.len())
    }

    /// How many sessions were asked for so far, by sshd's own count.
    pub fn sessions(&self) -> usize {
        self.sshd.said().matches("Starting session: ").count()
    }

    /// What `[repository]` of a box needs for it.
    pub fn settings(&self) -> String {
        format!(
            "identity-file = \"{}\"\nknown-hosts = \"{}\"\n",
            self.identity.display(),
            self.known_hosts.display()
        )
    }

    /// What git is to run as `ssh` (`GIT_SSH_COMMAND`).
    pub fn ssh_command(&self) -> String {
        format!(
            "ssh -i {} -o IdentitiesOnly=yes -o UserKnownHostsFile={} -o StrictHostKeyChecking=yes -o BatchMode=yes",
            self.identity.display(),
            self.known_hosts.display()
        )
    }
}
