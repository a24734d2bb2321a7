//! Asking a program whether it is well, without threads: file descriptors to poll, and a state that moves on when they are ready.

use super::identity::Pidfd;
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect, getsockopt, socket,
        sockopt::SocketError,
    },
};
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};
use swarm_manifests::bundle::Probe;

/// Of an answer, this much suffices for its first line.
const MAX_ANSWER: usize = 1024;

/// A tcp or http probe under way.
#[derive(Debug)]
pub struct NetProbe {
    fd: OwnedFd,
    /// To be tried if this one refuses.
    other: Option<OwnedFd>,
    addresses: Vec<SocketAddr>,
    /// What is asked once it is connected; nothing for tcp.
    request: Vec<u8>,
    answer: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Asking,
    Hearing,
}

/// How far a probe has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Poll [`NetProbe::fd`] for what [`NetProbe::wants_write`] says, then go on. The descriptor may be another one than before.
    Pending,
    /// It is well.
    Passed,
    /// It is not, in words.
    Failed(String),
}

impl NetProbe {
    /// Begins a [`Probe::Tcp`] or [`Probe::Http`]; other probes are an error. `inside`: a process in whose network it asks (`network = "none"`).
    pub fn start(probe: &Probe, inside: Option<&Pidfd>) -> io::Result<Self> {
        let refused =
            |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text.to_owned()));
        let (mut addresses, request) = match probe {
            Probe::Tcp(port) => (loopback(*port), Vec::new()),
            Probe::Http(url) => match parse_url(url) {
                Some(parsed) => parsed,
                None => return refused("an http probe asks http://, on loopback"),
            },
            _ => return refused("this probe asks no network"),
        };
        addresses.reverse();
        let mut fds = sockets(&addresses, inside)?;
        let Some(fd) = fds.pop() else {
            return refused("no address");
        };
        let mut new = Self {
            fd,
            other: fds.pop(),
            addresses,
            request,
            answer: Vec::new(),
            stage: Stage::Connecting,
        };
        // An error at once is told by the first advance: the socket keeps it, or the next address is tried there.
        let _ = new.connect();
        Ok(new)
    }

    /// To be polled.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Poll for writing (true) or reading.
    pub fn wants_write(&self) -> bool {
        self.stage != Stage::Hearing
    }

    /// Goes on as far as it can without waiting.
    pub fn advance(&mut self) -> Progress {
        loop {
            let step = match self.stage {
                Stage::Connecting => self.connected(),
                Stage::Asking => self.ask(),
                Stage::Hearing => self.hear(),
            };
            match step {
                Ok(true) => {
                    return if self.is_well() {
                        Progress::Passed
                    } else {
                        Progress::Failed(self.what_it_said())
                    };
                }
                Ok(false) => {}
                Err(Errno::EAGAIN | Errno::EINPROGRESS | Errno::EALREADY | Errno::EINTR) => {
                    return Progress::Pending;
                }
                Err(errno) => match (self.stage, self.other.take()) {
                    (Stage::Connecting, Some(other)) => {
                        self.fd = other;
                        match self.connect() {
                            Ok(()) | Err(Errno::EINPROGRESS) => {}
                            Err(errno) => return Progress::Failed(errno.desc().to_owned()),
                        }
                    }
                    _ => return Progress::Failed(errno.desc().to_owned()),
                },
            }
        }
    }

    fn connect(&mut self) -> nix::Result<()> {
        let address = self.addresses.pop().ok_or(Errno::EADDRNOTAVAIL)?;
        connect(self.fd.as_raw_fd(), &SockaddrStorage::from(address))
    }

    fn connected(&mut self) -> nix::Result<bool> {
        match getsockopt(&self.fd, SocketError)? {
            0 => {}
            errno => return Err(Errno::from_raw(errno)),
        }
        // No error yet, but perhaps no connection either.
        nix::sys::socket::getpeername::<SockaddrStorage>(self.fd.as_raw_fd()).map_err(|errno| {
            match errno {
                Errno::ENOTCONN => Errno::EINPROGRESS,
                other => other,
            }
        })?;
        self.stage = Stage::Asking;
        Ok(self.request.is_empty())
    }

    fn ask(&mut self) -> nix::Result<bool> {
        let sent =
            nix::sys::socket::send(self.fd.as_raw_fd(), &self.request, MsgFlags::MSG_NOSIGNAL)?;
        self.request.drain(..sent);
        if self.request.is_empty() {
            self.stage = Stage::Hearing;
        }
        Ok(false)
    }

    fn hear(&mut self) -> nix::Result<bool> {
        let mut buffer = [0; 256];
        let read = nix::unistd::read(&self.fd, &mut buffer)?;
        self.answer.extend_from_slice(&buffer[..read]);
        Ok(read == 0 || self.answer.contains(&b'\n') || self.answer.len() > MAX_ANSWER)
    }

    fn is_well(&self) -> bool {
        self.stage == Stage::Asking
            || status(&self.answer).is_some_and(|status| (200..400).contains(&status))
    }

    fn what_it_said(&self) -> String {
        match status(&self.answer) {
            Some(status) => format!("it answers {status}"),
            None => "what it answers is not HTTP".into(),
        }
    }
}

fn loopback(port: u16) -> Vec<SocketAddr> {
    vec![
        SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
        SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port),
    ]
}

/// A socket for each address, made in the network of `inside`: a socket stays in the network in which it was made.
fn sockets(addresses: &[SocketAddr], inside: Option<&Pidfd>) -> io::Result<Vec<OwnedFd>> {
    let make = || {
        addresses
            .iter()
            .filter_map(|address| make_socket(address).ok())
            .collect::<Vec<_>>()
    };
    let Some(process) = inside else {
        return Ok(make());
    };
    let ours = fs::File::open("/proc/thread-self/ns/net")?;
    setns(process.as_fd(), CloneFlags::CLONE_NEWNET)?;
    let inside = make();
    setns(ours, CloneFlags::CLONE_NEWNET)?;
    Ok(inside)
}

fn make_socket(address: &SocketAddr) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        None,
    )
}

/// `http://127.0.0.1:8080/ok` as addresses and a request. None: not http, or not loopback. Pure.
fn parse_url(url: &str) -> Option<(Vec<SocketAddr>, Vec<u8>)> {
    let rest = url.strip_prefix("http://")?;
    if rest
        .bytes()
        .any(|byte| byte.is_ascii_control() || byte == b' ')
    {
        return None;
    }
    let (authority, path) = rest
        .find(['/', '?'])
        .map_or((rest, ""), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, 80),
    };
    let addresses = if host == "localhost" {
        loopback(port)
    } else {
        let ip: IpAddr = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()?;
        ip.is_loopback().then(|| vec![SocketAddr::new(ip, port)])?
    };
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: swarm-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    Some((addresses, request.into_bytes()))
}

/// The number in `HTTP/1.1 200 OK`. Pure.
fn status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.split(|&byte| byte == b'\n').next()?).ok()?;
    let (version, rest) = line.split_once(' ')?;
    let number = rest.get(..3)?;
    (version.starts_with("HTTP/1."))
        .then(|| number.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout};
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    fn finish(mut probe: NetProbe) -> Progress {
        loop {
            match probe.advance() {
                Progress::Pending => {
                    let flags = if probe.wants_write() {
                        PollFlags::POLLOUT
                    } else {
                        PollFlags::POLLIN
                    };
                    let ready = nix::poll::poll(
                        &mut [PollFd::new(probe.fd(), flags)],
                        PollTimeout::from(5000_u16),
                    )
                    .expect("poll");
                    assert!(ready > 0, "it waits for something that comes");
                }
                done => return done,
            }
        }
    }

    fn answering(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("bound").port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).expect("read");
            assert!(buffer[..read].starts_with(b"GET /ok?x=1 HTTP/1.1\r\nHost: localhost:"));
            stream.write_all(answer.as_bytes()).expect("write");
        });
        port
    }

    #[test]
    fn a_port_that_accepts_is_well_on_either_loopback() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let port = listener.local_addr().expect("bound").port();
            let probe = NetProbe::start(&Probe::Tcp(port), None).expect("started");
            assert_eq!(finish(probe), Progress::Passed, "{address}");
            drop(listener);
            let probe = NetProbe::start(&Probe::Tcp(port), None).expect("started");
            assert_eq!(finish(probe), Progress::Failed("Connection refused".into()));
        }
    }

    #[test]
    fn an_http_answer_decides() {
        let cases = [
            ("HTTP/1.1 200 OK\r\n\r\n", Progress::Passed),
            ("HTTP/1.0 302 Found\r\n\r\n", Progress::Passed),
            (
                "HTTP/1.1 503 Busy\r\n\r\n",
                Progress::Failed("it answers 503".into()),
            ),
            (
                "SSH-2.0-OpenSSH\r\n",
                Progress::Failed("what it answers is not HTTP".into()),
            ),
            ("", Progress::Failed("what it answers is not HTTP".into())),
        ];
        for (answer, wanted) in cases {
            let url = format!("http://localhost:{}/ok?x=1", answering(answer));
            assert_eq!(
                finish(NetProbe::start(&Probe::Http(url), None).expect("started")),
                wanted,
                "{answer}"
            );
        }
    }

    #[test]
    fn only_loopback_is_asked() {
        for url in [
            "https://127.0.0.1/",
            "http://192.0.2.1/",
            "http://example.org/",
            "http://127.0.0.1:x/",
            "http://127.0.0.1/a b",
        ] {
            assert!(parse_url(url).is_none(), "{url}");
        }
        let (addresses, request) = parse_url("http://[::1]:81").expect("parsed");
        assert_eq!(addresses, ["[::1]:81".parse().expect("address")]);
        assert!(request.starts_with(b"GET / HTTP/1.1\r\nHost: [::1]:81\r\n"));
        assert_eq!(
            parse_url("http://127.0.0.2?q").expect("parsed").0,
            ["127.0.0.2:80".parse().expect("address")]
        );
    }
}
