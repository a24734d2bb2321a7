//! The socket that an instance notifies (`sd_notify(3)`): datagrams come in, what the instance's own processes say goes out.
//!
//! Touches one datagram socket in the file system, whose path is the instance's `NOTIFY_SOCKET`.

use super::launch::Ids;
use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, bind, recvmsg,
        setsockopt, socket, sockopt::PassCred,
    },
    unistd::{Gid, Uid, chown},
};
use std::{
    fs, io,
    io::IoSliceMut,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
    time::Duration,
};

/// What a program says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// `READY=1`
    Ready,
    /// `STOPPING=1`
    Stopping,
    /// `STATUS=`, for people.
    Status(String),
    /// `WATCHDOG=1`: it is well.
    Watchdog,
    /// `WATCHDOG=trigger`: it is not, by its own finding.
    Ill,
    /// `EXTEND_TIMEOUT_USEC=`
    Extend(Duration),
}

/// The longest message that is read.
const MAX_NOTICE: usize = 4096;

/// The socket.
#[derive(Debug)]
pub struct NotifySocket {
    fd: OwnedFd,
}

impl NotifySocket {
    /// Binds it at `path` (removing what a former life of ours left there), writable for `owner`. A path of more than 107 bytes is an
    /// error: no program could reach it.
    pub fn bind(path: &Path, owner: Option<&Ids>) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&fd, PassCred, &true)?;
        bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        if let Some(ids) = owner.filter(|_| nix::unistd::geteuid().is_root()) {
            chown(
                path,
                Some(Uid::from_raw(ids.uid)),
                Some(Gid::from_raw(ids.gid)),
            )?;
        }
        Ok(Self { fd })
    }

    /// One that was handed to us.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Readable when a notice came.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The next message, in words; empty: it is of somebody who does not belong here, or says nothing. None: nothing now.
    ///
    /// `belongs` is asked about the sender's pid (as the kernel gives it) while the message is only looked at: `systemd-notify`
    /// waits until its message is taken (`BARRIER=1`), so it is still there to be found in its tree.
    pub fn receive(&self, belongs: impl FnOnce(i32) -> bool) -> io::Result<Option<Vec<Notice>>> {
        let mut bytes = [0; MAX_NOTICE];
        let Some((sender, _)) = self.message(&mut bytes, MsgFlags::MSG_PEEK)? else {
            return Ok(None);
        };
        let own = belongs(sender);
        let Some((taken, length)) = self.message(&mut bytes, MsgFlags::empty())? else {
            return Ok(None);
        };
        Ok(Some(if own && taken == sender {
            notices(&bytes[..length])
        } else {
            Vec::new()
        }))
    }

    /// Who sent the next message (0: nobody of this box's), and its length. None: nothing now.
    fn message(&self, bytes: &mut [u8], how: MsgFlags) -> io::Result<Option<(i32, usize)>> {
        let mut parts = [IoSliceMut::new(bytes)];
        let mut control = cmsg_space!(nix::sys::socket::UnixCredentials);
        // Descriptors that somebody sends along are not taken: there is no room for them.
        let flags = how | MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message =
            match recvmsg::<()>(self.fd.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
                other => other?,
            };
        let sender = message.cmsgs()?.find_map(|part| match part {
            ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.pid()),
            _ => None,
        });
        Ok(Some((sender.unwrap_or(0), message.bytes)))
    }
}

/// Lines `NAME=value`; what is not known here is passed over. Pure.
fn notices(text: &[u8]) -> Vec<Notice> {
    let text = String::from_utf8_lossy(text);
    let notice = |line: &str| match line.split_once('=')? {
        ("READY", "1") => Some(Notice::Ready),
        ("STOPPING", "1") => Some(Notice::Stopping),
        ("WATCHDOG", "1") => Some(Notice::Watchdog),
        ("WATCHDOG", "trigger") => Some(Notice::Ill),
        ("STATUS", status) => Some(Notice::Status(status.to_owned())),
        ("EXTEND_TIMEOUT_USEC", number) => number
            .parse()
            .ok()
            .map(|number| Notice::Extend(Duration::from_micros(number))),
        _ => None,
    };
    text.lines().filter_map(notice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_notice_is_heeded_when_its_sender_belongs_there() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("notify");
        let socket = NotifySocket::bind(&path, None).expect("bound");
        assert_eq!(socket.receive(|_| true).expect("nothing"), None);
        let sender = UnixDatagram::unbound().expect("socket");
        let say = |text: &str| sender.send_to(text.as_bytes(), &path).expect("sent");
        say("READY=1\nSTATUS=up and well\nX=y\nEXTEND_TIMEOUT_USEC=5000000");
        let us = std::process::id().cast_signed();
        let wanted = vec![
            Notice::Ready,
            Notice::Status("up and well".into()),
            Notice::Extend(Duration::from_secs(5)),
        ];
        assert_eq!(
            socket.receive(|pid| pid == us).expect("received"),
            Some(wanted)
        );
        say("STOPPING=1");
        assert_eq!(
            socket.receive(|pid| pid != us).expect("received"),
            Some(Vec::new()),
            "a stranger's"
        );
        say("WATCHDOG=1\nWATCHDOG=trigger\nREADY=0\nEXTEND_TIMEOUT_USEC=-1");
        assert_eq!(
            socket.receive(|_| true).expect("received"),
            Some(vec![Notice::Watchdog, Notice::Ill])
        );
        drop(socket);
        NotifySocket::bind(&path, None).expect("bound again over what a former life left");
    }
}
