//! What all tests of a machine draw from: ports and user ids. A number goes out to one at a time.
//!
//! Touches abstract sockets: their names go with the process, however it ends, and are no files.

use anyhow::{Context, Result};
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    ops::Range,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

/// Below the kernel's usual range for outgoing connections: nobody's answer comes to a port that is waited for.
const PORTS: Range<u16> = 12_000..32_000;
/// Ids that people have on hardly any machine, and a container has too.
const IDS: Range<u32> = 5_000..60_000;
/// So many ids go to one box.
const IDS_OF_A_BOX: u32 = 500;

/// User ids that no other box of a test is given while this lives.
#[derive(Debug)]
pub struct UserIds {
    first: u32,
    _held: UnixListener,
}

/// A port on loopback that nobody has, and that no other test is given.
pub fn free_port() -> Result<u16> {
    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let lowest: u16 = lowest
        .split_whitespace()
        .next()
        .context("a range")?
        .parse()?;
    let range = PORTS.start..PORTS.end.min(lowest).max(PORTS.start + 1_000);
    let found = shuffled(range.start.into()..range.end.into()).find_map(|port| {
        let port = u16::try_from(port).ok()?;
        let held = reserve("port", port.into())?;
        TcpListener::bind(("127.0.0.1", port)).ok()?;
        // For as long as this process lives.
        std::mem::forget(held);
        Some(port)
    });
    found.context("every port is taken")
}

impl UserIds {
    /// For one box.
    pub fn reserve() -> Result<Self> {
        let slots = (IDS.end - IDS.start) / IDS_OF_A_BOX;
        let found = shuffled(0..slots).find_map(|slot| Some((slot, reserve("ids", slot)?)));
        let (slot, held) = found.context("every user id is taken")?;
        Ok(Self {
            first: IDS.start + slot * IDS_OF_A_BOX,
            _held: held,
        })
    }

    /// `[users]` of agent.toml.
    pub fn settings(&self) -> String {
        let last = self.first + IDS_OF_A_BOX - 1;
        format!("[users]\nrange = [{}, {last}]\n", self.first)
    }
}

/// Each number of the range once, from a random one on.
fn shuffled(range: Range<u32>) -> impl Iterator<Item = u32> {
    let size = range.end - range.start;
    let from = u32::try_from(RandomState::new().hash_one(0) % u64::from(size)).unwrap_or_default();
    (0..size).map(move |step| range.start + (from + step) % size)
}

/// Taken for as long as what is given back lives; none: another has it.
fn reserve(kind: &str, number: u32) -> Option<UnixListener> {
    let name = SocketAddr::from_abstract_name(format!("swarm-tests-{kind}-{number}")).ok()?;
    UnixListener::bind_addr(&name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_goes_out_twice() -> Result<()> {
        let held = reserve("trial", std::process::id());
        assert!(held.is_some());
        assert!(reserve("trial", std::process::id()).is_none());
        drop(held);
        assert!(reserve("trial", std::process::id()).is_some());
        let (one, other) = (UserIds::reserve()?, UserIds::reserve()?);
        assert_ne!(one.settings(), other.settings());
        assert_ne!(free_port()?, free_port()?);
        Ok(())
    }
}
