//! What instances say of themselves (`sd_notify(3)`) reaches their machines. Touches their sockets.
//!
//! A program may say as much as it likes: what has no consequence is noted here, and passed on no faster than people read.

use super::Supervisor;
use crate::{
    machine::Change,
    os::{clock, notify::Notice},
    time::BootTime,
};
use std::time::Duration;
use swarm_manifests::name::Name;

/// So many messages are read before the others have their turn.
const PORTION: usize = 64;
/// A status is passed on so often at most.
const STATUS_EVERY: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Heeded when it comes from the instance's own tree.
    pub(super) fn read_notices(&mut self, name: &Name, instance: u16) {
        self.know_birth(name, instance);
        let mut heard = Vec::new();
        let Some(room) = self.room(name, instance) else {
            return;
        };
        let Some((socket, _)) = &room.notify else {
            return;
        };
        let belongs = |pid| {
            room.process.as_ref().is_some_and(|held| held.pid == pid)
                || room.tree.as_ref().is_some_and(|tree| tree.has(pid))
        };
        for _ in 0..PORTION {
            match socket.receive(belongs) {
                Ok(Some(notices)) => heard.extend(notices),
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(workflow = %name, instance, %error, "its notices cannot be read");
                    break;
                }
            }
        }
        for notice in heard {
            self.hear_notice(name, instance, notice);
        }
        self.pass_on_status(name, instance, clock::now());
    }

    fn hear_notice(&mut self, name: &Name, instance: u16, notice: Notice) {
        let Some(run) = self.run_of(name, instance) else {
            return;
        };
        let failures = self
            .current(name)
            .and_then(|version| version.spec.health.clone())
            .map_or(0, |health| health.failures);
        let Some(room) = self.room(name, instance) else {
            return;
        };
        match notice {
            Notice::Watchdog => room.said.well = true,
            Notice::Status(text) => room.said.status = Some(text),
            Notice::Ready => self.tell(name, instance, run, Change::Ready),
            Notice::Stopping => self.tell(name, instance, run, Change::Going),
            Notice::Extend(long) => self.tell(name, instance, run, Change::Extend(long)),
            Notice::Ill => {
                for _ in 0..failures {
                    let ill = Change::Probed(Err("it said WATCHDOG=trigger".into()));
                    self.tell(name, instance, run, ill);
                }
            }
        }
    }

    /// `[health] notify`: whether it said that it is well since it was asked last.
    pub(super) fn has_notified(
        &mut self,
        name: &Name,
        instance: u16,
        run: u64,
    ) -> Result<(), String> {
        // What it said just now is still in the socket.
        self.read_notices(name, instance);
        let room = self.room(name, instance).ok_or("nothing runs")?;
        if !std::mem::take(&mut room.said.well) {
            return Err("it did not say WATCHDOG=1".into());
        }
        self.tell(name, instance, run, Change::Probed(Ok(())));
        Ok(())
    }

    fn pass_on_status(&mut self, name: &Name, instance: u16, now: BootTime) {
        let Some(room) = self.room(name, instance) else {
            return;
        };
        if room.said.pass_on > now {
            if room.said.status.is_some() {
                self.held_back.insert((name.clone(), instance));
            }
            return;
        }
        let Some(text) = room.said.status.take() else {
            return;
        };
        room.said.pass_on = now + STATUS_EVERY;
        if let Some(run) = self.run_of(name, instance) {
            self.tell(name, instance, run, Change::Status(text));
        }
    }

    /// When the next status that was held back is due.
    pub(super) fn notices_deadline(&self) -> Option<BootTime> {
        let rooms = self.held_back.iter().filter_map(|(name, instance)| {
            let room = self.workflows.get(name)?.rooms.get(instance)?;
            room.said.status.as_ref()?;
            Some(room.said.pass_on)
        });
        rooms.min()
    }

    /// Passes on what was held back long enough.
    pub(super) fn notices_due(&mut self, now: BootTime) {
        for (name, instance) in std::mem::take(&mut self.held_back) {
            self.pass_on_status(&name, instance, now);
        }
    }
}
