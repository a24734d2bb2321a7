//! The root file system that every box starts from: a small Debian (or Ubuntu) of the host's own release, made once by mmdebstrap and kept in the cache.

use crate::process::{LIMIT, run};
use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// What a freshly installed small server has; nothing of Swarmlet's, and no git server.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,openssh-server,openssh-client,python3,python3-apt,iproute2,ca-certificates,openssl,git,sudo,udev,kmod";
/// Raised when what is done to the tree here changes.
const EDITION: u32 = 1;
/// What would only slow a boot down, or look for a network.
const MASKED: [&str; 7] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "systemd-firstboot.service",
    "systemd-networkd-wait-online.service",
];

/// An unpacked root file system, never written to.
#[derive(Debug, Clone)]
pub struct Base {
    folder: PathBuf,
}

impl Base {
    /// From the cache, or made: half a minute to three, and needs the package mirror.
    pub fn get() -> Result<Self> {
        let release = release()?;
        let sources = sources()?;
        let key = Sha256::new()
            .chain_update(format!("{release}\n{PACKAGES}\n{EDITION}\n{MASKED:?}\n"))
            .chain_update(fs::read(&sources)?)
            .finalize();
        let cache = cache()?;
        let folder = cache.join(format!("{release}-{}", &hex::encode(key)[..12]));
        // Whoever comes meanwhile waits for the one that makes it.
        let _lock = lock(&folder.with_extension("lock"))?;
        if !folder.exists() {
            make(&release, &sources, &folder)?;
        }
        Ok(Self { folder })
    }

    /// `root` in this folder becomes a copy of it, by an overlay: what is changed lies in `upper`.
    pub fn mount(&self, folder: &Path) -> Result<()> {
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.folder.display(),
            folder.join("upper").display(),
            folder.join("work").display()
        );
        run(Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &layers])
            .arg(folder.join("root")))
        .map(drop)
    }
}

/// Undoes [`Base::mount`], if it was done.
pub(super) fn unmount(folder: &Path) -> Result<()> {
    let root = folder.join("root");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let wanted = root.display().to_string();
    if mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(&wanted))
    {
        run(Command::new("umount").arg(&root))?;
    }
    Ok(())
}

/// Held until it is dropped.
pub(super) fn lock(path: &Path) -> Result<Flock<File>> {
    Flock::lock(File::create(path)?, FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .with_context(|| path.display().to_string())
}

/// `$SWARM_BOXES_CACHE`, else the user's cache.
pub(super) fn cache() -> Result<PathBuf> {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let folder = of("SWARM_BOXES_CACHE")
        .or_else(|| Some(of("XDG_CACHE_HOME")?.join("swarmlet/boxes")))
        .or_else(|| Some(of("HOME")?.join(".cache/swarmlet/boxes")))
        .context(
            "neither HOME nor SWARM_BOXES_CACHE says where the boxes' root file system is kept",
        )?;
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// `bookworm`
fn release() -> Result<String> {
    let text = fs::read_to_string("/etc/os-release")?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("/etc/os-release has no VERSION_CODENAME: booted boxes are made from a Debian or an Ubuntu")?;
    Ok(name.trim_matches('"').into())
}

/// The host's own mirror.
fn sources() -> Result<PathBuf> {
    let known = [
        "/etc/apt/sources.list.d/debian.sources",
        "/etc/apt/sources.list.d/ubuntu.sources",
        "/etc/apt/sources.list",
    ];
    // By another name, as installers give them.
    let mut others: Vec<PathBuf> = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|end| end == "sources" || end == "list")
        })
        .collect();
    others.sort();
    let found = known
        .into_iter()
        .map(PathBuf::from)
        .chain(others)
        .find(|path| fs::metadata(path).is_ok_and(|file| file.len() > 0));
    found.context("apt has no sources: where are packages to come from?")
}

fn make(release: &str, sources: &Path, folder: &Path) -> Result<()> {
    eprintln!(
        "boxes: making the root file system ({release}); once, it is kept in {}",
        folder.display()
    );
    let half = folder.with_extension("half");
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    let log = folder.with_extension("log");
    let mut command = Command::new("timeout");
    command
        .arg((LIMIT.as_secs() * 10).to_string())
        .args(["mmdebstrap", "--variant=minbase", "--format=directory"])
        .arg(format!("--include={PACKAGES}"));
    for path in ["doc", "man", "locale", "info"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{path}/*"));
    }
    let status = command
        .arg(release)
        .arg(&half)
        .arg(sources)
        .stdout(File::create(&log)?)
        .stderr(File::options().append(true).open(&log)?)
        .status()?;
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        bail!(
            "mmdebstrap ended with {status}:\n{}",
            lines[lines.len().saturating_sub(15)..].join("\n")
        );
    }
    finish(&half)?;
    fs::rename(&half, folder)?;
    Ok(())
}

/// Nothing that two boxes must not share, nothing that waits for a network.
fn finish(root: &Path) -> Result<()> {
    let keys = fs::read_dir(root.join("etc/ssh"))?.flatten();
    for key in keys.filter(|entry| entry.file_name().to_string_lossy().starts_with("ssh_host_")) {
        fs::remove_file(key.path())?;
    }
    for unit in MASKED {
        let path = root.join("etc/systemd/system").join(unit);
        if !path.exists() {
            std::os::unix::fs::symlink("/dev/null", path)?;
        }
    }
    fs::write(root.join("etc/machine-id"), "uninitialized\n")?;
    ensure!(root.join("sbin/init").exists(), "mmdebstrap made no init");
    run(Command::new("chroot").arg(root).args(["ldconfig"])).map(drop)
}
