//! The supervisor: settings come in, workflows run. One thread, one loop: descriptors and deadlines become events, machines decide,
//! effects are carried out. Touches everything that `os` touches.
//!
//! The order within one turn of the loop is what makes a crash harmless: an event goes to its machine; where a start or something
//! that must last follows, the state is saved first, then journalled, then done; everything else is saved before the loop waits again.

mod acts;
mod adopt;
mod afar;
mod agent;
mod allow;
mod answers;
mod copies;
mod feeds;
mod given;
mod indexers;
mod install;
mod jobs;
mod keep;
mod keeping;
mod notices;
mod output;
mod place;
mod probing;
mod removed;
mod room;
mod schedule;
mod shutdown;
mod signals;
mod start;
mod stop_all;
mod story;
mod systemd;
mod take_over;
mod turn;
mod upgrade;
mod users;
mod vault;
mod watch;

use crate::{
    control::Control,
    journal::{Journal, JournalError},
    machine::Event,
    os::{self, clock, rehash::Rehasher, seats::Seats, tree::Trees},
    settings::Settings,
    snapshot::Snapshots,
    time::BootTime,
};
use nix::{fcntl::Flock, sys::signalfd::SignalFd};
use room::Workflow;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File},
    io,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};
use swarm_manifests::name::Name;
pub use upgrade::check;
pub(crate) use watch::Token;
use watch::{Source, Watch};

/// Why the supervisor cannot run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum RunError {
    #[error("another supervisor runs on {}", .0.display())]
    Running(PathBuf),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{}: {source}", path.display())]
    Path { path: PathBuf, source: io::Error },
    #[error("{0}: {1}")]
    Kernel(&'static str, io::Error),
}

/// Runs the workflows of this box until SIGTERM or SIGINT.
pub fn run(settings: Settings) -> Result<(), RunError> {
    os::pages::keep_heap_small();
    os::pages::keep_heap_from_children();
    let mut supervisor = Supervisor::open(settings)?;
    supervisor.meet_keeper();
    supervisor.adopt_all()?;
    supervisor.purge_old();
    supervisor.take_over_agent();
    supervisor.turn_over();
    supervisor.took_over();
    systemd::notify("READY=1");
    supervisor.serve()
}

/// The one owner of everything.
pub(crate) struct Supervisor {
    pub(crate) settings: Settings,
    pub(crate) journal: Journal,
    snapshots: Snapshots,
    trees: Trees,
    rehasher: Rehasher,
    /// Where children find their descriptors. None: their numbers were taken.
    seats: Option<Rc<Seats>>,
    users: users::Users,
    vault: vault::Vault,
    watch: Watch,
    signals: SignalFd,
    /// Boxed: a map moves what is in it, and has place for eleven where there are six.
    workflows: BTreeMap<Name, Box<Workflow>>,
    queue: VecDeque<(Name, Event)>,
    unsaved: BTreeSet<Name>,
    /// Workflows that the agent, and clients that wait, have to look at again.
    changed: BTreeSet<Name>,
    /// Instances whose tree is looked after until it is gone.
    clearing: BTreeSet<(Name, u16)>,
    /// Of these, the ones that are to be looked at now.
    stirred: BTreeSet<(Name, u16)>,
    /// When which machine wants a tick.
    ticks: BTreeSet<(BootTime, Name)>,
    /// When which workflow runs by its schedule.
    schedules: schedule::Schedules,
    /// Main processes on their way to their programs, oldest first: until when, whose, which run.
    births: VecDeque<(BootTime, Name, u16, u64)>,
    /// Instances whose status is held back for a while.
    held_back: BTreeSet<(Name, u16)>,
    /// When all that clear were looked at last.
    looked: Option<BootTime>,
    /// What output is read into.
    buffer: Vec<u8>,
    jobs: jobs::Jobs,
    printing: output::Printing,
    agent: agent::Link,
    indexers: indexers::Indexers,
    keeping: keeping::Keeping,
    pub(crate) control: Control,
    /// When the journal's group is to be on the disk.
    sync_by: Option<BootTime>,
    /// When folders of removed workflows are looked at again.
    purge_by: Option<BootTime>,
    watchdog: systemd::Watchdog,
    ending: bool,
    upgrade: upgrade::Upgrade,
    /// What the supervisor before us in this process handed on.
    taken: take_over::Taken,
    lock: Flock<File>,
}

/// How often a tree that does not tell by itself is looked at.
const LOOK: Duration = Duration::from_millis(10);

impl Supervisor {
    fn open(settings: Settings) -> Result<Self, RunError> {
        watch::raise_file_limit();
        let seats = Seats::new().map_err(|error| RunError::Kernel("descriptors", error))?;
        let own = settings.state.join("supervisor");
        let at = |path: &std::path::Path| {
            let path = path.to_owned();
            move |source| RunError::Path { path, source }
        };
        fs::create_dir_all(&own).map_err(at(&own))?;
        os::folders::make_passable(&settings.state).map_err(at(&settings.state))?;
        let taken = take_over::Taken::from_environment();
        let lock = taken
            .lock()
            .map_or_else(|| File::create(own.join("lock")), Ok)
            .map_err(at(&own))?;
        let lock =
            take_over::hold(lock).ok_or_else(|| RunError::Running(settings.state.clone()))?;
        let (journal, cut) = Journal::open(&own.join("journal"))?;
        if cut > 0 {
            tracing::warn!(
                bytes = cut,
                "half a record at the end of the journal, left by a crash, was cut off"
            );
        }
        let kernel = |what| move |error: io::Error| RunError::Kernel(what, error);
        let signals = signals::block().map_err(kernel("signals"))?;
        let mut watch = Watch::new().map_err(kernel("epoll"))?;
        watch
            .read(&signals, Source::Signals)
            .map_err(kernel("epoll"))?;
        let jobs = jobs::Jobs::new().map_err(kernel("eventfd"))?;
        watch
            .read(jobs.wakeup(), Source::Worker)
            .map_err(kernel("epoll"))?;
        let mut control = match taken.listener() {
            Some(listener) => Control::inherited(&settings, listener),
            None => Control::bind(&settings).map_err(at(&settings.control))?,
        };
        control.token = Some(
            watch
                .read(control.listener(), Source::Listener)
                .map_err(kernel("epoll"))?,
        );
        let mut printing =
            output::Printing::open(&own, settings.logs.as_ref()).map_err(at(&own))?;
        printing.watch(&mut watch).map_err(kernel("epoll"))?;
        let users = users::Users::open(&own.join("users.json"), &settings).map_err(at(&own))?;
        control.agent = users.agent.as_ref().map(|ids| ids.uid);
        Ok(Self {
            snapshots: Snapshots::open(&own.join("workflows")).map_err(at(&own))?,
            trees: Trees::open(&settings.state, settings.holder.as_deref()),
            users,
            vault: vault::Vault::of(&settings.state),
            rehasher: Rehasher::new(),
            seats,
            journal,
            watch,
            signals,
            workflows: BTreeMap::new(),
            queue: VecDeque::new(),
            unsaved: BTreeSet::new(),
            changed: BTreeSet::new(),
            clearing: BTreeSet::new(),
            stirred: BTreeSet::new(),
            ticks: BTreeSet::new(),
            schedules: schedule::Schedules::default(),
            births: VecDeque::new(),
            held_back: BTreeSet::new(),
            looked: None,
            buffer: Vec::new(),
            jobs,
            printing,
            agent: agent::Link::new(),
            indexers: indexers::Indexers::default(),
            keeping: keeping::Keeping::default(),
            control,
            sync_by: None,
            purge_by: None,
            watchdog: systemd::Watchdog::from_environment(clock::now()),
            ending: false,
            upgrade: upgrade::Upgrade::new(taken.installed()),
            taken,
            lock,
            settings,
        })
    }

    fn serve(&mut self) -> Result<(), RunError> {
        while !self.ending {
            let ready = self.watch.wait(self.next_deadline());
            let ready = ready.map_err(|error| RunError::Kernel("epoll", error))?;
            let (first, printed) = watch::in_order(ready);
            // Where nothing was printed there is what is due all the same.
            if !first.is_empty() || printed.is_empty() {
                self.see_to(first);
            }
            if !printed.is_empty() {
                self.see_to(printed);
            }
            self.upgrade_if_tried();
        }
        self.shut_down();
        Ok(())
    }

    /// To what is ready, to what is due by now, and to everything that follows.
    fn see_to(&mut self, ready: Vec<Source>) {
        for source in ready {
            self.ready(source);
        }
        self.due();
        self.turn_over();
    }

    fn ready(&mut self, source: Source) {
        match source {
            Source::Alarm => {}
            Source::Schedule => self.schedule_ready(),
            Source::Tree(workflow, instance) => {
                self.stirred.insert((workflow, instance));
            }
            Source::Birth(workflow, instance) => self.born(&workflow, instance, false),
            Source::Signals => self.signalled(),
            Source::Agent => self.agent_ready(),
            Source::AgentExit => self.agent_exited(),
            Source::IndexerWanted => self.indexer_wanted(),
            Source::IndexerEnded(id) => self.indexer_ended(id),
            Source::IndexerLeft(id) => self.indexer_left(id),
            Source::Listener => self.accept_clients(),
            Source::Client(id) => self.client_ready(id),
            Source::Exit(workflow, instance) => self.main_ended(&workflow, instance),
            Source::Output(workflow, instance, stream) => {
                self.output_ready(&workflow, instance, stream);
            }
            Source::Notify(workflow, instance) => self.read_notices(&workflow, instance),
            Source::Forward => self.printing.go_on(),
            Source::Job(id) => self.job_ready(id),
            Source::Worker => self.workers_done(),
            Source::Keeper => self.keeper_gone(),
            Source::Trial => self.trial_ended(),
        }
    }

    /// When something is to be done although nothing happens.
    fn next_deadline(&self) -> Option<BootTime> {
        if !self.queue.is_empty() {
            return Some(clock::now());
        }
        let looks = (!self.clearing.is_empty()).then(|| clock::now() + self.look());
        let rest = [
            self.ticks.first().map(|(at, _)| *at),
            self.sync_by,
            self.purge_by,
            looks,
            self.log_deadline(),
            self.printing.forward_deadline(),
            self.birth_deadline(),
            self.publish_by(),
            self.agent.begins_or_seals(),
            self.keeping.again,
            self.agent.settled,
            self.agent.retire,
            self.jobs.deadline(),
            self.notices_deadline(),
            self.watchdog.deadline(),
            self.upgrade.deadline(),
            self.indexers_deadline(),
        ];
        rest.into_iter().flatten().min()
    }

    /// A cgroup tells when it becomes empty: it is looked at all the same, seldom.
    fn look(&self) -> Duration {
        if self.trees.needs_reaping() {
            LOOK
        } else {
            LOOK * 20
        }
    }

    fn due(&mut self) {
        let now = clock::now();
        self.end_late_indexers(now);
        let due = self.ticks.iter().take_while(|(at, _)| *at <= now);
        self.queue
            .extend(due.map(|(_, name)| (name.clone(), Event::Tick)));
        if self.looked.is_none_or(|at| at + self.look() <= now) {
            self.looked = Some(now);
            self.stirred.extend(self.clearing.iter().cloned());
        }
        self.births_due(now);
        self.keeper_due(now);
        self.purge_due(now);
        self.flush_logs(now);
        self.printing.forward_due(now);
        self.jobs_due(now);
        self.notices_due(now);
        self.trial_due(now);
        if self.agent.again.is_some_and(|at| at <= now) {
            self.start_agent();
        }
        self.agent_waits_due(now);
        self.agent.settle(now);
        self.watchdog.due(now);
        self.retire_agent(now);
    }
}
