//! The keeper: a process beside us that holds what the kernel forgets when nobody does. In come descriptors with the instance that they
//! belong to; out come, for the supervisor after us, the pidfds of main processes that may have ended since.
//!
//! A pipe loses what is in it when its last holder goes, and who ended is known for as long as a pidfd that was opened before is open:
//! with the supervisor and the program dead, both would be lost. The keeper is a fork of ours that shares our memory, knows a map of
//! descriptors and nothing else, and outlives us; it ends when it is told to, by SIGTERM, or when nobody could find it any more.
//! What is sent is held from that moment on, for descriptors on their way are held by the kernel. Touches one socket and one process.

use super::{identity::Pidfd, pages, spawn};
use nix::{
    cmsg_space,
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
        socket::{
            AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag,
            SockType, UnixAddr, accept4, bind, connect, getsockopt, listen, recvmsg, sendmsg,
            setsockopt, socket,
            sockopt::{PeerCredentials, ReceiveTimeout, SendTimeout},
        },
        time::{TimeVal, TimeValLike as _},
    },
    unistd::{ForkResult, fork, geteuid},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    io::{IoSlice, IoSliceMut},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};
use swarm_manifests::name::Name;

/// Our end of the line to the keeper. Readable: it is gone.
#[derive(Debug)]
pub struct Keeper {
    line: OwnedFd,
    /// Where it is our child.
    child: Option<Pidfd>,
}

/// A main process, as its pidfd is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Kept {
    pub workflow: Name,
    pub instance: u16,
    pub pid: i32,
    pub start_time: u64,
}

/// What a keeper held for a former life of ours.
pub type Holdings = Vec<(Kept, Pidfd)>;

/// What is said, either way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Word {
    /// Hold what comes along instead of what was held for this instance: its pidfd first.
    Keep(Kept),
    /// Nothing of this instance is needed any more.
    Forget(Name, u16),
    /// The keeper has told everything that it holds.
    All,
    /// Nothing is needed any more.
    End,
}

/// The longest message; a name has 64 bytes.
const MAX_WORD: usize = 512;
/// Descriptors of one instance: its pidfd and both pipes.
const MAX_FDS: usize = 3;
/// Longer than this nobody waits for the other, in seconds.
const PATIENCE: i64 = 2;
/// Between two looks of a keeper without a supervisor whether the next one could find it, in milliseconds.
const LOOK: u16 = 60_000;
/// Nobody has said anything for so long: what memory listening needed goes back, in milliseconds.
const SETTLES: u16 = 5000;

impl Keeper {
    /// The keeper that a former life of ours started, and what it holds. None: there is none.
    pub fn find(path: &Path) -> io::Result<Option<(Self, Holdings)>> {
        let line = new_socket()?;
        match connect(line.as_raw_fd(), &UnixAddr::new(path)?) {
            Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
            other => other?,
        }
        is_of_us(line.as_fd())?;
        set_patience(line.as_fd())?;
        let mut kept = Vec::new();
        loop {
            match receive(line.as_fd())? {
                Some((Word::Keep(of), mut fds)) if !fds.is_empty() => {
                    kept.push((of, Pidfd::from_fd(fds.swap_remove(0))));
                }
                Some((Word::All, _)) => return Ok(Some((Self { line, child: None }, kept))),
                Some(_) => {}
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Starts one, in the cgroup of that folder where there is one: a fork of ours.
    pub fn start(path: &Path, cgroup: Option<&Path>) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = new_socket()?;
        bind(listener.as_raw_fd(), &UnixAddr::new(path)?)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listen(&listener, Backlog::new(1)?)?;
        // SAFETY: the child goes on with a copy of our memory and never returns; fork(3) leaves the allocator usable in it, and nothing
        // that it calls takes another lock.
        let child = match pages::with_heap(|| unsafe { fork() })? {
            ForkResult::Parent { child } => Pidfd::open(child.as_raw())?,
            ForkResult::Child => {
                let _ends_here = EndsHere;
                settle_down(&listener, cgroup);
                return Err(serve(&listener, path)
                    .err()
                    .unwrap_or(io::ErrorKind::Other.into()));
            }
        };
        drop(listener);
        match Self::find(path) {
            Ok(Some((keeper, _))) => Ok(Self {
                child: Some(child),
                ..keeper
            }),
            other => {
                spawn::end(&child);
                Err(other
                    .err()
                    .unwrap_or(io::ErrorKind::ConnectionRefused.into()))
            }
        }
    }

    /// From now on these outlive us: the pidfd of an instance's main process, and its pipes.
    pub fn keep(&self, of: Kept, main: &Pidfd, pipes: [BorrowedFd<'_>; 2]) -> io::Result<()> {
        let fds = [main.raw(), pipes[0].as_raw_fd(), pipes[1].as_raw_fd()];
        send(self.line.as_fd(), &Word::Keep(of), &fds)
    }

    /// What is kept of an instance is not needed any more.
    pub fn forget(&self, workflow: &Name, instance: u16) -> io::Result<()> {
        send(
            self.line.as_fd(),
            &Word::Forget(workflow.clone(), instance),
            &[],
        )
    }

    /// Nothing is needed any more: it ends.
    pub fn end(self) -> io::Result<()> {
        send(self.line.as_fd(), &Word::End, &[])?;
        let mut gone = [PollFd::new(self.line.as_fd(), PollFlags::POLLIN)];
        poll(
            &mut gone,
            PollTimeout::try_from(PATIENCE * 1000).unwrap_or(PollTimeout::MAX),
        )?;
        self.bury();
        Ok(())
    }

    /// It does not listen any more, or never will: where it is our child it is taken off the process table.
    pub fn bury(self) {
        if let Some(child) = self.child {
            spawn::end(&child);
        }
    }
}

impl AsFd for Keeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let kind = SockType::SeqPacket;
    Ok(socket(
        AddressFamily::Unix,
        kind,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?)
}

/// Nobody but us is spoken to.
fn is_of_us(line: BorrowedFd<'_>) -> io::Result<()> {
    let peer = getsockopt(&line, PeerCredentials)?;
    if peer.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("it is held by user {}", peer.uid()),
    ))
}

/// A keeper that is stopped does not stop us, nor we it.
fn set_patience(line: BorrowedFd<'_>) -> io::Result<()> {
    setsockopt(&line, SendTimeout, &TimeVal::seconds(PATIENCE))?;
    setsockopt(&line, ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
    Ok(())
}

fn send(line: BorrowedFd<'_>, word: &Word, fds: &[RawFd]) -> io::Result<()> {
    let bytes = serde_json::to_vec(word)?;
    let rights = [ControlMessage::ScmRights(fds)];
    let rights = if fds.is_empty() { &[][..] } else { &rights };
    let words = [IoSlice::new(&bytes)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(line.as_raw_fd(), &words, rights, flags, None)?;
    Ok(())
}

/// The next word; none: the other end is gone.
fn receive(line: BorrowedFd<'_>) -> io::Result<Option<(Word, Vec<OwnedFd>)>> {
    let mut bytes = [0; MAX_WORD];
    let mut control = cmsg_space!([RawFd; MAX_FDS]);
    let (count, fds) = {
        let mut into = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(line.as_raw_fd(), &mut into, Some(&mut control), flags)?;
        let mut fds = Vec::new();
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = part {
                // SAFETY: the kernel has just made these descriptors for us, and nobody else owns them.
                fds.extend(
                    numbers
                        .into_iter()
                        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                );
            }
        }
        (message.bytes, fds)
    };
    if count == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[..count])?, fds)))
}

/// However the child's part ends, nothing of its parent's goes on in it.
struct EndsHere;

impl Drop for EndsHere {
    fn drop(&mut self) {
        // SAFETY: ends this process only, without running anything of its parent's.
        unsafe { libc::_exit(0) };
    }
}

/// In the child: nothing of its parent's stays open but the listener, and it ends like any other program.
fn settle_down(listener: &OwnedFd, cgroup: Option<&Path>) {
    let _ = nix::unistd::setsid();
    let _ = nix::sys::prctl::set_name(c"swarm-keeper");
    if let Some(group) = cgroup {
        let _ = fs::write(group.join("cgroup.procs"), "0");
    }
    let _ = std::env::set_current_dir("/");
    let own = listener.as_raw_fd().cast_unsigned();
    for (first, last) in [(3, own - 1), (own + 1, u32::MAX)] {
        // SAFETY: this process uses none of these descriptors: whoever owned them lives in its parent.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
    if let Ok(null) = fs::File::options().read(true).write(true).open("/dev/null") {
        for standard in 0..3 {
            // SAFETY: dup2(2) of two integers; the three standard streams are nobody's.
            unsafe { libc::dup2(null.as_raw_fd(), standard) };
        }
    }
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: the default disposition runs no code of ours.
        let _ = unsafe { sigaction(signal, &default) };
    }
    let _ = SigSet::all().thread_unblock();
}

/// Holds, and gives back; returns when there is nothing to live for.
fn serve(listener: &OwnedFd, path: &Path) -> io::Result<()> {
    let mut held: BTreeMap<(Name, u16), (Kept, Vec<OwnedFd>)> = BTreeMap::new();
    let mut line: Option<OwnedFd> = None;
    let place = place_of(path);
    let mut is_settled = false;
    loop {
        let mut waited = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        waited.extend(
            line.iter()
                .map(|l| PollFd::new(l.as_fd(), PollFlags::POLLIN)),
        );
        let patience = match (&line, is_settled) {
            (None, _) => LOOK.into(),
            (Some(_), false) => SETTLES.into(),
            (Some(_), true) => PollTimeout::NONE,
        };
        let many = poll(&mut waited, patience)?;
        let is_ready = |at: usize| waited.get(at).is_some_and(|one| one.any() == Some(true));
        let (knocks, speaks) = (is_ready(0), is_ready(1));
        is_settled = many == 0;
        if is_settled {
            if place_of(path) != place {
                return Ok(());
            }
            pages::give_back_heap();
            let _ = pages::give_back_text();
        }
        // Who knocks comes after one who is gone: what that one said is heard first.
        if let (true, Some(open)) = (speaks, &line) {
            match receive(open.as_fd()) {
                Ok(Some((Word::Keep(of), fds))) => {
                    held.insert((of.workflow.clone(), of.instance), (of, fds));
                }
                Ok(Some((Word::Forget(workflow, instance), _))) => {
                    held.remove(&(workflow, instance));
                }
                Ok(Some((Word::End, _))) => return fs::remove_file(path),
                Ok(Some((Word::All, _))) => {}
                // The supervisor is gone, or talks nonsense.
                Ok(None) | Err(_) => line = None,
            }
        } else if knocks {
            line = meet(listener, &held).ok();
        }
    }
}

/// A supervisor knocks: it is told what is held.
fn meet(
    listener: &OwnedFd,
    held: &BTreeMap<(Name, u16), (Kept, Vec<OwnedFd>)>,
) -> io::Result<OwnedFd> {
    let line = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    // SAFETY: accept4(2) has just made it for us.
    let line = unsafe { OwnedFd::from_raw_fd(line) };
    is_of_us(line.as_fd())?;
    set_patience(line.as_fd())?;
    for (of, fds) in held.values() {
        let main: Vec<RawFd> = fds.first().map(AsRawFd::as_raw_fd).into_iter().collect();
        send(line.as_fd(), &Word::Keep(of.clone()), &main)?;
    }
    send(line.as_fd(), &Word::All, &[])?;
    Ok(line)
}

/// Which socket stands there.
fn place_of(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path)
        .ok()
        .map(|meta| (meta.dev(), meta.ino()))
}

/// Where the keeper of the supervisor with this control socket listens.
pub fn path_beside(control: &Path) -> PathBuf {
    control.with_extension("keeper")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::identity::start_time;
    use std::process::{Command, Stdio};
    use swarm_manifests::status::LastExit;

    fn kept(pid: i32) -> Kept {
        Kept {
            workflow: "web".parse().expect("a name"),
            instance: 2,
            pid,
            start_time: start_time(pid).expect("it runs"),
        }
    }

    #[test]
    fn what_is_kept_outlives_who_kept_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keeper");
        assert!(Keeper::find(&path).expect("asked").is_none());
        let keeper = Keeper::start(&path, None).expect("started");
        let (read, write) = nix::unistd::pipe().expect("a pipe");
        nix::unistd::write(&write, b"last words").expect("written");
        let mut child = Command::new("sh")
            .args(["-c", "read go; exit 7"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let of = kept(child.id().cast_signed());
        let main = Pidfd::open(of.pid).expect("a pidfd");
        keeper
            .keep(of.clone(), &main, [read.as_fd(), read.as_fd()])
            .expect("kept");
        // The supervisor dies; so does the program, and somebody else reaps it.
        drop((keeper, main, read));
        drop(child.stdin.take());
        child.wait().expect("its end");
        nix::unistd::write(&write, b".").expect("there is a reader");
        let (keeper, mut found) = Keeper::find(&path).expect("found").expect("it lives");
        let (again, main) = found.pop().expect("kept");
        assert_eq!((again, found.len()), (of, 0));
        let known = [
            LastExit::Code { code: 7 },
            // Before Linux 6.15.
            LastExit::Unseen { seen: false },
        ];
        assert!(main.exit().is_some_and(|exit| known.contains(&exit)));
        keeper.end().expect("told");
        let mut gone = [PollFd::new(write.as_fd(), PollFlags::POLLERR)];
        poll(&mut gone, 10_000_u16).expect("polled");
        assert_eq!(
            nix::unistd::write(&write, b"."),
            Err(Errno::EPIPE),
            "nobody holds the pipe any more"
        );
    }

    #[test]
    fn what_is_forgotten_is_not_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keeper");
        let keeper = Keeper::start(&path, None).expect("started");
        let of = kept(std::process::id().cast_signed());
        let main = Pidfd::open(of.pid).expect("a pidfd");
        let pipe = nix::unistd::pipe().expect("a pipe").0;
        keeper
            .keep(of.clone(), &main, [pipe.as_fd(), pipe.as_fd()])
            .expect("kept");
        keeper.forget(&of.workflow, of.instance).expect("told");
        drop(keeper);
        let (keeper, found) = Keeper::find(&path).expect("found").expect("it lives");
        assert_eq!(found.len(), 0);
        keeper.end().expect("told");
    }

    #[test]
    fn what_was_said_last_is_heard_before_the_next_supervisor_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keeper");
        let mut keeper = Keeper::start(&path, None).expect("started");
        let main = Pidfd::open(std::process::id().cast_signed()).expect("a pidfd");
        let pipe = nix::unistd::pipe().expect("a pipe").0;
        for instance in 0..200 {
            let of = Kept {
                instance,
                ..kept(std::process::id().cast_signed())
            };
            keeper
                .keep(of, &main, [pipe.as_fd(), pipe.as_fd()])
                .expect("kept");
            drop(keeper);
            let found = Keeper::find(&path).expect("found").expect("it lives");
            assert_eq!(found.1.len(), usize::from(instance) + 1);
            keeper = found.0;
        }
        keeper.end().expect("told");
    }
}
