//! Indexers for the agent: it connects to a socket that is its alone, and at the other end is a new process that takes one pack apart,
//! as a user of its own, without network, with nothing of the disk but quarantine, in a cgroup of its own. Touches processes, cgroups,
//! that socket and that folder.
//!
//! It ends with the agent's interest: when that hangs up or dies, everything in the cgroup is killed. It may not fork; where one does
//! all the same, it was taken over, and what it made counts for nothing.
//!
//! The agent could not do this itself: it may not switch users. Run by an ordinary user nobody can, and the agent starts its indexers.

use super::{
    Supervisor,
    watch::{Source, Token},
};
use crate::{
    machine::in_words,
    os::{
        clock,
        identity::Pidfd,
        launch::{Ids, Launch, Profile},
        report::Report,
        spawn,
        tree::{Marks, Tree},
    },
    time::BootTime,
};
use nix::sys::epoll::EpollFlags;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, Permissions},
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{
            fs::{PermissionsExt as _, lchown},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_manifests::{
    bundle::{Limits, Network, Sandbox},
    indexer::{ALONE, CONNECTED, FOLDER, QUARANTINE, ROLE, SOCKET, STARTER, ending},
    status::LastExit,
    units::ByteSize,
};

/// So many at once: the agent needs two.
const MOST: usize = 4;
/// After so long one is ended: the agent has given it up before.
const TIME: Duration = Duration::from_secs(15 * 60);
/// What its cgroup holds at most, the kernel's copies of its files among it; of its own it may have less.
const MEMORY: ByteSize = ByteSize(512 << 20);
/// It is one process with one thread; a few more are a mistake, many are an attack.
const PIDS: u32 = 4;
/// In its environment.
const MARK: &str = "SWARM_INDEXER";
/// What the names of their cgroups begin with.
const GROUP: &str = "indexer-";

/// Everything under way.
#[derive(Default)]
pub(super) struct Indexers {
    listener: Option<(UnixListener, Token)>,
    running: BTreeMap<u64, Running>,
    next: u64,
}

struct Running {
    until: BootTime,
    pid: i32,
    pidfd: Pidfd,
    token: Token,
    tree: Tree,
    report: Report,
    /// For the last word; that the agent hung up is heard on it.
    connection: UnixStream,
    left: Token,
}

impl Running {
    /// Kills whoever is in its cgroup; that it ended is noticed like any other end.
    fn kill(&self) {
        let killed = self
            .tree
            .kill()
            .and_then(|()| self.pidfd.signal(libc::SIGKILL));
        if let Err(error) = killed {
            tracing::error!(%error, "an indexer cannot be killed");
        }
    }

    /// Whether it left somebody behind.
    fn left_others(&self) -> bool {
        self.tree.pids().iter().any(|pid| *pid != self.pid)
    }
}

/// Where all of it lies.
pub(super) fn folder(state: &Path) -> PathBuf {
    state.join("indexer")
}

impl Supervisor {
    /// Makes the folder and listens, once. None: nobody but the agent can start an indexer here, and why.
    fn serve_indexers(&mut self) -> Result<(PathBuf, Ids), String> {
        let folder = folder(&self.settings.state);
        let (Some(agent), Some(fetch)) = (&self.users.agent, &self.users.fetch) else {
            return Err(self.users.no_fetch().into());
        };
        let fetch = fetch.clone();
        if self.indexers.listener.is_none() {
            self.clear_indexers();
            let listener =
                listen(&folder, agent, &fetch).map_err(|error| format!("no socket: {error}"))?;
            let token = self.watch.read(&listener, Source::IndexerWanted);
            let token = token.map_err(|error| error.to_string())?;
            self.indexers.listener = Some((listener, token));
        }
        Ok((folder, fetch))
    }

    /// What an agent is started with: the way to its indexers, or why it starts them itself.
    pub(super) fn give_indexers(
        &mut self,
        env: &mut BTreeMap<OsString, OsString>,
        user: &mut Option<Ids>,
        write: &mut Vec<PathBuf>,
    ) {
        match self.serve_indexers() {
            Ok((folder, fetch)) => {
                // It reads what they leave in quarantine.
                if let Some(ids) = user {
                    ids.groups.push(fetch.gid);
                }
                env.insert(STARTER.into(), folder.clone().into());
                write.push(folder);
            }
            Err(reason) => drop(env.insert(ALONE.into(), reason.into())),
        }
    }

    /// When the oldest has had its time.
    pub(super) fn indexers_deadline(&self) -> Option<BootTime> {
        let running = self.indexers.running.values();
        running.map(|running| running.until).min()
    }

    /// Ends those that have had their time; that they ended is noticed like any other end.
    pub(super) fn end_late_indexers(&mut self, now: BootTime) {
        for running in self.indexers.running.values_mut() {
            if running.until <= now {
                tracing::warn!("an indexer did not end within {TIME:?} and is ended");
                running.kill();
                running.until = now + TIME;
            }
        }
    }

    /// The agent connects. One after the other, and everything else has its turn between them.
    pub(super) fn indexer_wanted(&mut self) {
        for _ in 0..MOST {
            let Some((listener, _)) = &self.indexers.listener else {
                return;
            };
            let Ok((connection, _)) = listener.accept() else {
                return;
            };
            if let Err(reason) = self.start_indexer(&connection) {
                tracing::error!(reason, "an indexer could not be started");
                say(&connection, Err(&reason));
            }
        }
    }

    fn start_indexer(&mut self, connection: &UnixStream) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        if self.indexers.running.len() >= MOST {
            return Err(format!("{MOST} indexers are at work already"));
        }
        let user = self.users.fetch.clone().ok_or("no user for it")?;
        let (id, mut tree, mark) = self.indexer_tree().map_err(text)?;
        let quarantine = folder(&self.settings.state).join(QUARANTINE);
        let place = Place {
            quarantine,
            hide: self.settings.state.clone(),
        };
        let launch = launch(connection, user, place, (&mut tree, mark)).map_err(text)?;
        let born = spawn::begin(launch).map_err(|error| error.to_string())?;
        born.report.let_go();
        tree.set_main(born.pid);
        let watched = connection.try_clone().and_then(|connection| {
            let token = self
                .watch
                .read(born.pidfd.as_fd(), Source::IndexerEnded(id))?;
            // Of a connection that both sides closed, epoll always tells.
            let left = self.watch.add(
                &connection,
                EpollFlags::EPOLLONESHOT,
                Source::IndexerLeft(id),
            )?;
            Ok((token, left, connection))
        });
        let (token, left, connection) = watched.map_err(|error| {
            spawn::end(&born.pidfd);
            error.to_string()
        })?;
        let running = Running {
            until: clock::now() + TIME,
            pid: born.pid,
            pidfd: born.pidfd,
            token,
            tree,
            report: born.report,
            connection,
            left,
        };
        self.indexers.running.insert(id, running);
        Ok(())
    }

    /// The number of the next one, a cgroup where nobody ever was, and the mark by which its processes are known where there are none.
    fn indexer_tree(&mut self) -> io::Result<(u64, Tree, String)> {
        loop {
            let id = self.indexers.next;
            self.indexers.next += 1;
            let mark = format!("{}-{id}", std::process::id());
            let marks = Marks {
                env: format!("{MARK}={mark}").into(),
                uid: None,
                main: None,
            };
            let tree = self.trees.named(&format!("{GROUP}{id}"), marks)?;
            if tree.is_new() {
                return Ok((id, tree, mark));
            }
        }
    }

    /// Ends what former supervisors left, and removes the cgroups as far as they are empty.
    fn clear_indexers(&self) {
        let nobody = || Marks {
            env: Vec::new(),
            uid: None,
            main: None,
        };
        let names = self.trees.names();
        for name in names.iter().filter(|name| name.starts_with(GROUP)) {
            let cleared = self.trees.named(name, nobody()).and_then(|tree| {
                tree.kill()?;
                tree.remove()
            });
            if let Err(error) = cleared {
                tracing::debug!(%error, "a former indexer's cgroup stays for now");
            }
        }
    }

    /// The agent hung up, or died: nobody wants what the indexer makes.
    pub(super) fn indexer_left(&mut self, id: u64) {
        if let Some(running) = self.indexers.running.get(&id) {
            running.kill();
        }
    }

    /// It is taken off the process table, and the agent hears how it ended.
    pub(super) fn indexer_ended(&mut self, id: u64) {
        let Some(running) = self.indexers.running.get(&id) else {
            return;
        };
        let Some(exit) = running.pidfd.exit() else {
            return;
        };
        let Some(running) = self.indexers.running.remove(&id) else {
            return;
        };
        self.unwatch(&running);
        let unborn = running.report.outcome().and_then(Result::err);
        let left_others = running.left_others();
        if left_others {
            tracing::error!("an indexer left processes behind: it was taken over; they are killed");
            running.kill();
        }
        match (unborn, exit) {
            (Some(error), _) => say(&running.connection, Err(&error.to_string())),
            (None, _) if left_others => {
                say(
                    &running.connection,
                    Err("it left processes behind, which it may not start"),
                );
            }
            (None, LastExit::Code { code: 0 }) => say(&running.connection, Ok(())),
            (None, exit) => say(&running.connection, Err(&in_words(&exit))),
        }
        if let Err(error) = running.tree.remove() {
            tracing::debug!(%error, "an indexer's cgroup stays for now");
        }
    }

    fn unwatch(&mut self, running: &Running) {
        self.watch.remove(running.token, running.pidfd.as_fd());
        self.watch.remove(running.left, &running.connection);
    }

    /// None is left: we end, or another program takes our place, which knows nothing of them.
    pub(super) fn end_indexers(&mut self) {
        for (_, running) in std::mem::take(&mut self.indexers.running) {
            self.unwatch(&running);
            running.kill();
            spawn::end(&running.pidfd);
            let _ = running.tree.remove();
        }
    }
}

/// What of the disk it sees.
struct Place {
    quarantine: PathBuf,
    hide: PathBuf,
}

fn launch(
    connection: &UnixStream,
    user: Ids,
    place: Place,
    (tree, mark): (&mut Tree, String),
) -> io::Result<Launch> {
    let copy = || connection.try_clone().map(OwnedFd::from);
    let env = [
        ("SWARM_ROLE", ROLE.into()),
        (CONNECTED, "1".into()),
        (FOLDER, place.quarantine.clone().into_os_string()),
        (MARK, mark.into()),
    ];
    let limits = tree.limit(&Limits {
        memory: Some(MEMORY),
        pids: Some(PIDS),
        ..Limits::default()
    });
    Ok(Launch {
        profile: Profile::Workflow,
        argv: vec!["/proc/self/exe".into()],
        env: env.map(|(name, value)| (name.into(), value)).into(),
        workdir: "/".into(),
        user: Some(user),
        stdout: copy()?,
        stderr: copy()?,
        extra: Some(copy()?),
        cgroup: tree.cgroup().map(Path::to_owned),
        limits: Limits {
            // Without a controller this would count every process of its user, those of other boxes on this machine too.
            pids: None,
            ..limits.rest
        },
        sandbox: Sandbox {
            network: Network::None,
            ..Sandbox::default()
        },
        read: Vec::new(),
        write: vec![place.quarantine],
        hide: vec![place.hide],
        stand_ins: Vec::new(),
        join: None,
    })
}

/// The last word, and nothing after it. Who does not read it hears that nobody saw the end.
fn say(mut connection: &UnixStream, ended: Result<(), &str>) {
    let _ = connection
        .set_nonblocking(true)
        .and_then(|()| connection.write_all(&ending(ended)));
    let _ = connection.shutdown(std::net::Shutdown::Both);
}

/// A folder of root's, and in it what is the agent's: the socket, and quarantine, where both may write.
fn listen(folder: &Path, agent: &Ids, fetch: &Ids) -> io::Result<UnixListener> {
    let (socket, quarantine) = (folder.join(SOCKET), folder.join(QUARANTINE));
    fs::create_dir_all(&quarantine)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    lchown(&quarantine, Some(agent.uid), Some(fetch.gid))?;
    fs::set_permissions(&quarantine, Permissions::from_mode(0o2770))?;
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&socket)?;
    lchown(&socket, Some(agent.uid), Some(agent.gid))?;
    fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
