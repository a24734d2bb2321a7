//! Cgroup v2 as far as a supervisor needs it: a folder for each tree, its limits, its numbers, its end. Reads and writes /sys/fs/cgroup.

use super::{kernel_file, tree::Enforced};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            ffi::OsStrExt,
            fs::{FileExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_manifests::{bundle::Limits, id::Digest, units::ByteSize};

/// The folder below which the trees of one supervisor lie.
#[derive(Debug)]
pub struct Base {
    path: PathBuf,
    controllers: Vec<String>,
}

/// One tree's folder.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    events: File,
    /// Whether there is a memory controller.
    counts_memory: bool,
}

impl Base {
    /// In the holder's cgroup, or in our own, or at the top of the mount: the first in which folders can be made.
    pub fn find(state: &Path, holder: Option<&Path>) -> Option<Self> {
        let hash = Digest::of(state.as_os_str().as_bytes()).hex();
        let name = format!("swarm-{}", &hash[..8]);
        let mount = mount_point()?;
        // Processes in a folder and controllers for its subfolders exclude each other: beside our own cgroup, not below it.
        let own = own()
            .map(|path| mount.join(path))
            .and_then(|path| path.parent().map(Path::to_owned));
        let own = own.filter(|path| path.starts_with(&mount));
        let holder = holder.map(|path| mount.join(path.strip_prefix("/").unwrap_or(path)));
        if let Some(holder) = holder.as_ref().filter(|path| !path.is_dir()) {
            tracing::warn!(cgroup = %holder.display(), "the unit that holds the workflows does not run; their cgroups are made elsewhere");
        }
        let places = holder.into_iter().chain([mount]).chain(own);
        places
            .into_iter()
            .find_map(|place| Self::make(&place, &name))
    }

    fn make(place: &Path, name: &str) -> Option<Self> {
        let path = place.join(name);
        make_folder(&path).ok()?;
        // As far as they are there: without them, trees are still owned, only not limited.
        for controller in ["memory", "cpu", "pids"] {
            let _ = write(
                &place.join("cgroup.subtree_control"),
                &format!("+{controller}"),
            );
            let _ = write(
                &path.join("cgroup.subtree_control"),
                &format!("+{controller}"),
            );
        }
        let controllers =
            fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
        let base = Self {
            path,
            controllers: controllers
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect(),
        };
        // A folder that can be made is not yet one that processes may be put into (delegation).
        let can_move = OpenOptions::new()
            .write(true)
            .open(base.path.join("cgroup.procs"))
            .is_ok();
        can_move.then_some(base)
    }

    /// In words.
    pub fn describe(&self) -> String {
        let with = if self.controllers.is_empty() {
            "without controllers".into()
        } else {
            format!("with {}", self.controllers.join(", "))
        };
        format!("cgroup v2 {}, {with}", self.path.display())
    }

    /// The folder of one tree, and whether it is a new one.
    pub fn group(&self, name: &str) -> io::Result<(Group, bool)> {
        let path = self.path.join(name);
        let is_new = make_folder(&path)?;
        let events = File::open(path.join("cgroup.events"))?;
        let counts_memory = self.controllers.iter().any(|name| name == "memory");
        let group = Group {
            path,
            events,
            counts_memory,
        };
        Ok((group, is_new))
    }

    /// The trees that are there.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// If it is empty.
    pub fn remove(self) {
        let _ = fs::remove_dir(self.path);
    }
}

impl Group {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Kills all at once, whatever forks meanwhile. False: this kernel (before 5.14) cannot.
    pub fn kill(&self) -> io::Result<bool> {
        match write(&self.path.join("cgroup.kill"), "1") {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(!self.path.exists()),
            Err(error) => Err(error),
        }
    }

    /// Whether a process lives in it, or below it.
    pub fn is_populated(&self) -> bool {
        let mut text = [0; 256];
        // A folder that is gone has nobody in it.
        self.events.read_at(&mut text, 0).is_ok_and(|count| {
            text[..count]
                .split(|&byte| byte == b'\n')
                .any(|line| line == b"populated 1")
        })
    }

    /// For polling.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Every process in it and below it.
    pub fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        collect_pids(&self.path, &mut pids);
        pids
    }

    /// Whether this process is in it or below it.
    pub fn has(&self, pid: i32) -> bool {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let inside = text.lines().find_map(|line| line.strip_prefix("0::/"));
        let Some((inside, mount)) = inside.zip(mount_point()) else {
            return false;
        };
        mount.join(inside).starts_with(&self.path)
    }

    /// Processor time of everybody who ever was in it; known without a controller, too.
    pub fn cpu(&self) -> Option<Duration> {
        number_after(&self.read("cpu.stat")?, "usage_usec ").map(Duration::from_micros)
    }

    /// Bytes, where there is a controller.
    pub fn memory(&self) -> Option<u64> {
        if !self.counts_memory {
            return None;
        }
        self.read("memory.current")?.trim().parse().ok()
    }

    /// From memory.events.
    pub fn oom_kills(&self) -> Option<u64> {
        if !self.counts_memory {
            return None;
        }
        number_after(&self.read("memory.events")?, "oom_kill ")
    }

    fn read(&self, file: &str) -> Option<String> {
        kernel_file::read(&self.path.join(file))
    }

    /// Folders that a workflow made below it, too.
    pub fn remove(self) -> io::Result<()> {
        remove_folders(&self.path)
    }
}

fn collect_pids(folder: &Path, pids: &mut Vec<i32>) {
    let text = kernel_file::read_list(&folder.join("cgroup.procs")).unwrap_or_default();
    // Two links are its own: nothing is below it.
    let is_leaf = folder.metadata().is_ok_and(|meta| meta.nlink() == 2);
    pids.extend(
        text.lines()
            .filter_map(|line| line.parse::<i32>().ok())
            .filter(|&pid| pid > 0),
    );
    if is_leaf {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_pids(&entry.path(), pids);
        }
    }
}

fn remove_folders(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(()) => return Ok(()),
        Err(_) => {}
    }
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_folders(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// False: it is there already.
fn make_folder(path: &Path) -> io::Result<bool> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.map(|()| true),
    }
}

/// Without `O_CREAT`: a file that is missing is a controller that is missing.
fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(text.as_bytes())
}

/// The first cgroup2 mount.
fn mount_point() -> Option<PathBuf> {
    use std::sync::OnceLock;
    static MOUNT: OnceLock<Option<PathBuf>> = OnceLock::new();
    MOUNT
        .get_or_init(|| find_mount(&fs::read_to_string("/proc/self/mountinfo").ok()?))
        .clone()
}

/// `41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw`; optional fields may stand before the dash.
fn find_mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        let point = head.split(' ').nth(4)?;
        tail.starts_with("cgroup2 ").then(|| PathBuf::from(point))
    })
}

/// Our own cgroup below the mount.
pub fn own() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .map(PathBuf::from)
}

/// Writes each limit that was asked for and compares what the kernel then says.
pub fn limit(group: Option<&Group>, limits: &Limits) -> Enforced {
    let mut done = Enforced {
        rest: Limits {
            open_files: limits.open_files,
            ..Limits::default()
        },
        ..Enforced::default()
    };
    if let Some(files) = limits.open_files {
        done.enforced.push(format!("open files limit {files}"));
    }
    if let Some(memory) = limits.memory {
        let page = page_size();
        // The kernel rounds down to whole pages.
        let whole = memory.0 / page * page;
        if set(group, "memory.max", &whole.to_string(), &whole.to_string()) {
            done.enforced.push(format!("memory limit {}", show(memory)));
        } else {
            done.missing.push(format!(
                "memory limit {} of each process only: no memory controller",
                show(memory)
            ));
            done.rest.memory = limits.memory;
        }
    }
    if let Some(pids) = limits.pids {
        if set(group, "pids.max", &pids.to_string(), &pids.to_string()) {
            done.enforced.push(format!("pids limit {pids}"));
        } else {
            done.missing.push(format!(
                "pids limit {pids} of the user only: no pids controller"
            ));
            done.rest.pids = limits.pids;
        }
    }
    if let Some(cpu) = limits.cpu {
        let quota = format!("{} 100000", u64::from(cpu) * 1000);
        if set(group, "cpu.max", &quota, &quota) {
            done.enforced.push(format!("cpu limit {cpu}%"));
        } else {
            done.missing
                .push(format!("cpu limit {cpu}% not enforced: no cpu controller"));
        }
    }
    done
}

fn set(group: Option<&Group>, file: &str, value: &str, expected: &str) -> bool {
    group.is_some_and(|group| {
        write(&group.path.join(file), value).is_ok()
            && group.read(file).is_some_and(|text| text.trim() == expected)
    })
}

/// `256M`, as it was written.
fn show(size: ByteSize) -> String {
    let units = [(1_u64 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    let unit = units
        .into_iter()
        .find(|(unit, _)| size.0 >= *unit && size.0.is_multiple_of(*unit));
    unit.map_or_else(
        || size.0.to_string(),
        |(unit, letter)| format!("{}{letter}", size.0 / unit),
    )
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|number| number.trim().parse().ok())
}

/// Bytes: the second field of /proc/PID/statm, in pages.
pub fn resident(pid: i32) -> Option<u64> {
    let text = kernel_file::read(Path::new(&format!("/proc/{pid}/statm")))?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size())
}

pub fn cpu_of(pid: i32) -> Option<Duration> {
    let field = |number| {
        super::identity::stat_field(pid, number)?
            .parse::<u64>()
            .ok()
    };
    // Ticks are hundredths of a second on every Linux that shows them (USER_HZ).
    Some(Duration::from_millis(10 * (field(14)? + field(15)?)))
}

fn page_size() -> u64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)
        .ok()
        .flatten()
        .and_then(|size| u64::try_from(size).ok())
        .unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup2_mount_is_found_among_others() {
        let text = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n40 31 0:37 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:3 - cgroup2 cgroup2 rw\n";
        assert_eq!(find_mount(text), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(
            find_mount("40 31 0:37 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"),
            None
        );
    }

    #[test]
    fn sizes_are_shown_as_they_are_written() {
        assert_eq!(show(ByteSize(256 << 20)), "256M");
        assert_eq!(show(ByteSize(1 << 30)), "1G");
        assert_eq!(show(ByteSize(1000)), "1000");
    }

    #[test]
    fn a_limit_without_a_controller_is_said_not_to_be_enforced() {
        let limits = Limits {
            memory: Some(ByteSize(1 << 20)),
            cpu: Some(50),
            pids: Some(3),
            ..Limits::default()
        };
        let done = limit(None, &limits);
        assert!(done.enforced.is_empty());
        assert_eq!(done.missing.len(), 3);
        assert_eq!(
            done.rest,
            Limits {
                memory: limits.memory,
                pids: limits.pids,
                ..Limits::default()
            }
        );
    }
}
