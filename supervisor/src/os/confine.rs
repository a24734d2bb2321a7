//! The landlock rules of a workflow: granted paths come in, a ruleset that the child lays on itself comes out. Opens files.

use super::{child, clock, launch::Launch};
use crate::time::BootTime;
use landlock::{ABI, Access, AccessFs, BitFlags};
use std::{
    fs::OpenOptions,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
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

/// How long the usual paths are held open before they are looked up anew: systems get new folders while we run.
const FRESH: Duration = Duration::from_secs(60);

/// A ruleset, and what its rights are on this kernel.
#[derive(Debug)]
pub struct Rules {
    pub fd: OwnedFd,
    /// Every right that is handled: what the private /tmp gets, which exists in the child only.
    pub all: u64,
}

/// A path that rules are made of, held open.
#[derive(Debug)]
struct Held {
    fd: OwnedFd,
    access: u64,
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
    let rights = Rights::here();
    let handled = rights.all.bits();
    // SAFETY: landlock_create_ruleset(2) reads as many bytes of the attributes as it is told: the first field, which is all we ask for.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const handled,
            size_of_val(&handled),
            0,
        )
    };
    let fd = owned(fd).map_err(|error| error.to_string())?;
    for held in usual(rights).map_err(|error| error.to_string())?.iter() {
        add(&fd, held).map_err(|error| error.to_string())?;
    }
    let granted = launch
        .sandbox
        .devices
        .iter()
        .flat_map(|pattern| devices(pattern))
        .map(|path| (path, rights.device))
        .chain(
            program
                .and_then(home_of_program)
                .map(|home| (home, rights.look)),
        );
    let asked = read.iter().map(|path| (path, rights.look));
    let asked = asked.chain(write.iter().map(|path| (path, rights.all)));
    for (path, access) in granted {
        if let Ok(held) = Held::open(&path, access) {
            add(&fd, &held).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    for (path, access) in asked {
        Held::open(path, access)
            .and_then(|held| add(&fd, &held))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    // /dev/stdout and /proc/self/fd/1 open the pipe by its name again. One without a name cannot have a rule (EBADFD), and needs none.
    let pipe = (AccessFs::ReadFile | AccessFs::WriteFile).bits();
    for end in [&launch.stdout, &launch.stderr] {
        let _ = child::add_rule(fd.as_raw_fd(), end.as_raw_fd(), pipe);
    }
    Ok(Some(Rules { fd, all: handled }))
}

/// What a rule may allow on this kernel.
#[derive(Debug, Clone, Copy)]
struct Rights {
    all: BitFlags<AccessFs>,
    look: BitFlags<AccessFs>,
    device: BitFlags<AccessFs>,
    file: BitFlags<AccessFs>,
}

impl Rights {
    fn here() -> Self {
        let newest = NEWEST.min(abi());
        let file = AccessFs::from_file(newest);
        Self {
            all: AccessFs::from_all(newest),
            look: AccessFs::from_read(newest),
            device: (file & !AccessFs::Execute) | AccessFs::ReadDir,
            file,
        }
    }
}

impl Held {
    /// A file gets those of the rights that a file can have.
    fn open(path: &Path, access: BitFlags<AccessFs>) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path)?;
        let access = if file.metadata()?.is_dir() {
            access
        } else {
            access & Rights::here().file
        };
        Ok(Self {
            fd: file.into(),
            access: access.bits(),
        })
    }
}

/// What every workflow may look at and every program may use: opened once a minute at most, for there are many starts in one.
fn usual(rights: Rights) -> io::Result<Arc<Vec<Held>>> {
    static KNOWN: Mutex<Option<(BootTime, Arc<Vec<Held>>)>> = Mutex::new(None);
    let now = clock::now();
    let mut known = KNOWN
        .lock()
        .map_err(|_| io::Error::other("the list of usual paths"))?;
    if let Some((since, held)) = known.as_ref()
        && now.since(*since) < FRESH
    {
        return Ok(Arc::clone(held));
    }
    let system = SYSTEM.iter().map(|path| (path, rights.look));
    let all = system.chain(DEVICES.iter().map(|path| (path, rights.device)));
    // One that is not there on this system needs no rule.
    let held = all.filter_map(|(path, access)| Held::open(Path::new(path), access).ok());
    let held = Arc::new(held.collect::<Vec<_>>());
    *known = Some((now, Arc::clone(&held)));
    Ok(held)
}

fn add(ruleset: &OwnedFd, held: &Held) -> io::Result<()> {
    let done = child::add_rule(ruleset.as_raw_fd(), held.fd.as_raw_fd(), held.access);
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn owned(fd: i64) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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
