//! What instances print goes to their logs, and is looked through for readiness. Touches pipes and log files.

mod printing;
mod rest;

pub(super) use printing::Printing;

use super::{Supervisor, room::Output, room::STREAMS};
use crate::{
    machine::{Change, Phase, Readiness},
    os::{
        clock,
        spool::{Head, Unfinished},
    },
    protocol::Stream,
    time::BootTime,
};
use std::{io, os::fd::AsFd as _, sync::Arc};
use swarm_manifests::{
    bundle::{LinePattern, Probe},
    name::Name,
};

/// So much is read of one stream before the others have their turn.
const PORTION: usize = 64 << 10;
/// A pipe holds 64 KiB by default, and so much at most.
const FULL_PIPE: usize = 1 << 20;

impl Supervisor {
    /// Something came through a pipe: one portion of it is taken; what is left wakes us again.
    pub(super) fn output_ready(&mut self, name: &Name, instance: u16, stream: Stream) {
        self.know_birth(name, instance);
        self.read_output(name, instance, stream);
    }

    /// Takes one portion. How many bytes it was.
    pub(super) fn read_output(&mut self, name: &Name, instance: u16, stream: Stream) -> usize {
        let mut portion = std::mem::take(&mut self.buffer);
        portion.clear();
        let count = self.read_portion(name, instance, stream, &mut portion);
        self.buffer = portion;
        count
    }

    fn read_portion(
        &mut self,
        name: &Name,
        instance: u16,
        stream: Stream,
        portion: &mut Vec<u8>,
    ) -> usize {
        let spooled = match self.spool_output(name, instance, stream, portion) {
            Ok(spooled) => spooled,
            Err(error) => {
                tracing::warn!(workflow = %name, instance, %error, "output could not be read");
                return 0;
            }
        };
        if !portion.is_empty() {
            self.log_output(name, instance, stream, portion);
        }
        if spooled && let Err(error) = self.printing.spool.done() {
            tracing::warn!(workflow = %name, instance, %error, "output that is logged may be logged again");
        }
        portion.len()
    }

    /// One portion of a pipe, through the spool. `false`: past it, for there is so much that it is not kept anyway, or the disk
    /// is full: a program is not kept waiting by either.
    fn spool_output(
        &mut self,
        name: &Name,
        instance: u16,
        stream: Stream,
        portion: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let Some(workflow) = self.workflows.get_mut(name) else {
            return Ok(false);
        };
        let room = workflow.rooms.get_mut(&instance);
        let Some(output) = room.and_then(|room| room.output.as_mut()) else {
            return Ok(false);
        };
        if !output.pipes.has_output(stream) {
            return Ok(false);
        }
        if !output.log.is_flooded(clock::now()) {
            let (head, rest) = output.head(name, instance, stream)?;
            let pipe = output.pipes.fd(stream);
            let most = PORTION.min(output.log.portion());
            match self.printing.spool.take(&head, rest, pipe, most, portion) {
                Ok(()) => return Ok(true),
                Err(error) => {
                    tracing::debug!(%error, "the spool cannot be written");
                    portion.clear();
                }
            }
        }
        portion.resize(PORTION, 0);
        let count = output.pipes.read(stream, portion)?;
        portion.truncate(count);
        Ok(false)
    }

    /// A portion goes to the log, and is looked through for readiness.
    fn log_output(&mut self, name: &Name, instance: u16, stream: Stream, portion: &[u8]) {
        let wanted = self.awaited(name, instance);
        let Some(output) = self
            .room(name, instance)
            .and_then(|room| room.output.as_mut())
        else {
            return;
        };
        let mut ready = false;
        let mut see = |_: Stream, line: &str| {
            ready |= wanted.as_ref().is_some_and(|wanted| wanted.is_in(line));
        };
        let logged = output
            .log
            .feed(stream, portion, clock::now(), clock::wall(), &mut see)
            .and_then(|()| output.keep_rest(stream));
        if let Err(error) = logged {
            tracing::warn!(workflow = %name, instance, %error, "output could not be logged");
        }
        self.forward(name, instance);
        self.note_printed(name, instance);
        if let Some(run) = self.run_of(name, instance).filter(|_| ready) {
            self.tell(name, instance, run, Change::Ready);
        }
    }

    /// Somebody may follow the log; and something may wait in it for its line's end.
    fn note_printed(&mut self, name: &Name, instance: u16) {
        if self.control.is_followed(name) {
            self.control.printed.insert(name.clone());
        }
        let waits = self
            .room(name, instance)
            .and_then(|room| room.output.as_ref())
            .is_some_and(|output| output.log.deadline().is_some());
        let key = (name.clone(), instance);
        if waits {
            self.printing.half_lines.insert(key);
        } else {
            self.printing.half_lines.remove(&key);
        }
    }

    /// What a former life of ours took from a pipe and may not have logged is logged now, once.
    pub(super) fn finish_former(&mut self, name: &Name, instance: u16) -> io::Result<()> {
        let now = clock::now();
        let is_its = |former: &mut Unfinished| {
            former.head.workflow == *name && former.head.instance == instance
        };
        let former = self.printing.unfinished.take_if(is_its);
        let Some(output) = self
            .room(name, instance)
            .and_then(|room| room.output.as_mut())
        else {
            return Ok(());
        };
        for stream in STREAMS {
            let (rest, continues) = output.kept_rest(stream)?;
            output.log.set_rest(stream, rest, continues, now);
        }
        let Some(former) = former else { return Ok(()) };
        let Head {
            stream,
            place,
            continues,
            ..
        } = former.head;
        output.log.rewind(place)?;
        output.log.set_rest(stream, former.rest, continues, now);
        self.log_output(name, instance, stream, &former.portion);
        self.printing.spool.done()
    }

    /// Reads what is left, within reason: others of the tree may go on printing.
    pub(super) fn drain_output(&mut self, name: &Name, instance: u16) {
        for stream in STREAMS {
            let mut left = FULL_PIPE;
            while left > 0 {
                match self.read_output(name, instance, stream) {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
        }
    }

    /// The tree is gone: the last line without its end is a line too.
    pub(super) fn finish_output(&mut self, name: &Name, instance: u16) {
        self.drain_output(name, instance);
        let now = clock::now();
        for stream in STREAMS {
            self.cut_line(name, instance, stream);
            if let Some(output) = self
                .room(name, instance)
                .and_then(|room| room.output.as_mut())
            {
                output.log.set_rest(stream, Vec::new(), false, now);
                if let Err(error) = output.keep_rest(stream) {
                    tracing::warn!(workflow = %name, instance, %error, "an old line may come again");
                }
            }
        }
        self.tell_loss(name, instance);
    }

    /// What there is of a line is written without its end; our death in between neither loses nor doubles it.
    fn cut_line(&mut self, name: &Name, instance: u16, stream: Stream) {
        let workflow = self.workflows.get_mut(name);
        let room = workflow.and_then(|workflow| workflow.rooms.get_mut(&instance));
        let Some(output) = room.and_then(|room| room.output.as_mut()) else {
            return;
        };
        if output
            .log
            .rest(stream)
            .is_none_or(|rest| rest.bytes.is_empty())
        {
            return;
        }
        let noted = output
            .head(name, instance, stream)
            .and_then(|(head, rest)| {
                let head = Head { cuts: true, ..head };
                self.printing.spool.note(&head, rest)
            });
        if let Err(error) = noted {
            tracing::debug!(%error, "the spool cannot be written");
        }
        let cut = output
            .log
            .cut(stream, clock::now(), clock::wall(), &mut |_, _| {})
            .and_then(|()| output.keep_rest(stream))
            .and_then(|()| self.printing.spool.done());
        if let Err(error) = cut {
            tracing::warn!(workflow = %name, instance, %error, "output could not be logged");
        }
        self.forward(name, instance);
    }

    fn tell_loss(&mut self, name: &Name, instance: u16) {
        if let Some(output) = self
            .room(name, instance)
            .and_then(|room| room.output.as_mut())
            && let Err(error) = output.log.tell_losses(clock::now(), clock::wall())
        {
            tracing::warn!(workflow = %name, instance, %error, "a count of dropped lines is lost");
        }
        self.forward(name, instance);
    }

    /// What was dropped and not told yet is told now.
    pub(super) fn tell_losses(&mut self) {
        let all = self.workflows.iter();
        let all = all.flat_map(|(name, one)| one.rooms.keys().map(|at| (name.clone(), *at)));
        for (name, instance) in all.collect::<Vec<_>>() {
            self.tell_loss(&name, instance);
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
            self.forward(name, instance);
            self.note_printed(name, instance);
        }
    }

    pub(super) fn close_output(&mut self, output: &Output) {
        for stream in STREAMS {
            let token = output.tokens[Self::stream_index(stream)];
            self.watch.remove(token, output.pipes.fd(stream).as_fd());
        }
    }

    pub(super) fn log_deadline(&self) -> Option<BootTime> {
        let outputs = self
            .printing
            .half_lines
            .iter()
            .filter_map(|(name, instance)| {
                let room = self.workflows.get(name)?.rooms.get(instance)?;
                room.output.as_ref()?.log.deadline()
            });
        outputs.min()
    }

    pub(super) fn flush_logs(&mut self, now: BootTime) {
        if self.printing.half_lines.is_empty() {
            return;
        }
        for (name, instance) in std::mem::take(&mut self.printing.half_lines) {
            for stream in STREAMS {
                let is_overdue = self
                    .room(&name, instance)
                    .and_then(|room| room.output.as_ref())
                    .is_some_and(|output| output.log.is_overdue(stream, now));
                if is_overdue {
                    self.cut_line(&name, instance, stream);
                }
            }
            let is_due = self
                .room(&name, instance)
                .and_then(|room| room.output.as_ref())
                .is_some_and(|output| output.log.deadline().is_some_and(|at| at <= now));
            if is_due {
                self.tell_loss(&name, instance);
            }
            self.note_printed(&name, instance);
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

impl Output {
    /// What the spool is told of a portion: where the log is now.
    fn head(&self, name: &Name, instance: u16, stream: Stream) -> io::Result<(Head, &[u8])> {
        let rest = self.log.rest(stream);
        let bytes = rest.map_or(&[][..], |rest| rest.bytes);
        let head = Head {
            workflow: name.clone(),
            instance,
            stream,
            place: self.log.place()?,
            rest: bytes.len(),
            continues: rest.is_some_and(|rest| rest.continues),
            cuts: false,
        };
        Ok((head, bytes))
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
