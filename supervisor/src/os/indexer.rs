//! The indexer's sandbox: from here on this process writes below one folder and does nothing else.

use super::{confine, seccomp};
use landlock::{
    ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus,
};
use nix::sys::{
    prctl,
    resource::{Resource, setrlimit},
};
use std::{fs, path::Path};

/// Where a delta bomb of 179 bytes becomes a clean error instead of 528 MB.
const ADDRESS_SPACE: u64 = 300 << 20;
/// The largest file it may write.
const FILE_SIZE: u64 = 4 << 30;
/// Seconds of CPU.
const CPU: u64 = 600;
const OPEN_FILES: u64 = 128;

/// Why the sandbox could not be closed; the caller must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {text}")]
#[allow(missing_docs)]
pub struct SandboxError {
    pub step: &'static str,
    pub text: String,
}

/// Confines the calling process, for good: what is open already, files below `quarantine`, 300 MiB of address space; no socket, no new
/// program, no signal to anybody, nothing else of the disk. Whatever is tried beyond ends the process, or answers EACCES for files.
/// To be called before there are threads. Returns what this kernel does not have.
pub fn sandbox_self_for_indexer(quarantine: &Path) -> Result<Vec<&'static str>, SandboxError> {
    let error = |step, text: &dyn std::fmt::Display| SandboxError {
        step,
        text: text.to_string(),
    };
    let threads = fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(error(
            "threads",
            &format!("{threads} are running, and the sandbox holds one only"),
        ));
    }
    let limits = [
        (Resource::RLIMIT_AS, ADDRESS_SPACE),
        (Resource::RLIMIT_FSIZE, FILE_SIZE),
        (Resource::RLIMIT_CPU, CPU),
        (Resource::RLIMIT_NOFILE, OPEN_FILES),
        (Resource::RLIMIT_CORE, 0),
    ];
    for (resource, value) in limits {
        setrlimit(resource, value, value).map_err(|errno| error("resource limits", &errno))?;
    }
    prctl::set_no_new_privs().map_err(|errno| error("no new privileges", &errno))?;
    let mut missing = Vec::new();
    if confine::abi() == ABI::Unsupported {
        missing.push("no landlock: not in this kernel");
    } else {
        landlock(quarantine).map_err(|text| error("landlock", &text))?;
    }
    if let Some(filter) = seccomp::for_indexer() {
        seccompiler::apply_filter(&filter).map_err(|text| error("system call filter", &text))?;
    } else {
        missing.push("no system call filter: not for this architecture");
    }
    Ok(missing)
}

fn landlock(quarantine: &Path) -> Result<(), String> {
    let all = AccessFs::from_all(ABI::V5.min(confine::abi()));
    let text = |error: landlock::RulesetError| error.to_string();
    // Files, and nothing that whoever clears up could not take away.
    let files = all
        & !(AccessFs::Execute
            | AccessFs::MakeDir
            | AccessFs::MakeSym
            | AccessFs::MakeSock
            | AccessFs::MakeFifo
            | AccessFs::MakeChar
            | AccessFs::MakeBlock);
    let folder = PathFd::new(quarantine).map_err(|error| error.to_string())?;
    let ruleset = Ruleset::default()
        .handle_access(all)
        .map_err(text)?
        .create()
        .map_err(text)?;
    let ruleset = ruleset
        .add_rule(PathBeneath::new(folder, files))
        .map_err(text)?;
    match ruleset.restrict_self().map_err(text)?.ruleset {
        RulesetStatus::NotEnforced => Err("it is not enforced".into()),
        _ => Ok(()),
    }
}
