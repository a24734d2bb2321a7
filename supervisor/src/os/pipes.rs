//! Named pipes for an instance's output: the workflow holds them open for reading and writing, so that no crash of ours can break them.

use super::launch::Ids;
use crate::protocol::Stream;
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    poll::{PollFd, PollFlags, PollTimeout},
    sys::stat::{Mode, SFlag, fchmod, fstat, mode_t},
    unistd::{Gid, Uid, fchown, mkfifo},
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// Both pipes of one instance, as the supervisor holds them: never at an end of file (we could write, too), and never blocking.
#[derive(Debug)]
pub struct Pipes {
    dir: PathBuf,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Pipes {
    /// Makes (or finds again, after a crash of ours) `stdout.pipe` and `stderr.pipe` in `dir`, owned by `owner`. The folder must be one
    /// in which only we make names.
    pub fn open(dir: &Path, owner: Option<&Ids>) -> io::Result<Self> {
        let make = |stream| open_pipe(&path(dir, stream), owner);
        Ok(Self {
            dir: dir.to_owned(),
            stdout: make(Stream::Stdout)?,
            stderr: make(Stream::Stderr)?,
        })
    }

    /// The ends for a new process: stdout, stderr.
    pub fn for_child(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let end = |stream| {
            open(
                &path(&self.dir, stream),
                OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
                Mode::empty(),
            )
        };
        Ok((end(Stream::Stdout)?, end(Stream::Stderr)?))
    }

    /// Readable when there is output. Our own remarks come through no pipe: [`Stream::Swarm`] means stderr here.
    pub fn fd(&self, stream: Stream) -> BorrowedFd<'_> {
        match stream {
            Stream::Stdout => self.stdout.as_fd(),
            Stream::Stderr | Stream::Swarm => self.stderr.as_fd(),
        }
    }

    /// Whether there is something to read.
    pub fn has_output(&self, stream: Stream) -> bool {
        let mut waited = [PollFd::new(self.fd(stream), PollFlags::POLLIN)];
        nix::poll::poll(&mut waited, PollTimeout::ZERO) != Ok(0)
    }

    /// Reads what is there; 0: nothing now.
    pub fn read(&self, stream: Stream, buffer: &mut [u8]) -> io::Result<usize> {
        match nix::unistd::read(self.fd(stream), buffer) {
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            other => Ok(other?),
        }
    }

    /// The folder they lie in.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    /// Removes them from the folder; what is open stays open.
    pub fn remove(dir: &Path) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let _ = std::fs::remove_file(path(dir, stream));
        }
    }
}

fn path(dir: &Path, stream: Stream) -> PathBuf {
    dir.join(if stream == Stream::Stdout {
        "stdout.pipe"
    } else {
        "stderr.pipe"
    })
}

fn open_pipe(path: &Path, owner: Option<&Ids>) -> io::Result<OwnedFd> {
    match mkfifo(path, Mode::from_bits_truncate(0o600)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let fd = open(
        path,
        OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode as mode_t & SFlag::S_IFMT.bits());
    if kind != SFlag::S_IFIFO {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is no pipe", path.display()),
        ));
    }
    if let Some(ids) = owner.filter(|_| nix::unistd::geteuid().is_root()) {
        fchown(
            &fd,
            Some(Uid::from_raw(ids.uid)),
            Some(Gid::from_raw(ids.gid)),
        )?;
        fchmod(&fd, Mode::from_bits_truncate(0o600))?;
    }
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_while_nobody_read_is_read_afterwards() {
        let dir = tempfile::tempdir().expect("tempdir");
        let pipes = Pipes::open(dir.path(), None).expect("pipes");
        let (out, _err) = pipes.for_child().expect("ends");
        drop(pipes);
        nix::unistd::write(&out, b"hello\n").expect("no broken pipe");
        let again = Pipes::open(dir.path(), None).expect("found again");
        let mut buffer = [0; 16];
        assert_eq!(again.read(Stream::Stdout, &mut buffer).expect("read"), 6);
        assert_eq!(&buffer[..6], b"hello\n");
        assert_eq!(
            again
                .read(Stream::Stdout, &mut buffer)
                .expect("nothing more"),
            0
        );
        drop(out);
        assert_eq!(
            again
                .read(Stream::Stdout, &mut buffer)
                .expect("no end of file"),
            0
        );
    }

    #[test]
    fn a_file_in_the_place_of_a_pipe_is_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::write(dir.path().join("stdout.pipe"), "x").expect("write");
        assert!(Pipes::open(dir.path(), None).is_err());
        std::fs::remove_file(dir.path().join("stdout.pipe")).expect("remove");
        std::os::unix::fs::symlink("/dev/null", dir.path().join("stdout.pipe")).expect("link");
        assert!(Pipes::open(dir.path(), None).is_err());
    }
}
