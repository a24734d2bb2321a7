//! The clocks and the dice: the kernel's values come out as [`BootTime`], [`Wall`] and bytes.

use crate::time::{BootTime, Wall};
use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Now, by the clock that nobody can set and that runs on during suspend.
pub fn now() -> BootTime {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for one timespec; CLOCK_BOOTTIME exists since Linux 2.6.39 and cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    BootTime(Duration::new(seconds, nanos))
}

/// Now, for people.
pub fn wall() -> Wall {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The id of this boot of the box: a [`BootTime`] and a pid mean something together with it only. Empty where /proc is missing.
pub fn boot_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_owned()
    })
}

/// Four random bytes as a number: jitter.
pub fn dice() -> u32 {
    getrandom::u32().unwrap_or_else(|_| now().0.subsec_nanos())
}

/// A random id of 32 hexadecimal digits.
pub fn random_id() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_runs_forwards_and_agrees_with_the_kernel() {
        let (before, text, after) = (
            now(),
            std::fs::read_to_string("/proc/uptime").expect("uptime"),
            now(),
        );
        let uptime: f64 = text
            .split(' ')
            .next()
            .expect("a number")
            .parse()
            .expect("a number");
        assert!(before <= after);
        assert!(uptime >= before.0.as_secs_f64() - 0.02 && uptime <= after.0.as_secs_f64() + 0.02);
    }

    #[test]
    fn a_boot_has_one_id() {
        assert_eq!(boot_id().len(), 36);
        assert_eq!(boot_id(), boot_id());
    }
}
