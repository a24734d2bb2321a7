//! The control socket: who may speak, what they say, and answers that go out as fast as each client reads. Touches one socket.

use crate::{
    frame::{Decoder, FrameError, encode},
    journal::{History, Verify},
    os::read::Position,
    protocol::{LogLine, Request, Response},
    settings::Settings,
};
use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::{Gid, Group, Uid, User, chown, getgrouplist},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::CString,
    fs, io,
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{
            fs::PermissionsExt as _,
            net::{UnixListener, UnixStream},
        },
    },
    path::PathBuf,
};
use swarm_manifests::name::Name;

/// The group whose members may act.
pub const OPERATORS: &str = "swarm-operators";
/// More clients are turned away.
const CLIENTS: usize = 64;
/// So many speak through the agent at a time, whoever else is there; more are told that there is no room.
const FROM_AFAR: usize = 32;
/// The longest request that is waited for, in bytes.
const REQUEST: usize = 64 << 10;
/// So much waits for a client that reads slowly; the rest waits where it comes from, in bytes.
pub(crate) const PORTION: usize = 256 << 10;

/// The socket and everybody on it.
pub(crate) struct Control {
    path: PathBuf,
    listener: UnixListener,
    pub(crate) token: Option<crate::run::Token>,
    pub(crate) clients: BTreeMap<u64, Client>,
    next: u64,
    /// The agent's user, who may act.
    pub(crate) agent: Option<u32>,
    /// Workflows that printed something since clients were looked after last.
    pub(crate) printed: BTreeSet<Name>,
}

/// Somebody on the socket.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) token: crate::run::Token,
    decoder: Decoder,
    pub(crate) out: Vec<u8>,
    pub(crate) uid: u32,
    /// Who speaks through the agent.
    pub(crate) person: Option<Person>,
    allowed: bool,
    pub(crate) feed: Feed,
    /// Nothing more comes: it is let go when everything is out.
    done: bool,
    /// Whether its socket is watched for room.
    pub(crate) writing: bool,
}

/// A person of the policy, whose signed request the agent verified.
pub(crate) struct Person {
    pub(crate) name: String,
    /// The key's fingerprint.
    pub(crate) key: String,
    /// That request's id.
    pub(crate) request: Option<String>,
}

/// Where the rest of an answer comes from.
pub(crate) enum Feed {
    None,
    /// From the agent.
    Agent,
    /// Lines, and then those to come.
    Logs {
        lines: std::vec::IntoIter<LogLine>,
        follow: Option<Follow>,
    },
    History {
        records: Box<History>,
        workflow: Option<String>,
    },
    Verify(Box<Verify>),
    /// Until another program has taken our place.
    Upgrade,
    /// Until a workflow is as it was asked for.
    Until {
        workflow: Name,
        goal: Goal,
        message: String,
    },
}

/// A log being followed.
pub(crate) struct Follow {
    pub(crate) workflow: Name,
    pub(crate) positions: BTreeMap<u16, Option<Position>>,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Nothing is left alive.
    Still,
    /// It is stopping no more, and starting no more.
    Settled,
}

impl Control {
    /// The socket that we were handed, with everybody who waits on it.
    pub(crate) fn inherited(settings: &Settings, listener: OwnedFd) -> Self {
        Self::with(settings.control.clone(), listener.into())
    }

    /// Binds the socket; what a former life of ours left there goes.
    pub(crate) fn bind(settings: &Settings) -> io::Result<Self> {
        let path = settings.control.clone();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let operators = Group::from_name(OPERATORS)
            .ok()
            .flatten()
            .filter(|_| Uid::effective().is_root());
        if let Some(group) = &operators {
            chown(&path, None, Some(group.gid))?;
        }
        let mode = if operators.is_some() { 0o660 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        listener.set_nonblocking(true)?;
        Ok(Self::with(path, listener))
    }

    fn with(path: PathBuf, listener: UnixListener) -> Self {
        Self {
            path,
            listener,
            token: None,
            clients: BTreeMap::new(),
            next: 1,
            agent: None,
            printed: BTreeSet::new(),
        }
    }

    /// A number for one more who speaks through the agent, where there is room.
    pub(crate) fn seat(&mut self) -> Option<u64> {
        (self.seated(true) < FROM_AFAR).then(|| self.next_id())
    }

    /// How many there are that speak through the agent, or for themselves.
    fn seated(&self, from_afar: bool) -> usize {
        let clients = self.clients.values();
        let of_them = clients.filter(|client| client.person.is_some() == from_afar);
        of_them.count()
    }

    /// This one is known, and may speak.
    pub(crate) fn introduce(&mut self, id: u64, person: Person) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.allowed = true;
            client.person = Some(person);
        }
    }

    /// A number for somebody who was handed to us.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// The socket goes with us.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Somebody who connects: the number to be, the socket, the user. None: nobody more now.
    pub(crate) fn accept(&mut self) -> Option<(u64, UnixStream, u32)> {
        loop {
            let (stream, _) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        tracing::warn!(%error, "a client could not be accepted");
                    }
                    return None;
                }
            };
            let Ok(peer) = getsockopt(&stream, PeerCredentials) else {
                continue;
            };
            if self.seated(false) >= CLIENTS || stream.set_nonblocking(true).is_err() {
                continue;
            }
            return Some((self.next_id(), stream, peer.uid()));
        }
    }

    pub(crate) fn add(&mut self, id: u64, stream: UnixStream, token: crate::run::Token, uid: u32) {
        let allowed = self.may(uid);
        self.clients.insert(
            id,
            Client {
                stream,
                token,
                decoder: Decoder::new(),
                out: Vec::new(),
                uid,
                person: None,
                allowed,
                feed: Feed::None,
                done: false,
                writing: false,
            },
        );
    }

    /// Root, our own user, the agent's, and the operators.
    fn may(&self, uid: u32) -> bool {
        uid == 0 || uid == Uid::effective().as_raw() || Some(uid) == self.agent || is_operator(uid)
    }

    /// Whether somebody follows this workflow's log.
    pub(crate) fn is_followed(&self, name: &Name) -> bool {
        self.clients.values().any(|client| {
            matches!(&client.feed, Feed::Logs { follow: Some(follow), .. } if follow.workflow == *name)
        })
    }

    /// Something for a client, which may be gone.
    pub(crate) fn say(&mut self, id: u64, response: &Response) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.say(response);
        }
    }

    pub(crate) fn fail(&mut self, id: u64, exit: u8, message: &str, hint: Option<&str>) {
        self.say(
            id,
            &Response::Failed {
                exit,
                message: message.into(),
                hint: hint.map(Into::into),
            },
        );
    }
}

impl Client {
    pub(crate) fn say(&mut self, response: &Response) {
        self.out.extend(encode(response));
        if response.is_last() {
            self.done = true;
            self.feed = Feed::None;
        }
    }

    /// Reads what came. `Err`: it is gone, or speaks something else.
    pub(crate) fn read(&mut self) -> Result<Option<Request>, FrameError> {
        let mut buffer = [0; 16 << 10];
        let gone = |kind: io::ErrorKind| FrameError::Json(serde_json::Error::io(kind.into()));
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(gone(io::ErrorKind::UnexpectedEof)),
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(gone(error.kind())),
        }
        if self.decoder.buffered() > REQUEST {
            return Err(FrameError::TooLarge(self.decoder.buffered()));
        }
        if !self.allowed {
            self.say(&Response::Failed {
                exit: 4,
                message: format!("user {} may not act on this box", self.uid),
                hint: Some(format!("root and members of the group {OPERATORS} may")),
            });
            return Ok(None);
        }
        // One request a connection: what follows it is not looked at.
        if self.done || !matches!(self.feed, Feed::None) {
            Ok(None)
        } else {
            self.decoder.next_frame()
        }
    }

    /// Writes what fits. `false`: it is gone, or has everything.
    pub(crate) fn write(&mut self) -> bool {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(0) => return false,
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        !self.done
    }

    pub(crate) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_operator(uid: u32) -> bool {
    let (Ok(Some(group)), Ok(Some(user))) = (
        Group::from_name(OPERATORS),
        User::from_uid(Uid::from_raw(uid)),
    ) else {
        return false;
    };
    let Ok(name) = CString::new(user.name) else {
        return false;
    };
    getgrouplist(&name, user.gid).is_ok_and(|groups: Vec<Gid>| groups.contains(&group.gid))
}
