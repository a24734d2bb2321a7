//! A descriptor on its way through a Unix socket (`SCM_RIGHTS`): bytes and at most a few descriptors go in at one end and come out at
//! the other. Touches sockets.
//!
//! Order holds: a descriptor comes out with or before the last byte that it was sent with.

use nix::{
    cmsg_space,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

/// So many descriptors are taken with one reading; the kernel closes what is more.
const MOST: usize = 64;

/// Sends bytes and one descriptor, which goes with the first of them. Gives how many bytes went.
pub fn send(socket: &impl AsRawFd, bytes: &[u8], fd: &impl AsRawFd) -> io::Result<usize> {
    let fds = [fd.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&fds)];
    let sent = sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        &message,
        MsgFlags::MSG_NOSIGNAL,
        None,
    );
    Ok(sent?)
}

/// Reads bytes, and puts the descriptors that came with them at the end of `passed`. 0: the other end is closed.
pub fn receive(
    socket: &UnixStream,
    buffer: &mut [u8],
    passed: &mut impl Extend<OwnedFd>,
) -> io::Result<usize> {
    let mut space = cmsg_space!([RawFd; MOST]);
    let mut parts = [IoSliceMut::new(buffer)];
    let received = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    for message in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = message {
            // SAFETY: the kernel has just made these descriptors for us, and nobody else knows their numbers.
            passed.extend(
                fds.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::File, io::Write as _, os::unix::fs::MetadataExt as _};

    #[test]
    fn a_descriptor_comes_out_with_the_bytes_that_it_was_sent_with() {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        let file = tempfile::tempfile().expect("a file");
        ours.write_all(b"before").expect("room");
        assert_eq!(send(&ours, b"with", &file).expect("room"), 4);
        let (mut text, mut passed) = (Vec::<u8>::new(), Vec::new());
        while text.len() < 10 {
            let mut buffer = [0; 32];
            let count = receive(&theirs, &mut buffer, &mut passed).expect("bytes");
            text.extend(&buffer[..count]);
        }
        assert_eq!(text, b"beforewith");
        let came = File::from(passed.pop().expect("a descriptor"));
        let inode = |file: &File| file.metadata().expect("a file").ino();
        assert_eq!(inode(&came), inode(&file));
        assert!(passed.is_empty());
        drop(ours);
        assert_eq!(
            receive(&theirs, &mut [0; 1], &mut passed).expect("an end"),
            0
        );
    }
}
