//! Which protections a process really has: read back from the kernel, in words.

/// What the kernel says of this process: `own user 64123`, `no capabilities`, `no new privileges`, `seccomp`, `private mounts`,
/// `no network`, `cgroup /swarm-…`. `missing` (of `Child`) and what `tree::Enforced` says are added as they are.
pub fn read_back(pid: i32) -> Vec<String> {
    todo!("{pid}")
}
