//! What a start costs: a program in the default sandbox, beside one without anything, in turns on the same machine.
//! `start_cost [ROUNDS]` prints the median and the 99th percentile of each, from the call until the program executes.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt as _, chown},
            process::CommandExt as _,
        },
    },
    path::Path,
    process::Command,
    time::{Duration, Instant},
};
use swarm_manifests::bundle::{Limits, Sandbox};
use swarm_supervisor::os::{
    launch::{Ids, Launch, Profile},
    protections, spawn,
    tree::{Marks, Trees},
};

const USER: u32 = 63_900;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args()
        .nth(1)
        .map_or(Ok(500), |text| text.parse())?;
    let folder = std::env::temp_dir().join(format!("start-cost-{}", std::process::id()));
    let (state, bundle) = (folder.join("workflows/w/0"), folder.join("store/x/tree"));
    fs::create_dir_all(&state)?;
    fs::create_dir_all(&bundle)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o711))?;
    let as_root = chown(&state, Some(USER), Some(USER)).is_ok();
    let trees = Trees::open(&folder, None);
    let tree = trees.tree(
        &"w".parse()?,
        0,
        Marks {
            env: b"SWARM_WORKFLOW=w".to_vec(),
            uid: None,
            main: None,
        },
    )?;
    let (mut bare, mut ours, mut words) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let begun = Instant::now();
        let mut child = Command::new("/bin/sleep")
            .arg("5")
            .current_dir("/")
            .process_group(0)
            .spawn()?;
        bare.push(begun.elapsed());
        child.kill()?;
        child.wait()?;
        let launch = launch(&folder, &state, &bundle, as_root, tree.cgroup())?;
        let begun = Instant::now();
        let child = spawn::spawn(launch)?;
        ours.push(begun.elapsed());
        if words.is_empty() {
            let said = protections::read_back(child.pid);
            words = said.words().map(str::to_owned).collect();
        }
        tree.kill()?;
        while child.pidfd.wait()?.is_none() {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    tell("bare", bare);
    tell("sandboxed", ours);
    println!("{}", words.join(", "));
    tree.remove()?;
    trees.close();
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn launch(
    hidden: &Path,
    state: &Path,
    bundle: &Path,
    as_root: bool,
    cgroup: Option<&Path>,
) -> std::io::Result<Launch> {
    let null = || fs::File::create("/dev/null").map(OwnedFd::from);
    Ok(Launch {
        profile: Profile::Workflow,
        argv: vec!["/bin/sleep".into(), "5".into()],
        env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        workdir: state.into(),
        user: as_root.then(|| Ids {
            uid: USER,
            gid: USER,
            groups: Vec::new(),
        }),
        stdout: null()?,
        stderr: null()?,
        extra: None,
        cgroup: cgroup.map(Path::to_owned),
        limits: Limits::default(),
        sandbox: Sandbox::default(),
        read: vec![bundle.into()],
        write: vec![state.into()],
        stand_ins: Vec::new(),
        hide: vec![hidden.into()],
        join: None,
    })
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    println!("{what:>10}  median {:>9.3?}  p99 {:>9.3?}", at(50), at(99));
}
