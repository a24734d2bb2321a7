//! Whether ports are free before a start: ranges come in, who holds one of them comes out. Tries to bind, and reads /proc.

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, bind, setsockopt, socket,
        sockopt::{Ipv6V6Only, ReuseAddr},
    },
};
use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv6Addr, SocketAddrV6},
    os::fd::AsRawFd,
};
use swarm_manifests::bundle::PortRange;

/// More ports than this are compared with the kernel's list of listeners instead of being tried one by one.
const MAX_TRIED: usize = 64;

/// A port that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Taken {
    pub port: u16,
    /// The process that listens, where /proc tells: pid and name.
    pub by: Option<(i32, String)>,
}

/// The first port of these that cannot be listened on (TCP) now. None: all are free.
pub fn first_taken(ranges: &[PortRange]) -> Option<Taken> {
    let all = || ranges.iter().flat_map(|range| range.first..=range.last);
    if all().take(MAX_TRIED + 1).count() > MAX_TRIED {
        let listeners = listeners();
        let port = all().find(|port| listeners.contains_key(port))?;
        return Some(Taken {
            port,
            by: listeners.get(&port).and_then(|&inode| holder(inode)),
        });
    }
    let port = all().find(|&port| !is_free(port))?;
    Some(Taken {
        port,
        by: listeners().get(&port).and_then(|&inode| holder(inode)),
    })
}

/// As a server would bind: `SO_REUSEADDR` lets us past connections in `TIME_WAIT`, not past a listener. What we may not even try (a port below
/// 1024) is looked up.
fn is_free(port: u16) -> bool {
    let everywhere = SockaddrIn::new(0, 0, 0, 0, port);
    let everywhere6 = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0));
    let tried = |family, address: &dyn nix::sys::socket::SockaddrLike| -> nix::Result<()> {
        let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, ReuseAddr, &true)?;
        if family == AddressFamily::Inet6 {
            setsockopt(&fd, Ipv6V6Only, &true)?;
        }
        bind(fd.as_raw_fd(), address)
    };
    let answers = [
        tried(AddressFamily::Inet, &everywhere),
        tried(AddressFamily::Inet6, &everywhere6),
    ];
    let may_not = answers.contains(&Err(Errno::EACCES));
    let is_taken =
        answers.contains(&Err(Errno::EADDRINUSE)) || (may_not && listeners().contains_key(&port));
    !is_taken
}

/// Every listening port and its socket's inode.
fn listeners() -> BTreeMap<u16, u64> {
    let texts = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|file| fs::read_to_string(file).ok());
    texts
        .flat_map(|text| text.lines().filter_map(parse).collect::<Vec<_>>())
        .collect()
}

/// `  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 …`
fn parse(line: &str) -> Option<(u16, u64)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields[..] else {
        return None;
    };
    let (_, port) = local.rsplit_once(':')?;
    Some((u16::from_str_radix(port, 16).ok()?, inode.parse().ok()?))
}

/// Who has this socket open, as far as we may look.
fn holder(inode: u64) -> Option<(i32, String)> {
    let wanted = format!("socket:[{inode}]");
    let pids = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|link| link.as_os_str() == wanted.as_str())
    };
    let pid = pids.into_iter().find(has)?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn one(port: u16) -> [PortRange; 1] {
        [PortRange {
            first: port,
            last: port,
        }]
    }

    #[test]
    fn a_port_that_is_listened_on_is_taken_and_its_holder_named() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let port = listener.local_addr().expect("bound").port();
            let taken = first_taken(&one(port)).expect("taken");
            assert_eq!(taken.port, port);
            assert_eq!(
                taken.by.expect("our own").0,
                std::process::id().cast_signed()
            );
            let wide = [PortRange {
                first: port,
                last: port.saturating_add(200).max(port),
            }];
            assert_eq!(first_taken(&wide).expect("taken").port, port);
            drop(listener);
            assert_eq!(first_taken(&one(port)), None);
        }
    }

    #[test]
    fn only_listeners_are_read_from_the_kernels_list() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0";
        assert_eq!(parse(line), Some((8080, 12345)));
        assert_eq!(parse(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(parse("  sl  local_address rem_address   st"), None);
    }
}
