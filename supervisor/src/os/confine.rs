//! The landlock rules of a workflow: granted paths come in, a ruleset that the child lays on itself comes out. Opens files.

use super::launch::Launch;
use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr,
};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// What may be read and executed on every box: where systems keep programs, libraries and settings.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/etc",
    "/proc",
    "/sys",
    "/nix/store",
    "/gnu/store",
    "/snap",
    "/run/current-system",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/var/lib/ca-certificates",
    "/var/lib/alternatives",
];

/// Devices that every program may use.
const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
];

/// The newest rights that are asked for. Later ones (connecting to Unix sockets by path) would close what a workflow may use.
const NEWEST: ABI = ABI::V5;

/// A ruleset, and what its rights are on this kernel.
#[derive(Debug)]
pub struct Rules {
    pub fd: OwnedFd,
    /// Every right that is handled: what the private /tmp gets, which exists in the child only.
    pub all: u64,
}

/// Which landlock this kernel has; none where it has none.
pub fn abi() -> ABI {
    static ABI_HERE: OnceLock<i32> = OnceLock::new();
    const VERSION: u32 = 1; // LANDLOCK_CREATE_RULESET_VERSION
    let version = *ABI_HERE.get_or_init(|| {
        // SAFETY: with this flag the call takes no attributes and only returns a number.
        let version = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::null::<u8>(),
                0,
                VERSION,
            )
        };
        i32::try_from(version).unwrap_or(0)
    });
    ABI::from(version)
}

/// The rules for this launch; `program` is its resolved program, where it is known. None: this kernel has no landlock.
pub fn rules(
    launch: &Launch,
    read: &[PathBuf],
    write: &[PathBuf],
    program: Option<&Path>,
) -> Result<Option<Rules>, String> {
    if abi() == ABI::Unsupported {
        return Ok(None);
    }
    let newest = NEWEST.min(abi());
    let all = AccessFs::from_all(newest);
    let look = AccessFs::from_read(newest);
    let device = AccessFs::from_file(newest) & !AccessFs::Execute;
    let text = |error: landlock::RulesetError| error.to_string();
    let created = Ruleset::default()
        .handle_access(all)
        .map_err(text)?
        .create()
        .map_err(text)?;
    let mut rules = Adding(created);
    for path in SYSTEM {
        rules.add_if_there(Path::new(path), look)?;
    }
    if let Some(home) = program.and_then(home_of_program) {
        rules.add_if_there(&home, look)?;
    }
    for path in DEVICES {
        rules.add_if_there(Path::new(path), device | AccessFs::ReadDir)?;
    }
    for path in launch
        .sandbox
        .devices
        .iter()
        .flat_map(|pattern| devices(pattern))
    {
        rules.add_if_there(&path, device)?;
    }
    for path in read {
        rules.add(path, look)?;
    }
    for path in write {
        rules.add(path, all)?;
    }
    // /dev/stdout and /proc/self/fd/1 open the pipe by its name again.
    for fd in [&launch.stdout, &launch.stderr] {
        rules.add_fd(fd, AccessFs::ReadFile | AccessFs::WriteFile);
    }
    let fd: Option<OwnedFd> = rules.0.into();
    Ok(fd.map(|fd| Rules {
        fd,
        all: all.bits(),
    }))
}

struct Adding(RulesetCreated);

impl Adding {
    fn add(&mut self, path: &Path, access: BitFlags<AccessFs>) -> Result<(), String> {
        let fd = PathFd::new(path).map_err(|error| error.to_string())?;
        (&mut self.0)
            .add_rule(PathBeneath::new(fd, access))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(())
    }

    fn add_if_there(&mut self, path: &Path, access: BitFlags<AccessFs>) -> Result<(), String> {
        if let Ok(fd) = PathFd::new(path) {
            (&mut self.0)
                .add_rule(PathBeneath::new(fd, access))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }

    /// A pipe without a name cannot have a rule (`EBADFD`), and needs none.
    fn add_fd(&mut self, fd: &OwnedFd, access: BitFlags<AccessFs>) {
        let _ = (&mut self.0).add_rule(PathBeneath::new(fd.as_fd(), access));
    }
}

/// Where a program outside the usual places has its libraries: beside `bin`, else beside itself.
fn home_of_program(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?;
    let home = if folder.ends_with("bin") {
        folder.parent()?
    } else {
        folder
    };
    // Never the whole disk, or everybody's homes: then the program alone.
    Some(if home.components().count() < 3 {
        program.to_owned()
    } else {
        home.to_owned()
    })
}

/// The devices that a pattern `/dev/ttyUSB*` means now: `*` stands in the last component only.
fn devices(pattern: &str) -> Vec<PathBuf> {
    let path = Path::new(pattern);
    if !pattern.contains('*') {
        return vec![path.to_owned()];
    }
    let (Some(folder), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .to_str()
                .is_some_and(|text| glob(name, text))
        })
        .map(|entry| entry.path())
        .collect()
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).any(|at| tail.is_char_boundary(at) && glob(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        assert!(
            glob("ttyUSB*", "ttyUSB0")
                && glob("ttyUSB*", "ttyUSB")
                && glob("*", "x")
                && glob("a*b*c", "aXbYbc")
        );
        assert!(!glob("ttyUSB*", "ttyS0") && !glob("a*b", "abc"));
        assert_eq!(devices("/dev/nul*"), [PathBuf::from("/dev/null")]);
    }

    #[test]
    fn a_program_brings_its_own_folder_and_never_the_whole_disk() {
        let home = |path: &str| home_of_program(Path::new(path)).expect("a folder");
        assert_eq!(
            home("/home/ann/.nvm/versions/node/v20/bin/node"),
            Path::new("/home/ann/.nvm/versions/node/v20")
        );
        assert_eq!(home("/srv/tool/run"), Path::new("/srv/tool"));
        assert_eq!(home("/home/tool"), Path::new("/home/tool"));
        assert_eq!(home("/x/bin/tool"), Path::new("/x/bin/tool"));
    }
}
