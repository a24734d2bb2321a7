//! What instances print goes to their logs, and is looked through for readiness. Touches pipes and log files.

use super::{Supervisor, room::Output, room::STREAMS};
use crate::{
    machine::{Change, Phase, Readiness},
    os::clock,
    protocol::Stream,
    time::BootTime,
};
use std::{os::fd::AsFd as _, sync::Arc};
use swarm_manifests::{
    bundle::{LinePattern, Probe},
    name::Name,
};

/// So much is read of one stream before the others have their turn.
const PORTION: usize = 64 << 10;

impl Supervisor {
    /// Takes one portion; what is left wakes us again.
    pub(super) fn read_output(&mut self, name: &Name, instance: u16, stream: Stream) {
        let wanted = self.awaited(name, instance);
        let Some(output) = self
            .room(name, instance)
            .and_then(|room| room.output.as_mut())
        else {
            return;
        };
        let mut buffer = vec![0; PORTION];
        let count = match output.pipes.read(stream, &mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) => {
                return tracing::warn!(workflow = %name, instance, %error, "output could not be read");
            }
        };
        let mut ready = false;
        let mut see = |_: Stream, line: &str| {
            ready |= wanted.as_ref().is_some_and(|wanted| wanted.is_in(line));
        };
        if let Err(error) = output.log.feed(
            stream,
            &buffer[..count],
            clock::now(),
            clock::wall(),
            &mut see,
        ) {
            tracing::warn!(workflow = %name, instance, %error, "output could not be logged");
        }
        self.control.printed.insert(name.clone());
        if let Some(run) = self.run_of(name, instance).filter(|_| ready) {
            self.tell(name, instance, run, Change::Ready);
        }
    }

    /// Reads what is left, within reason: others of the tree may go on printing.
    pub(super) fn drain_output(&mut self, name: &Name, instance: u16) {
        for stream in STREAMS {
            // A pipe holds 64 KiB by default, 1 MiB at most.
            for _ in 0..16 {
                self.read_output(name, instance, stream);
            }
        }
    }

    /// The tree is gone: the last line without its end is a line too.
    pub(super) fn finish_output(&mut self, name: &Name, instance: u16) {
        self.drain_output(name, instance);
        if let Some(output) = self
            .room(name, instance)
            .and_then(|room| room.output.as_mut())
            && let Err(error) = output
                .log
                .flush(clock::now(), clock::wall(), &mut |_, _| {})
        {
            tracing::warn!(workflow = %name, instance, %error, "output could not be logged");
        }
    }

    /// A remark of ours in an instance's log.
    pub(super) fn remark(&mut self, name: &Name, instance: u16, text: &str) {
        if let Some(output) = self
            .room(name, instance)
            .and_then(|room| room.output.as_mut())
        {
            if let Err(error) = output.log.remark(text, clock::now(), clock::wall()) {
                tracing::warn!(workflow = %name, instance, %error, "a remark could not be logged");
            }
            self.control.printed.insert(name.clone());
        }
    }

    pub(super) fn close_output(&mut self, output: &Output) {
        for stream in STREAMS {
            let token = output.tokens[Self::stream_index(stream)];
            self.watch.remove(token, output.pipes.fd(stream).as_fd());
        }
    }

    pub(super) fn log_deadline(&self) -> Option<BootTime> {
        let rooms = self
            .workflows
            .values()
            .flat_map(|workflow| workflow.rooms.values());
        rooms
            .filter_map(|room| room.output.as_ref()?.log.deadline())
            .min()
    }

    pub(super) fn flush_logs(&mut self, now: BootTime) {
        for (name, workflow) in &mut self.workflows {
            for output in workflow
                .rooms
                .values_mut()
                .filter_map(|room| room.output.as_mut())
            {
                if output.log.deadline().is_some_and(|at| at <= now) {
                    if let Err(error) = output.log.flush(now, clock::wall(), &mut |_, _| {}) {
                        tracing::warn!(workflow = %name, %error, "output could not be logged");
                    }
                    self.control.printed.insert(name.clone());
                }
            }
        }
    }

    /// What `[ready]` waits to read, while it does.
    fn awaited(&mut self, name: &Name, instance: u16) -> Option<Awaited> {
        let state = &self.workflows.get(name)?.state;
        let Phase::Alive(alive) = &state.instances.get(usize::from(instance))?.phase else {
            return None;
        };
        if alive.ready != Readiness::Awaited {
            return None;
        }
        match &state.current.as_ref()?.spec.ready.as_ref()?.probe {
            Probe::Log(text) => Some(Awaited::Text(text.clone())),
            Probe::LogRegex(pattern) => {
                let pattern = pattern.clone();
                let room = self.room(name, instance)?;
                match &room.pattern {
                    Some((known, compiled)) if *known == pattern => {
                        Some(Awaited::Pattern(compiled.clone()))
                    }
                    _ => {
                        let compiled = Arc::new(LinePattern::new(&pattern).ok()?);
                        room.pattern = Some((pattern, compiled.clone()));
                        Some(Awaited::Pattern(compiled))
                    }
                }
            }
            _ => None,
        }
    }
}

/// What a line is looked through for.
enum Awaited {
    Text(String),
    Pattern(Arc<LinePattern>),
}

impl Awaited {
    fn is_in(&self, line: &str) -> bool {
        match self {
            Self::Text(text) => line.contains(text.as_str()),
            Self::Pattern(pattern) => pattern.is_in(line),
        }
    }
}
