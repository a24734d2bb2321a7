//! What a fork of ours costs: the heap of the supervisor's process stays there. One test in a process of its own, for it is the process
//! that is changed.

mod os_world;

use os_world::World;
use std::fs;
use swarm_manifests::status::LastExit;
use swarm_supervisor::os::pages;

#[test]
fn a_child_comes_to_its_program_without_a_page_of_the_heap() {
    let world = World::new();
    pages::keep_heap_from_children();
    for round in 0..3 {
        let mut launch = world.shell("echo \"$0 $LONG\" | wc -c", 64_779);
        launch.argv.push("zero".into());
        launch.env.insert("LONG".into(), "x".repeat(60_000).into());
        let done = world.run(launch);
        assert_eq!(done.exit, LastExit::Code { code: 0 }, "{}", done.err);
        assert_eq!(done.out.trim(), "60006", "round {round}");
    }
    let mut failing = world.shell("", 64_779);
    failing.argv = vec!["no-such-program".into()];
    let error = world.spawn(failing).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "execute no-such-program: No such file or directory"
    );
    let smaps = fs::read_to_string("/proc/self/smaps").expect("our mappings");
    let heap = smaps.split_once("[heap]").expect("a heap").1;
    let flags = heap.lines().find(|line| line.starts_with("VmFlags:"));
    let flags = flags.expect("its flags");
    assert!(flags.contains(" dc"), "it is copied by a fork: {flags}");
}
