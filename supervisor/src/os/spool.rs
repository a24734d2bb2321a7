//! Output on its way from a pipe to a log, so that our death in between neither loses nor doubles a byte. Touches one file and the pipes.
//!
//! A portion goes from the pipe into the spool by one `splice(2)`: it leaves the one and is in the other, or neither. Beside it stands
//! where the log ended then, and the line that had no end yet. Who comes after us and finds a portion there cuts the log off at that
//! place and takes the portion once more. There is one spool, as there is one thread.

use crate::protocol::Stream;
use nix::fcntl::{SpliceFFlags, splice};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::BorrowedFd,
        unix::fs::{FileExt as _, OpenOptionsExt as _},
    },
    path::Path,
};
use swarm_manifests::name::Name;

/// Bytes of a head; what follows it is the line without its end, then the portion.
const HEAD: usize = 512;

/// The file.
#[derive(Debug)]
pub struct Spool {
    file: File,
}

/// Whose portion it is, and where its log was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Head {
    pub workflow: Name,
    pub instance: u16,
    pub stream: Stream,
    pub place: Place,
    /// Bytes of the line that had no end yet.
    pub rest: usize,
    /// Whether something of that line was in the log already.
    #[serde(default)]
    pub continues: bool,
    /// No portion: what there is of that line is written as it is.
    #[serde(default)]
    pub cuts: bool,
}

/// The end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Place {
    pub inode: u64,
    pub size: u64,
}

/// A portion that a former life of ours took and may not have logged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Unfinished {
    pub head: Head,
    pub rest: Vec<u8>,
    pub portion: Vec<u8>,
}

impl Spool {
    /// Opens or makes it; what stands there unfinished comes along.
    pub fn open(path: &Path) -> io::Result<(Self, Option<Unfinished>)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let unfinished = unfinished(&std::fs::read(path)?);
        Ok((Self { file }, unfinished))
    }

    /// Takes what the pipe has, up to `most` bytes, into `portion`. Empty: nothing now. On an error nothing has left the pipe.
    pub fn take(
        &self,
        head: &Head,
        rest: &[u8],
        pipe: BorrowedFd<'_>,
        most: usize,
        portion: &mut Vec<u8>,
    ) -> io::Result<()> {
        let start = self.note(head, rest)?;
        let mut at = start.cast_signed();
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
        let count = match splice(pipe, None, &self.file, Some(&mut at), most, flags) {
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => 0,
            other => other?,
        };
        portion.resize(count, 0);
        self.file.read_exact_at(portion, start)
    }

    /// Notes what is about to be done to a log. Where the note ends.
    pub fn note(&self, head: &Head, rest: &[u8]) -> io::Result<u64> {
        let mut bytes = serde_json::to_vec(head)?;
        if bytes.len() > HEAD {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        bytes.resize(HEAD, b' ');
        bytes.extend_from_slice(rest);
        // First the old portion goes, then the head changes: a head never stands over a portion of another.
        self.file.set_len(0)?;
        self.file.write_all_at(&bytes, 0)?;
        Ok(bytes.len() as u64)
    }

    /// The portion is in the log.
    pub fn done(&self) -> io::Result<()> {
        self.file.set_len(0)
    }
}

/// Pure.
fn unfinished(bytes: &[u8]) -> Option<Unfinished> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let head: Head = serde_json::from_slice(head.trim_ascii_end()).ok()?;
    let (rest, portion) = rest.split_at_checked(head.rest)?;
    (head.cuts || !portion.is_empty()).then(|| Unfinished {
        rest: rest.to_owned(),
        portion: portion.to_owned(),
        head,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    fn head(rest: usize) -> Head {
        Head {
            workflow: "web".parse().expect("a name"),
            instance: 3,
            stream: Stream::Stderr,
            place: Place { inode: 5, size: 7 },
            rest,
            continues: false,
            cuts: false,
        }
    }

    #[test]
    fn a_portion_is_in_the_pipe_or_in_the_spool() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spool");
        let (spool, nothing) = Spool::open(&path).expect("open");
        assert_eq!(nothing, None);
        let (read, write) = nix::unistd::pipe().expect("a pipe");
        nix::unistd::write(&write, b"one\ntwo").expect("written");
        let mut portion = Vec::new();
        let mut take = |rest: &[u8], most| {
            spool
                .take(&head(rest.len()), rest, read.as_fd(), most, &mut portion)
                .expect("taken");
            portion.clone()
        };
        assert_eq!(take(b"", 4), b"one\n");
        assert_eq!(take(b"begun ", 64), b"two");
        // We die here, and the next one finds it.
        let (again, found) = Spool::open(&path).expect("open");
        let found = found.expect("unfinished");
        assert_eq!(
            (found.head, found.rest, found.portion),
            (head(6), b"begun ".to_vec(), b"two".to_vec())
        );
        again.done().expect("done");
        assert_eq!(Spool::open(&path).expect("open").1, None);
        assert_eq!(take(b"", 64), b"", "nothing now");
        assert_eq!(Spool::open(&path).expect("open").1, None);
    }

    #[test]
    fn a_line_about_to_be_cut_is_found_without_a_portion() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spool");
        let (spool, _) = Spool::open(&path).expect("open");
        let cut = Head {
            cuts: true,
            ..head(5)
        };
        spool.note(&cut, b"begun").expect("noted");
        let found = Spool::open(&path).expect("open").1.expect("unfinished");
        assert_eq!((found.head, found.rest), (cut, b"begun".to_vec()));
        spool.note(&head(5), b"begun").expect("noted");
        assert_eq!(
            Spool::open(&path).expect("open").1,
            None,
            "nothing was taken"
        );
    }

    #[test]
    fn half_a_head_is_no_head() {
        for bytes in [&b""[..], b"{}", &[b' '; HEAD + 9]] {
            assert_eq!(unfinished(bytes), None);
        }
    }
}
