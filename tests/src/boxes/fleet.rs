//! A fleet: some boxes on one switch, with a key that opens them and the host keys that they show.

use super::{Base, Booted, FLEETS, Names, base, means, sweep, switch};
use crate::process::run;
use anyhow::{Context, Result, ensure};
use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Boxes, booted.
#[derive(Debug)]
pub struct Fleet {
    names: Names,
    boxes: Vec<Booted>,
    /// Gone when it is dropped; not the one of a person.
    ends: bool,
}

/// What the fleet of a person is called: there is one.
const PEOPLES: &str = "lab";
/// More have no address.
const MOST: usize = 40;

impl Fleet {
    /// Boots so many boxes for a test; they are gone when it is dropped.
    pub fn boot(count: usize) -> Result<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        sweep::sweep()?;
        Self::make(&format!("t{}-{number}", std::process::id()), count, true)
    }

    /// Boots so many boxes for a person; they stay until [`Fleet::end`].
    pub fn up(count: usize) -> Result<Self> {
        sweep::sweep()?;
        ensure!(
            !Names::of(PEOPLES).folder().exists(),
            "boxes are there already (./dev boxes list); ./dev boxes down ends them"
        );
        Self::make(PEOPLES, count, false)
    }

    /// The person's fleet.
    pub fn there() -> Result<Self> {
        let names = Names::of(PEOPLES);
        ensure!(
            names.folder().exists(),
            "no boxes are there: ./dev boxes up"
        );
        Ok(Self {
            boxes: boxes_of(&names),
            names,
            ends: false,
        })
    }

    fn make(name: &str, count: usize, ends: bool) -> Result<Self> {
        means::require()?;
        ensure!((1..=MOST).contains(&count), "from 1 to {MOST} boxes");
        let base = Base::get()?;
        let names = Names::of(name);
        fs::create_dir_all(names.folder())?;
        fs::set_permissions(FLEETS, fs::Permissions::from_mode(0o755))?;
        // From here on everything is removed with it, whatever fails.
        let mut fleet = Self {
            names: names.clone(),
            boxes: vec![],
            ends: true,
        };
        if ends {
            fs::write(
                names.folder().join("owner"),
                sweep::named(std::process::id())?,
            )?;
        }
        let key = names.folder().join("key");
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "boxes", "-f"])
            .arg(&key))?;
        switch::make(&names)?;
        let hosts = hosts(count);
        for number in 1..=count {
            fleet.boxes.push(Booted::of(&names, number));
            fleet.boxes[number - 1].boot(&base, &hosts, &key)?;
        }
        fleet.note_hosts()?;
        for one in &fleet.boxes {
            one.until_up()?;
        }
        fleet.ends = ends;
        Ok(fleet)
    }

    /// Known hosts, what ssh is to be called with, and an inventory for Ansible.
    fn note_hosts(&self) -> Result<()> {
        let mut known = String::new();
        let mut inventory = String::from("all:\n  hosts:\n");
        for one in &self.boxes {
            let key = fs::read_to_string(one.path("/etc/ssh/ssh_host_ed25519_key.pub"))?;
            writeln!(known, "{},{} {}", one.address(), one.name, key.trim())?;
            writeln!(
                inventory,
                "    {}:\n      ansible_host: {}",
                one.name,
                one.address()
            )?;
        }
        let folder = self.folder();
        writeln!(
            inventory,
            "  vars:\n    ansible_user: root\n    ansible_ssh_private_key_file: {}\n    ansible_ssh_common_args: -F {}",
            folder.join("key").display(),
            folder.join("ssh_config").display()
        )?;
        fs::write(folder.join("known_hosts"), known)?;
        fs::write(
            folder.join("ssh_config"),
            format!(
                "Host *\n    User root\n    IdentityFile {0}/key\n    IdentitiesOnly yes\n    UserKnownHostsFile {0}/known_hosts\n    StrictHostKeyChecking yes\n    BatchMode yes\n    ConnectTimeout 20\n",
                folder.display()
            ),
        )?;
        fs::write(folder.join("inventory.yml"), inventory)?;
        Ok(())
    }

    /// Its folder: `key`, `known_hosts`, `ssh_config`, `inventory.yml`, and one for each box.
    pub fn folder(&self) -> PathBuf {
        self.names.folder()
    }

    /// Its boxes, `box-1` first.
    pub fn boxes(&self) -> &[Booted] {
        &self.boxes
    }

    /// The box of this name.
    pub fn named(&self, name: &str) -> Result<&Booted> {
        let found = self.boxes.iter().find(|one| one.name == name);
        found.with_context(|| format!("no box is called {name}"))
    }

    /// A command that runs at the switch, from where every box is reached.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        switch::at(&self.names, program.as_ref())
    }

    /// `ssh BOX …`
    pub fn ssh(&self, name: &str) -> Result<Command> {
        let one = self.named(name)?;
        let mut command = self.command("ssh");
        command
            .arg("-F")
            .arg(self.folder().join("ssh_config"))
            .arg(one.address());
        Ok(command)
    }

    /// Shuts every box down, and removes everything.
    pub fn end(self) -> Result<()> {
        for one in &self.boxes {
            one.power_off(true)?;
        }
        remove(&self.names)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if !self.ends {
            return;
        }
        if std::thread::panicking() {
            for one in &self.boxes {
                eprintln!("--- console of {}\n{}", one.name, one.console());
            }
        }
        if let Err(error) = remove(&self.names) {
            eprintln!("the boxes could not be removed: {error:#}");
        }
    }
}

/// Everything of this name.
pub(super) fn remove(names: &Names) -> Result<()> {
    for one in boxes_of(names) {
        one.remove()?;
    }
    switch::remove(names);
    let folder = names.folder();
    // A machine's disk that was being made.
    base::unmount(&folder)?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    Ok(())
}

fn boxes_of(names: &Names) -> Vec<Booted> {
    let one = |number| Booted::of(names, number);
    let there = |number: &usize| names.folder().join(format!("box-{number}")).exists();
    (1..=MOST).filter(there).map(one).collect()
}

fn hosts(count: usize) -> String {
    let mut text = format!(
        "127.0.0.1 localhost\n::1 localhost\n{} switch\n",
        switch::SWITCH
    );
    for number in 1..=count {
        text.push_str(&format!("{} box-{number}\n", switch::address(number)));
    }
    text
}

/// Root may come in with this key; the machine shows a host key of its own.
pub(super) fn let_in(root: &Path, key: &Path) -> Result<()> {
    let ssh = root.join("root/.ssh");
    fs::create_dir_all(&ssh)?;
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700))?;
    fs::copy(key.with_extension("pub"), ssh.join("authorized_keys"))?;
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "host", "-f"])
        .arg(root.join("etc/ssh/ssh_host_ed25519_key")))
    .map(drop)
}
