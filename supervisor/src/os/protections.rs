//! Which protections a process really has: read back from the kernel, in words.

use super::kernel_file;
use std::{fs, path::Path};

/// What the kernel said of a process; kept for each, and small: one text with a line for each word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protections(Box<str>);

impl Protections {
    /// One by one.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.lines()
    }
}

/// What the kernel says of this process: `own user 64123`, `no capabilities`, `no new privileges`, `seccomp`, `private mounts`,
/// `no network`, `cgroup /swarm-0a1b2c3d/ramp.0`. `Child::missing` and what `tree::Enforced` says are added as they are.
/// Landlock is nowhere to be read: it is on wherever `Child::missing` does not say otherwise (the start fails closed).
pub fn read_back(pid: i32) -> Protections {
    let of = |file: &str| kernel_file::read(Path::new(&format!("/proc/{pid}/{file}")));
    let (status, cgroup) = (
        of("status").unwrap_or_default(),
        of("cgroup").unwrap_or_default(),
    );
    let ours = nix::unistd::geteuid().as_raw();
    let mut words = of_status(&status, ours);
    for (namespace, word) in [("mnt", "private mounts"), ("net", "no network")] {
        let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{namespace}")).ok();
        if let (Some(its), Some(own)) = (of(&pid.to_string()), of("self"))
            && its != own
        {
            words.push(word.into());
        }
    }
    words.extend(of_cgroup(&cgroup));
    Protections(words.join("\n").into())
}

/// Pure: the lines of /proc/PID/status.
fn of_status(status: &str, our_uid: u32) -> Vec<String> {
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let mut words = Vec::new();
    let uids = field("Uid").map(|ids| {
        ids.split_ascii_whitespace()
            .filter_map(|id| id.parse::<u32>().ok())
            .collect::<Vec<_>>()
    });
    // Real, effective, saved and file system: all four, or it could go back.
    if let Some([uid, rest @ ..]) = uids.as_deref()
        && rest.iter().all(|other| other == uid)
        && *uid != our_uid
    {
        words.push(format!("own user {uid}"));
    }
    let none = |name| field(name).is_some_and(|set| set.bytes().all(|digit| digit == b'0'));
    if ["CapInh", "CapPrm", "CapEff", "CapAmb"]
        .into_iter()
        .all(none)
    {
        words.push("no capabilities".into());
    }
    if field("NoNewPrivs") == Some("1") {
        words.push("no new privileges".into());
    }
    if field("Seccomp") == Some("2") {
        words.push("seccomp".into());
    }
    words
}

fn of_cgroup(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    path.split('/')
        .any(|part| part.starts_with("swarm-"))
        .then(|| format!("cgroup {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_put_into_words() {
        let status = "Uid:\t64123\t64123\t64123\t64123\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                      CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        assert_eq!(
            of_status(status, 0),
            [
                "own user 64123",
                "no capabilities",
                "no new privileges",
                "seccomp"
            ]
        );
        assert_eq!(
            of_cgroup("1:cpu:/x\n0::/swarm-00aa/ramp.0\n"),
            Some("cgroup /swarm-00aa/ramp.0".into())
        );
        assert_eq!(of_cgroup("0::/\n"), None);
    }

    #[test]
    fn a_process_that_could_go_back_to_root_has_no_user_of_its_own() {
        assert!(of_status("Uid:\t64123\t64123\t0\t64123\n", 0).is_empty());
        assert!(of_status("CapInh:\t0\nCapPrm:\t0\nCapEff:\t400\nCapAmb:\t0\n", 0).is_empty());
        assert!(of_status("", 0).is_empty());
    }
}
