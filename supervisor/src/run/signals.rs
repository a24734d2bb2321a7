//! Signals for us: blocked, and read from a descriptor. Touches the signal mask.

use super::Supervisor;
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use std::io;

impl Supervisor {
    pub(super) fn signalled(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match i32::try_from(info.ssi_signo)
                .ok()
                .and_then(|number| Signal::try_from(number).ok())
            {
                Some(Signal::SIGTERM | Signal::SIGINT) => self.ending = true,
                Some(Signal::SIGHUP) => {
                    self.read_ceiling();
                    self.ask_agent_to_reload();
                }
                Some(Signal::SIGUSR2) => self.begin_upgrade(None, None),
                Some(Signal::SIGCHLD) => self.reap_strangers(),
                _ => {}
            }
        }
    }
}

/// From now on they come through the descriptor.
pub(super) fn block() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGUSR2,
        Signal::SIGCHLD,
        Signal::SIGPIPE,
    ] {
        signals.add(signal);
    }
    signals.thread_block()?;
    Ok(SignalFd::with_flags(
        &signals,
        SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC,
    )?)
}
