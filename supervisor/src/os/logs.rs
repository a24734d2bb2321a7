//! What an instance prints: bytes come in, lines with their time go to bounded files that people can read with `less`, and come back out.

use crate::{
    protocol::{LogLine, Stream},
    time::{BootTime, Wall},
};
use std::{
    io,
    path::{Path, PathBuf},
};
use swarm_manifests::units::ByteSize;

/// The log of one instance, being written.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
}

/// Where a reader has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The file's inode: it keeps it when it is rotated.
    inode: u64,
    offset: u64,
}

impl LogWriter {
    /// Opens (or makes) `<dir>/<instance>.log`; all its files together stay below `max` (default 16M).
    pub fn open(dir: &Path, instance: u16, max: Option<ByteSize>) -> io::Result<Self> {
        let _ = (dir, instance, max);
        todo!()
    }

    /// Takes bytes as they were read from a pipe. Each whole line is also given to `see` (for `[ready] log`), without its newline.
    pub fn feed(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        now: BootTime,
        wall: Wall,
        see: &mut dyn FnMut(Stream, &str),
    ) -> io::Result<()> {
        let _ = (stream, bytes, now, wall, see, &self.dir);
        todo!()
    }

    /// A remark of ours.
    pub fn remark(&mut self, text: &str, wall: Wall) -> io::Result<()> {
        let _ = (text, wall);
        todo!()
    }

    /// When [`LogWriter::flush`] is due: a line without its end, or a count of what was dropped, waits. None: nothing waits.
    pub fn deadline(&self) -> Option<BootTime> {
        todo!()
    }

    /// Writes what waits: at the deadline, and when the process has ended.
    pub fn flush(&mut self, now: BootTime, wall: Wall) -> io::Result<()> {
        let _ = (now, wall);
        todo!()
    }
}

/// The newest `lines` lines (all that are kept, where None) not older than `since`, oldest first, and where to go on from.
pub fn tail(
    dir: &Path,
    instance: u16,
    lines: Option<usize>,
    since: Option<Wall>,
) -> io::Result<(Vec<LogLine>, Option<Position>)> {
    let _ = (dir, instance, lines, since);
    todo!()
}

/// What was written after `from`, at most `limit` lines; asked again for `-f`.
pub fn follow(
    dir: &Path,
    instance: u16,
    from: Option<Position>,
    limit: usize,
) -> io::Result<(Vec<LogLine>, Option<Position>)> {
    let _ = (dir, instance, from, limit);
    todo!()
}

/// Removes every log file of this instance.
pub fn remove(dir: &Path, instance: u16) -> io::Result<()> {
    let _ = (dir, instance);
    todo!()
}
