//! The boxes themselves.

use anyhow::Result;
use std::{fs, process::Command};
use swarm_tests::{boxes::Fleet, process::run};

#[test]
fn boxes_boot_with_systemd_answer_by_ssh_reboot_and_leave_nothing() -> Result<()> {
    let fleet = Fleet::boot(2)?;
    let folder = fleet.folder();
    let mark = folder
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let one = &fleet.boxes()[0];
    assert_eq!(run(fleet.ssh("box-2")?.arg("hostname"))?.trim(), "box-2");
    assert_eq!(one.sh("cat /proc/1/comm")?, "systemd");
    assert_ne!(
        one.sh("cat /etc/machine-id")?,
        fleet.boxes()[1].sh("cat /etc/machine-id")?,
        "two boxes are the same machine"
    );
    let before = one.boot_id()?;
    one.sh("echo kept >/root/kept")?;
    let _ = one.try_sh("systemctl reboot");
    one.until_rebooted(&before)?;
    assert_eq!(one.sh("cat /root/kept")?, "kept");
    one.cable(false)?;
    let cut = fleet
        .ssh("box-1")?
        .args(["-o", "ConnectTimeout=1", "true"])
        .status()?;
    assert!(!cut.success(), "a cut cable still carries ssh");
    one.cable(true)?;
    drop(fleet);
    assert!(!folder.exists());
    let left = run(Command::new("ip").args(["netns", "list"]))?;
    assert!(!left.contains(&mark), "{left}");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    assert!(!mounts.contains(&mark), "{mounts}");
    let groups = run(Command::new("find").args([
        "/sys/fs/cgroup",
        "-maxdepth",
        "2",
        "-name",
        &format!("*{mark}*"),
    ]))?;
    assert!(groups.is_empty(), "{groups}");
    Ok(())
}
