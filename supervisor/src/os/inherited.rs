//! A descriptor that whoever started us left open, by its number: in comes a number, out comes a socket that nobody else here owns.
//!
//! Touches that descriptor: it is not handed on to what is started from here.

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use std::{
    io,
    os::{
        fd::{FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::Mutex,
};

/// The numbers that were taken: a descriptor has one owner.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes the Unix socket at this number over. Errors: it is standard input, output or error, not open, no such socket, or was taken before.
pub fn socket(number: RawFd) -> io::Result<UnixStream> {
    let address: SockaddrStorage = getsockname(number)?;
    if address.family() != Some(AddressFamily::Unix) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    take(number).map(UnixStream::from)
}

/// Takes whatever is open at this number over. Errors: it is standard input, output or error, not open, or was taken before.
pub fn take(number: RawFd) -> io::Result<OwnedFd> {
    let mut taken = TAKEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if number <= libc::STDERR_FILENO || taken.contains(&number) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: fcntl(2) takes two integers here, and fails where nothing is open at that number.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    taken.push(number);
    // SAFETY: it is open; none of the standard streams, which others own; and `TAKEN` sees to it that it is taken only once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, io::Write, os::fd::IntoRawFd};

    #[test]
    fn an_open_socket_is_taken_once_and_anything_else_is_refused() {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        let number = theirs.into_raw_fd();
        let mut taken = socket(number).expect("it is a socket");
        assert!(socket(number).is_err(), "taken twice");
        ours.write_all(b"x").expect("it is open");
        assert_eq!(taken.read(&mut [0]).expect("it is open"), 1);
        let file = std::fs::File::open("/dev/null")
            .expect("a file")
            .into_raw_fd();
        assert!(socket(file).is_err(), "a file was taken for a socket");
        assert!(socket(2).is_err(), "standard error was taken");
        assert!(socket(999).is_err(), "a closed one was taken");
    }
}
