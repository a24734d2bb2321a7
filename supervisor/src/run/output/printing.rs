//! What is known of output between two portions of it; and where it goes besides the logs. Touches the spool, and the socket of
//! journald or syslog.

use crate::{
    os::{
        clock,
        forward::{Forwarder, News, Whose},
        spool::{Spool, Unfinished},
    },
    run::{
        Supervisor,
        room::Workflow,
        watch::{Source, Watch},
    },
    time::BootTime,
};
use nix::sys::epoll::EpollFlags;
use std::{collections::BTreeSet, io, path::Path};
use swarm_manifests::{name::Name, settings::Logs, status::Dropped};

/// Output under way.
pub(in crate::run) struct Printing {
    pub spool: Spool,
    /// What a former life of ours may not have logged.
    pub unfinished: Option<Unfinished>,
    /// Instances in whose log something waits for its line's end.
    pub half_lines: BTreeSet<(Name, u16)>,
    /// Who takes lines besides.
    pub forwarder: Option<Forwarder>,
}

impl Printing {
    pub(in crate::run) fn open(own: &Path, logs: Option<&Logs>) -> io::Result<Self> {
        let (spool, unfinished) = Spool::open(&own.join("spool"))?;
        let forwarder = logs.map(|logs| Forwarder::new(logs.forward, logs.socket.clone()));
        Ok(Self {
            spool,
            unfinished,
            half_lines: BTreeSet::new(),
            forwarder: forwarder.transpose()?,
        })
    }

    pub(in crate::run) fn watch(&mut self, watch: &mut Watch) -> io::Result<()> {
        if let Some(forwarder) = &self.forwarder {
            let edges = EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
            watch.add(forwarder.fd(), edges, Source::Forward)?;
        }
        Ok(())
    }

    /// More is taken there.
    pub(in crate::run) fn go_on(&mut self) {
        if let Some(forwarder) = &mut self.forwarder {
            let news = forwarder.go_on(clock::now());
            tell(news, forwarder);
        }
    }

    pub(in crate::run) fn forward_due(&mut self, now: BootTime) {
        if self.forward_deadline().is_some_and(|at| at <= now) {
            self.go_on();
        }
    }

    pub(in crate::run) fn forward_deadline(&self) -> Option<BootTime> {
        self.forwarder.as_ref()?.deadline()
    }
}

impl Supervisor {
    /// Hands on what was written to the log of an instance.
    pub(super) fn forward(&mut self, name: &Name, instance: u16) {
        let Some(forwarder) = &mut self.printing.forwarder else {
            return;
        };
        let Some(workflow) = self.workflows.get_mut(name) else {
            return;
        };
        let known = workflow.state.instances.get(usize::from(instance));
        let process = known.and_then(|one| one.phase.process());
        let room = workflow.rooms.get_mut(&instance);
        if let Some(output) = room.and_then(|room| room.output.as_mut()) {
            let lines = output.log.take_copy();
            if !lines.is_empty() {
                let pid = process.map(|process| process.pid);
                let news = forwarder.take(&whose(name, instance), pid, &lines, clock::now());
                tell(news, forwarder);
            }
        }
    }

    /// What the log of an instance, and who takes it besides, lack.
    pub(in crate::run) fn dropped(&self, workflow: &Workflow, instance: u16) -> Option<Dropped> {
        let output = workflow.rooms.get(&instance)?.output.as_ref()?;
        let (lines, bytes) = output.log.dropped();
        let forwarder = self.printing.forwarder.as_ref();
        let unforwarded = forwarder.map_or(0, |forwarder| {
            forwarder.lost(&whose(&workflow.state.workflow, instance))
        });
        let dropped = Dropped {
            lines,
            bytes,
            unforwarded,
        };
        (dropped != Dropped::default()).then_some(dropped)
    }

    /// The instance is gone for good.
    pub(in crate::run) fn forget_forwarded(&mut self, name: &Name, instance: u16) {
        if let Some(forwarder) = &mut self.printing.forwarder {
            forwarder.forget(&whose(name, instance));
        }
    }
}

/// What an operator should know of whoever takes logs besides.
fn tell(news: Option<News>, forwarder: &Forwarder) {
    let path = forwarder.path().display();
    match news {
        None => {}
        Some(News::Missing) => tracing::warn!(
            %path,
            "nobody takes logs there; it is tried again each second, lines wait, and what finds no room is counted"
        ),
        Some(News::Came) => tracing::info!(%path, "somebody takes logs there again"),
    }
}

fn whose(name: &Name, instance: u16) -> Whose {
    Whose {
        workflow: name.clone(),
        instance,
    }
}
