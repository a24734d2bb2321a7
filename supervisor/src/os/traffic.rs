//! What processes read from and wrote to disks, in bytes: a cgroup's path or a pid comes in. Touches files of the kernel.

use std::{fs, path::Path};

/// Read and written, as the io controller counts for a cgroup; none where there is no such controller.
pub fn of_cgroup(cgroup: &Path) -> Option<(u64, u64)> {
    let text = fs::read_to_string(cgroup.join("io.stat")).ok()?;
    Some((sum(&text, "rbytes="), sum(&text, "wbytes=")))
}

/// The same of one process, where we may look (`/proc/PID/io`).
pub fn of_process(pid: i32) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let bytes = |name: &str| field(name)?.trim().parse().ok();
    Some((bytes("read_bytes:")?, bytes("write_bytes:")?))
}

/// Of every device: `8:0 rbytes=4096 wbytes=0 rios=1 …`.
fn sum(text: &str, key: &str) -> u64 {
    let words = text.split_ascii_whitespace();
    let values = words.filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok());
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_counts() {
        let text = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n8:0 rbytes=90430464 wbytes=299008000 rios=8950\n";
        assert_eq!(sum(text, "rbytes="), 1_459_200 + 90_430_464);
        assert_eq!(sum(text, "wbytes="), 314_773_504 + 299_008_000);
    }

    #[test]
    fn of_ourselves_the_kernel_tells() {
        let own = i32::try_from(std::process::id()).expect("a pid");
        assert!(of_process(own).is_some());
        assert!(of_process(-1).is_none());
    }
}
