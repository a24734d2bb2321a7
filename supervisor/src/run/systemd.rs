//! `sd_notify(3)` to whoever started us, and the pings that its watchdog waits for. Touches one datagram socket.

use crate::time::BootTime;
use std::{
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

/// Says `READY=1`, `STOPPING=1`; nothing where nobody listens.
pub(super) fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let sent = UnixDatagram::unbound().and_then(|socket| {
        match path.to_str().and_then(|path| path.strip_prefix('@')) {
            Some(name) => {
                socket.send_to_addr(state.as_bytes(), &SocketAddr::from_abstract_name(name)?)
            }
            None => socket.send_to(state.as_bytes(), &path),
        }
    });
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

/// `WatchdogSec=` of our unit: whoever started us takes us for dead when the loop does not come round in time.
#[derive(Debug)]
pub(super) struct Watchdog {
    every: Option<Duration>,
    next: BootTime,
}

impl Watchdog {
    /// As the environment says (`sd_watchdog_enabled(3)`); half of what is allowed, as its manual advises.
    pub(super) fn from_environment(now: BootTime) -> Self {
        let word = |name: &str| std::env::var(name).ok();
        let every = period(
            word("WATCHDOG_USEC").as_deref(),
            word("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        Self { every, next: now }
    }

    /// When the next ping is due.
    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.every.map(|_| self.next)
    }

    /// Pings, if it is time.
    pub(super) fn due(&mut self, now: BootTime) {
        let Some(every) = self.every.filter(|_| self.next <= now) else {
            return;
        };
        notify("WATCHDOG=1");
        self.next = now + every;
    }
}

fn period(allowed: Option<&str>, meant: Option<&str>, own: u32) -> Option<Duration> {
    let allowed = Duration::from_micros(allowed?.parse().ok()?);
    let ours = meant.is_none_or(|pid| pid.parse() == Ok(own));
    (ours && !allowed.is_zero()).then_some(allowed / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_pinged_twice_as_often_as_it_asks_and_only_by_whom_it_means() {
        let second = Some(Duration::from_millis(500));
        assert_eq!(period(Some("1000000"), None, 7), second);
        assert_eq!(period(Some("1000000"), Some("7"), 7), second);
        assert_eq!(period(Some("1000000"), Some("8"), 7), None);
        assert_eq!(period(Some("0"), None, 7), None);
        assert_eq!(period(Some("soon"), None, 7), None);
        assert_eq!(period(None, None, 7), None);
    }
}
