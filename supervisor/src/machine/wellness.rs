//! Whether a living process is well: when it is asked, when it is ready, when it has failed too often. Pure.

use super::{Alive, Effect, Phase, Readiness, Sync, Turn};
use crate::time::BootTime;
use std::time::Duration;
use swarm_manifests::{
    bundle::{Probe, Ready},
    rules,
    units::format_duration,
};

/// A probe that did not answer for so long counts as lost; it is tried again.
const PROBE_LOST: Duration = Duration::from_secs(30);
/// Between two looks whether a program is ready.
const READY_EVERY: Duration = Duration::from_millis(100);

impl Turn {
    pub(super) fn tick_alive(&mut self, at: usize, alive: &Alive) {
        let now = self.now.boot;
        let Some(spec) = self.spec() else { return };
        if let Some(limit) = spec
            .time_limit
            .filter(|limit| alive.started + *limit <= now)
        {
            return self.expire(at, limit);
        }
        if let Some(ready) = spec
            .ready
            .clone()
            .filter(|_| alive.ready == Readiness::Awaited)
        {
            match ready.probe {
                Probe::After(long) if alive.started + long <= now => return self.ready(at),
                Probe::After(_) => {}
                _ if ready_by(alive, &ready) <= now => {
                    let reason = format!("not ready within {}", format_duration(ready.timeout));
                    self.give_up(at, reason, true);
                    self.state.instances[at].rule = Some(rules::run::NOT_READY.id.into());
                    return;
                }
                _ => {}
            }
        }
        if alive.going.is_some_and(|going| going.until <= now) {
            return self.stays(at);
        }
        if alive.probe.is_some_and(|due| due <= now) {
            let lost = now + PROBE_LOST;
            if let Phase::Alive(alive) = &mut self.state.instances[at].phase {
                alive.probe = Some(lost);
            }
            let instance = &self.state.instances[at];
            self.effects.push(Effect::Probe {
                instance: instance.number,
                run: instance.run,
            });
        }
    }

    pub(super) fn ready(&mut self, at: usize) {
        let probe = self.next_probe(Readiness::Ready);
        let Phase::Alive(alive) = &mut self.state.instances[at].phase else {
            return;
        };
        if alive.ready == Readiness::Awaited {
            let ready = Alive {
                ready: Readiness::Ready,
                failures: 0,
                probe,
                ..alive.clone()
            };
            let record = self.record_at(at, "ready");
            self.journal(record, Sync::Soon);
            self.enter(at, Phase::Alive(ready));
            self.prove(at);
        }
    }

    pub(super) fn probed(&mut self, at: usize, result: Result<(), String>) {
        let Phase::Alive(alive) = &self.state.instances[at].phase else {
            return;
        };
        if alive.going.is_some() {
            return;
        }
        let awaited = alive.ready == Readiness::Awaited;
        let next = self.next_probe(alive.ready);
        let failures = if result.is_ok() {
            0
        } else {
            alive.failures.saturating_add(1)
        };
        if awaited && result.is_ok() {
            return self.ready(at);
        }
        if let Phase::Alive(alive) = &mut self.state.instances[at].phase {
            alive.failures = failures;
            alive.probe = next;
        }
        let allowed = self
            .spec()
            .and_then(|spec| spec.health.as_ref())
            .map_or(u32::MAX, |health| health.failures);
        if let Err(reason) = result
            && !awaited
            && failures >= allowed
        {
            let reason = format!("{failures} health probes in a row failed: {reason}");
            self.give_up(at, reason, false);
        }
    }

    pub(super) fn next_probe(&self, ready: Readiness) -> Option<BootTime> {
        let spec = self.spec()?;
        if ready == Readiness::Awaited {
            let asked = matches!(
                spec.ready.as_ref()?.probe,
                Probe::Tcp(_) | Probe::Http(_) | Probe::Exec(_)
            );
            return asked.then(|| self.now.boot + READY_EVERY);
        }
        Some(self.now.boot + spec.health.as_ref()?.every)
    }
}

/// By when a process has to be ready.
pub(super) fn ready_by(alive: &Alive, ready: &Ready) -> BootTime {
    alive.patience.unwrap_or(alive.started + ready.timeout)
}

#[cfg(test)]
mod tests;
