//! A start from a process with thousands of descriptors: the child has a few of them, and ours stay as they are. One test in a process of
//! its own, for it is the numbers of its descriptors that matter.

mod os_world;

use os_world::{World, until};
use std::{
    fs::{self, File},
    os::fd::AsFd as _,
};
use swarm_manifests::status::LastExit;
use swarm_supervisor::os::{
    seats::Seats,
    spawn::{self, Birth},
};

const UID: u32 = 64_780;
/// More than there are rows: the last ones start as ever.
const MANY: usize = 20;

#[test]
fn a_seated_child_has_a_table_of_its_own_and_none_of_our_many_descriptors() {
    let world = World::new();
    let seats = Seats::new().expect("descriptors").expect("free numbers");
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 4096, 4096)
        .expect("a limit");
    let null = File::open("/dev/null").expect("open");
    let ours: Vec<_> = (0..3000)
        .map(|_| null.as_fd().try_clone_to_owned().expect("a copy"))
        .collect();
    let begun: Vec<Birth> = (0..MANY)
        .map(|_| {
            let launch = world.shell("ls /proc/self/fd | wc -l", UID);
            spawn::begin_seated(launch, &seats).expect("begun")
        })
        .collect();
    for (number, birth) in begun.iter().enumerate().take(16) {
        let table = format!("/proc/{}/fd", birth.pid);
        until(&format!("child {number} is apart"), || {
            fs::read_dir(&table).expect("its table").count() < 200
        });
    }
    for birth in begun.into_iter().rev() {
        birth.report.let_go();
        let mut outcome = None;
        until("it comes to its program", || {
            outcome = birth.report.outcome();
            outcome.is_some()
        });
        assert_eq!(outcome, Some(Ok(())));
        assert_eq!(world.wait(&birth.pidfd), LastExit::Code { code: 0 });
        world.wait_for("4\n");
    }
    let mut failing = world.shell("", UID);
    failing.argv = vec!["no-such-program".into()];
    let birth = spawn::begin_seated(failing, &seats).expect("begun");
    birth.report.let_go();
    let mut outcome = None;
    until("it says why not", || {
        outcome = birth.report.outcome();
        outcome.is_some()
    });
    let error = outcome.expect("said").expect_err("refused");
    assert_eq!(error.errno, 2, "{error}");
    spawn::end(&birth.pidfd);
    for fd in &ours {
        nix::sys::stat::fstat(fd).expect("still open");
    }
}
