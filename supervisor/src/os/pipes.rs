//! Named pipes for an instance's output: the workflow holds them open for reading and writing, so that no crash of ours can break them.

use super::launch::Ids;
use crate::protocol::Stream;
use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
};

/// Both pipes of one instance, as the supervisor holds them: never at an end of file, and never blocking.
#[derive(Debug)]
pub struct Pipes {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Pipes {
    /// Makes (or finds again, after a crash of ours) `stdout.pipe` and `stderr.pipe` in `dir`, owned by `owner`.
    pub fn open(dir: &Path, owner: Option<&Ids>) -> io::Result<Self> {
        let _ = (dir, owner);
        todo!()
    }

    /// The ends for a new process: stdout, stderr.
    pub fn for_child(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        todo!()
    }

    /// Readable when there is output.
    pub fn fd(&self, stream: Stream) -> BorrowedFd<'_> {
        let _ = (stream, &self.stdout, &self.stderr);
        todo!()
    }

    /// Reads what is there; 0: nothing now.
    pub fn read(&self, stream: Stream, buffer: &mut [u8]) -> io::Result<usize> {
        let _ = (stream, buffer);
        todo!()
    }

    /// Removes them from the folder.
    pub fn remove(dir: &Path) {
        let _ = dir;
        todo!()
    }
}
