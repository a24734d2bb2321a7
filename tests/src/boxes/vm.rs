//! One virtual machine by QEMU without KVM: a kernel with every cgroup v2 controller, a disk of its own, and a power switch.

use super::{
    Base, Names, base, fleet,
    installed::Machine,
    means,
    serial::{SHELL, Serial},
    sweep,
};
use crate::process::{Running, run};
use anyhow::{Context, Result, ensure};
use std::{
    cell::RefCell,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

/// How it boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// systemd, as boxes do.
    Systemd,
    /// The agent alone, in seconds: for what has to boot twenty times.
    Bare,
}

/// Boots the agent and the serial shell, nothing else.
const BARE: &str = "#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
ip link set lo up
hostname vm
swarm-agent run >/run/agent.log 2>&1 &
while :; do /usr/local/sbin/serial-shell; done
";

const UNIT: &str = "[Unit]\nDefaultDependencies=no\nAfter=local-fs.target\n\n[Service]\nExecStart=/usr/local/sbin/serial-shell\nRestart=always\n\n[Install]\nWantedBy=multi-user.target\n";

/// The machine; its disk is gone when it is dropped.
#[derive(Debug)]
pub struct Vm {
    names: Names,
    qemu: Option<Running>,
    serial: RefCell<Option<Serial>>,
}

impl Vm {
    /// Makes its disk from the boxes' root file system and what `prepare` puts there; off.
    pub fn new(prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        means::require()?;
        means::require_emulator()?;
        sweep::sweep()?;
        let (base, _) = (Base::get()?, kernel()?);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let made = Self {
            names: Names::of(&format!("v{}-{number}", std::process::id())),
            qemu: None,
            serial: RefCell::new(None),
        };
        fs::create_dir_all(made.path(""))?;
        fs::write(made.path("owner"), sweep::named(std::process::id())?)?;
        for name in ["upper", "work", "root"] {
            fs::create_dir_all(made.path(name))?;
        }
        base.mount(&made.path(""))?;
        let root = made.path("root");
        let program = |name: &str, text: &str| -> Result<()> {
            let path = root.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            Ok(())
        };
        program("usr/local/sbin/serial-shell", SHELL)?;
        program("usr/local/sbin/bare-init", BARE)?;
        fs::write(root.join("etc/hostname"), "vm\n")?;
        fs::write(root.join("etc/systemd/system/serial-shell.service"), UNIT)?;
        std::os::unix::fs::symlink(
            "/etc/systemd/system/serial-shell.service",
            root.join("etc/systemd/system/multi-user.target.wants/serial-shell.service"),
        )?;
        prepare(&root)?;
        run(Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-d"])
            .arg(&root)
            .arg(made.path("disk"))
            .arg("1200M"))?;
        base::unmount(&made.path(""))?;
        Ok(made)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.names.folder().join(name)
    }

    /// Switches it on, and waits for the shell. An emulator that stands still before there is one (no CPU used, nothing printed: seen
    /// once in some hundred boots) is switched off and on again, as a machine's owner would; that is said.
    pub fn boot(&mut self, init: Init) -> Result<()> {
        for _ in 0..2 {
            match self.switch_on(init) {
                Ok(()) => return Ok(()),
                Err(error) => eprintln!("switched off and on again: {error:#}"),
            }
            self.cut_power();
        }
        self.switch_on(init)
    }

    fn switch_on(&mut self, init: Init) -> Result<()> {
        ensure!(self.qemu.is_none(), "it is on");
        let _ = fs::remove_file(self.path("serial"));
        let init = match init {
            Init::Systemd => "/sbin/init",
            Init::Bare => "/usr/local/sbin/bare-init",
        };
        // With this process it goes, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        command.args("-accel tcg,thread=multi -M q35 -cpu max -smp 1 -m 640 -nodefaults -display none -no-reboot".split(' '));
        command.arg("-kernel").arg(kernel()?).arg("-append").arg(format!(
            "root=/dev/nvme0n1 rw console=ttyS0 quiet panic=1 mitigations=off no_timer_check init={init} systemd.unified_cgroup_hierarchy=1"
        ));
        command.arg("-drive").arg(format!(
            "file={},format=raw,if=none,id=disk",
            self.path("disk").display()
        ));
        command.args(["-device", "nvme,drive=disk,serial=disk"]);
        command
            .arg("-serial")
            .arg(format!("file:{}", self.path("console").display()));
        command.arg("-serial").arg(format!(
            "unix:{},server=on,wait=on",
            self.path("serial").display()
        ));
        self.qemu = Some(Running::start(
            "qemu",
            &mut command,
            &self.path("qemu.log"),
        )?);
        let serial = Serial::open(&self.path("serial")).with_context(|| self.console())?;
        *self.serial.borrow_mut() = Some(serial);
        Ok(())
    }

    /// `kill -9` of the emulator: what the machine had not written is gone.
    pub fn cut_power(&mut self) {
        if let Some(mut qemu) = self.qemu.take() {
            qemu.kill();
        }
        *self.serial.borrow_mut() = None;
    }

    /// What kernel and init said since it was switched on.
    pub fn console(&self) -> String {
        let said = fs::read(self.path("console")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Starts a script and does not wait for it: nothing can be asked any more until the next boot.
    pub fn send(&self, script: &str) -> Result<()> {
        self.serial
            .borrow_mut()
            .as_mut()
            .context("it is off")?
            .send(script)
    }

    /// What a script printed, and its exit code.
    pub fn try_sh(&self, script: &str) -> Result<(String, i32)> {
        self.serial
            .borrow_mut()
            .as_mut()
            .context("it is off")?
            .run(script)
    }
}

impl Machine for Vm {
    fn sh(&self, script: &str) -> Result<String> {
        let (printed, code) = self.try_sh(script)?;
        ensure!(code == 0, "{script} ended with {code}: {printed}");
        Ok(printed.trim_end().to_string())
    }

    fn name(&self) -> &'static str {
        "the virtual machine"
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the machine's console\n{}", self.console());
        }
        self.cut_power();
        if let Err(error) = fleet::remove(&self.names) {
            eprintln!("the machine could not be removed: {error:#}");
        }
    }
}

/// A Debian cloud kernel, which has disk and file system built in: no initial RAM disk is needed.
fn kernel() -> Result<PathBuf> {
    const FETCH: &str = "set -e
name=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)
[ -n \"$name\" ]
apt-get download -q \"$name\"
dpkg-deb -x ./*.deb unpacked
mv unpacked/boot/vmlinuz-* vmlinuz";
    let folder = base::cache()?;
    let _lock = base::lock(&folder.join("kernel.lock"))?;
    let kernel = folder.join("kernel");
    if !kernel.exists() {
        let half = tempfile::tempdir_in(&folder)?;
        fs::set_permissions(half.path(), fs::Permissions::from_mode(0o777))?;
        let log = File::create(folder.join("kernel.log"))?;
        let script = format!("{FETCH} || {{ apt-get update -q; {FETCH}; }}");
        let status = Command::new("sh")
            .args(["-c", &script])
            .current_dir(half.path())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()?;
        let said = fs::read_to_string(folder.join("kernel.log")).unwrap_or_default();
        ensure!(
            status.success(),
            "no kernel for the virtual machine: {said}"
        );
        fs::rename(half.path().join("vmlinuz"), &kernel)?;
    }
    Ok(kernel)
}
