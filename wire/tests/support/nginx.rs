//! `git http-backend` behind fcgiwrap and nginx, over http or https, with a log of what went over which connection.
//!
//! `/git/NAME` is the repository NAME; `/locked/NAME` the same for user `box`, password `s3cret`; `/extra` is for a test's own lines.

use super::{Server, free_port, git, listens, run, wait_until};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A running web server; it ends with this.
pub struct Nginx {
    /// `http://127.0.0.1:PORT` or `https://localhost:PORT`
    pub origin: String,
    /// Where it listens.
    pub port: u16,
    /// For https: the authority to trust.
    pub ca: PathBuf,
    dir: PathBuf,
    _fcgiwrap: Server,
    server: Server,
}

/// One request, as the server saw it.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// Connections are numbered.
    pub connection: u64,
    /// `GET`, `POST`
    pub method: String,
    /// Without the query.
    pub path: String,
    /// The status that it answered with.
    pub status: u16,
    /// Head and body of the request.
    pub received: u64,
    /// Head and body of the answer.
    pub sent: u64,
    /// The Authorization header, or `-`.
    pub authorization: String,
}

impl Nginx {
    /// Serves the bare repositories of a folder over http. `extra` are lines for the server block.
    pub fn http(repositories: &Path, extra: &str) -> Self {
        Self::start(repositories, extra, None)
    }

    /// The same over https, for the name `localhost`.
    pub fn https(repositories: &Path, extra: &str) -> Self {
        Self::start(repositories, extra, Some(Certificate::ByAuthority))
    }

    /// Over https with a certificate for `localhost` as `openssl req -x509` makes it, its own authority.
    pub fn self_signed(repositories: &Path) -> Self {
        Self::start(repositories, "", Some(Certificate::SelfSigned))
    }

    /// The same, but its time is over.
    pub fn expired(repositories: &Path) -> Self {
        Self::start(repositories, "", Some(Certificate::Expired))
    }

    fn start(repositories: &Path, extra: &str, certificate: Option<Certificate>) -> Self {
        let tls = certificate.is_some();
        let dir = repositories.join(if tls { "nginx-tls" } else { "nginx" });
        fs::create_dir_all(&dir).unwrap();
        let socket = dir.join("fcgi");
        let fcgiwrap = Server::start(
            Command::new("/usr/sbin/fcgiwrap")
                .args(["-c", "1", "-s"])
                .arg(format!("unix:{}", socket.display()))
                .stdin(Stdio::null()),
            "fcgiwrap",
        );
        wait_until("fcgiwrap makes its socket", || socket.exists());
        // Made once more where somebody else took the port meanwhile.
        let certificate = certificate.map(|kind| kind.make(&dir)).unwrap_or_default();
        fs::write(
            dir.join("users"),
            format!(
                "box:{}\n",
                run(Command::new("openssl").args(["passwd", "-apr1", "s3cret"]))
            ),
        )
        .unwrap();
        for _ in 0..5 {
            let port = free_port();
            let config = config(&dir, repositories, port, &certificate, extra);
            fs::write(dir.join("nginx.conf"), config).unwrap();
            let mut nginx = Server::start(
                Command::new("/usr/sbin/nginx")
                    .arg("-c")
                    .arg(dir.join("nginx.conf"))
                    .arg("-p")
                    .arg(&dir)
                    .stdin(Stdio::null())
                    .stderr(Stdio::null()),
                "nginx",
            );
            wait_until("nginx listens", || listens(port) || !nginx.is_alive());
            if nginx.is_alive() {
                let origin = if tls {
                    format!("https://localhost:{port}")
                } else {
                    format!("http://127.0.0.1:{port}")
                };
                return Self {
                    origin,
                    port,
                    ca: dir.join("ca.pem"),
                    dir,
                    _fcgiwrap: fcgiwrap,
                    server: nginx,
                };
            }
        }
        panic!(
            "nginx does not start: {}",
            fs::read_to_string(dir.join("error.log")).unwrap_or_default()
        );
    }

    /// The requests so far, once `count` have been logged (a request is logged when it is done).
    pub fn seen(&mut self, count: usize) -> Vec<Seen> {
        let log = self.dir.join("access.log");
        let read = || fs::read_to_string(&log).unwrap_or_default();
        assert!(self.server.is_alive());
        wait_until("nginx logs what was asked", || {
            read().lines().count() >= count
        });
        read().lines().map(seen).collect()
    }
}

fn seen(line: &str) -> Seen {
    let words: Vec<_> = line.split(' ').collect();
    Seen {
        connection: words[0].parse().unwrap(),
        method: words[1].into(),
        path: words[2].into(),
        status: words[3].parse().unwrap(),
        received: words[4].parse().unwrap(),
        sent: words[5].parse().unwrap(),
        authorization: words[6..].join(" "),
    }
}

fn config(dir: &Path, repositories: &Path, port: u16, certificate: &str, extra: &str) -> String {
    let backend = format!("{}/git-http-backend", git(Path::new("/"), &["--exec-path"]));
    let listen = if certificate.is_empty() { "" } else { " ssl" };
    let (dir, root) = (dir.display(), repositories.display());
    let serve = format!(
        "fastcgi_pass unix:{dir}/fcgi;
         fastcgi_param SCRIPT_FILENAME {backend};
         fastcgi_param GIT_PROJECT_ROOT {root};
         fastcgi_param GIT_HTTP_EXPORT_ALL 1;
         fastcgi_param PATH_INFO $1;
         fastcgi_param QUERY_STRING $query_string;
         fastcgi_param REQUEST_METHOD $request_method;
         fastcgi_param CONTENT_TYPE $content_type;
         fastcgi_param CONTENT_LENGTH $content_length;"
    );
    format!(
        "daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;
         events {{ worker_connections 64; }}
         http {{
           log_format seen '$connection $request_method $uri $status $request_length $bytes_sent $http_authorization';
           access_log {dir}/access.log seen;
           client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
           server {{
             listen 127.0.0.1:{port}{listen};
             {certificate}
             location ~ ^/git(/.*)$ {{ {serve} }}
             location ~ ^/locked(/.*)$ {{ auth_basic git; auth_basic_user_file {dir}/users; {serve} }}
             {extra}
           }}
         }}"
    )
}

/// What the server shows.
#[derive(Clone, Copy)]
enum Certificate {
    ByAuthority,
    SelfSigned,
    Expired,
}

impl Certificate {
    /// Makes it, and `ca.pem` to trust it by; gives nginx's lines for it.
    fn make(self, dir: &Path) -> String {
        let openssl = |args: &str| {
            run(Command::new("openssl")
                .current_dir(dir)
                .args(args.split(' ')))
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let itself = format!(
            "req -x509 {key} -keyout server.key -out server.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        );
        match self {
            Self::ByAuthority => {
                openssl(&format!(
                    "req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority"
                ));
                openssl(&format!(
                    "req {key} -keyout server.key -out server.csr -subj /CN=localhost"
                ));
                fs::write(
                    dir.join("names"),
                    "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n",
                )
                .unwrap();
                openssl(
                    "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names",
                );
            }
            Self::SelfSigned => drop(openssl(&format!("{itself} -days 2"))),
            Self::Expired => {
                fs::write(dir.join("ca.conf"), EXPIRED).unwrap();
                fs::write(dir.join("index"), "").unwrap();
                fs::write(dir.join("serial"), "01\n").unwrap();
                openssl(&format!(
                    "req {key} -keyout server.key -out server.csr -subj /CN=localhost"
                ));
                openssl(
                    "ca -batch -selfsign -notext -config ca.conf -keyfile server.key -in server.csr -out server.pem -startdate 20200101000000Z -enddate 20200102000000Z",
                );
            }
        }
        if !matches!(self, Self::ByAuthority) {
            fs::copy(dir.join("server.pem"), dir.join("ca.pem")).unwrap();
        }
        format!(
            "ssl_certificate {0}/server.pem; ssl_certificate_key {0}/server.key;",
            dir.display()
        )
    }
}

/// Only `openssl ca` can make a certificate of the past.
const EXPIRED: &str = "[ca]
default_ca = it
[it]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = names
x509_extensions = extensions
[names]
commonName = supplied
[extensions]
subjectAltName = DNS:localhost
basicConstraints = CA:TRUE
";
