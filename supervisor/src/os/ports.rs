//! Whether ports are free before a start: ranges come in, who holds one of them comes out.

use swarm_manifests::bundle::PortRange;

/// A port that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Taken {
    pub port: u16,
    /// The process that listens, where /proc tells: pid and name.
    pub by: Option<(i32, String)>,
}

/// The first port of these that cannot be listened on now. None: all are free.
pub fn first_taken(ranges: &[PortRange]) -> Option<Taken> {
    let _ = ranges;
    todo!()
}
