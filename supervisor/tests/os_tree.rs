//! Whole trees: whatever a program forks, it is found and ended, with cgroups and without.

mod os_world;

use os_world::{World, root, until};
use swarm_manifests::{bundle::Limits, name::Name, units::ByteSize};
use swarm_supervisor::os::tree::{Marks, Tree, Trees};

/// Every test has users of its own: trees are also known by them.
const UID: u32 = 64_880;

/// Each with cgroups, where this box lets us, and without.
fn both(world: &World) -> Vec<Trees> {
    let with = Trees::open(&world.top, None);
    let mut both = vec![Trees::without_cgroups()];
    if with.describe().starts_with("cgroup v2 /") {
        both.push(with);
    } else {
        assert!(
            !root(),
            "root has a cgroup2 mount here: {}",
            with.describe()
        );
    }
    both
}

fn tree(trees: &Trees, world: &World, uid: u32) -> Tree {
    let marks = Marks {
        env: format!("SWARM_STATE={}", world.state.display()).into_bytes(),
        uid: root().then_some(uid),
        main: None,
    };
    trees
        .tree(&Name::new("ramp").expect("a name"), 0, marks)
        .expect("a tree")
}

fn end(tree: Tree) {
    until("the tree is gone", || {
        tree.kill().expect("killed");
        tree.is_gone()
    });
    swarm_supervisor::os::identity::reap_orphans(&|_| false);
    tree.remove().expect("removed");
}

#[test]
fn what_forks_twice_and_leaves_its_session_is_killed_with_the_rest() {
    let world = World::new();
    for trees in both(&world) {
        let mut tree = tree(&trees, &world, UID);
        // Ignores TERM, leaves the session, and its parent ends.
        let script = "trap '' TERM HUP; (setsid sh -c 'trap \"\" TERM; echo deep $$; sleep 600 & wait') & (setsid sleep 601 &) ; echo up; wait";
        let mut launch = world.shell(script, UID);
        launch.cgroup = tree.cgroup().map(Into::into);
        let child = world.spawn(launch).expect("started");
        tree.set_main(child.pid);
        world.wait_for("deep");
        until("all four and more are seen", || tree.pids().len() >= 4);
        assert!(!tree.is_gone());
        assert!(tree.signal(libc::SIGTERM).expect("signalled") >= 4);
        assert!(tree.has(child.pid));
        tree.kill().expect("killed");
        world.wait(&child.pidfd);
        let pids = tree.pids();
        end(tree);
        assert!(
            pids.iter()
                .all(|pid| !std::path::Path::new(&format!("/proc/{pid}/exe")).exists())
        );
        trees.close();
    }
}

#[test]
fn a_tree_is_found_again_by_its_name_after_we_were_gone() {
    let world = World::new();
    for trees in both(&world) {
        let first = tree(&trees, &world, UID + 1);
        let mut launch = world.shell("echo up; sleep 600 & wait", UID + 1);
        launch.cgroup = first.cgroup().map(Into::into);
        let child = world.spawn(launch).expect("started");
        world.wait_for("up");
        drop(first);
        let again = tree(&trees, &world, UID + 1);
        assert!(again.has(child.pid), "{}", trees.describe());
        assert!(again.usage().processes >= 1 && again.usage().memory_bytes > 0);
        again.kill().expect("killed");
        world.wait(&child.pidfd);
        end(again);
        trees.close();
    }
}

#[test]
fn an_event_says_when_the_last_process_is_gone() {
    let world = World::new();
    for trees in both(&world) {
        let tree = tree(&trees, &world, UID + 2);
        let Some(events) = tree.events() else {
            continue;
        };
        let mut launch = world.shell("(sleep 0.2 &); exit 0", UID + 2);
        launch.cgroup = tree.cgroup().map(Into::into);
        let child = world.spawn(launch).expect("started");
        world.wait(&child.pidfd);
        while !tree.is_gone() {
            let mut poll = [nix::poll::PollFd::new(
                events,
                nix::poll::PollFlags::POLLPRI,
            )];
            assert!(
                nix::poll::poll(&mut poll, 5000_u16).expect("poll") > 0,
                "the event comes"
            );
        }
        end(tree);
        trees.close();
    }
}

#[test]
fn a_fork_bomb_is_ended() {
    let world = World::new();
    for trees in both(&world) {
        let mut tree = tree(&trees, &world, UID + 3);
        let limits = Limits {
            pids: Some(50),
            ..Limits::default()
        };
        let limited = tree.limit(&limits);
        let mut launch = world.shell("f() { f | f & }; echo up; f; sleep 60", UID + 3);
        launch.limits = Limits {
            pids: limited.rest.pids.filter(|_| root()),
            ..Limits::default()
        };
        launch.cgroup = tree.cgroup().map(Into::into);
        if launch.limits.pids.is_none() && limited.enforced.is_empty() {
            // Nothing here would hold it.
            continue;
        }
        let child = world.spawn(launch).expect("started");
        tree.set_main(child.pid);
        world.wait_for("up");
        tree.kill().expect("killed");
        world.wait(&child.pidfd);
        end(tree);
        trees.close();
    }
}

#[test]
fn memory_is_limited_by_somebody_and_it_is_said_by_whom() {
    let world = World::new();
    for trees in both(&world) {
        let mut tree = tree(&trees, &world, UID + 4);
        let limited = tree.limit(&Limits {
            memory: Some(ByteSize(64 << 20)),
            ..Limits::default()
        });
        assert_eq!(limited.enforced.len() + limited.missing.len(), 1);
        let mut launch = world.shell("", UID + 4);
        launch.argv = vec![
            "python3".into(),
            "-c".into(),
            "print('up'); x = bytearray(200 << 20); print('got it')".into(),
        ];
        launch.limits = limited.rest;
        launch.cgroup = tree.cgroup().map(Into::into);
        let done = world.run(launch);
        assert!(!done.out.contains("got it"), "{}{}", done.out, done.err);
        end(tree);
        trees.close();
    }
}

#[test]
fn an_ordinary_user_gets_all_of_this_as_far_as_it_goes() {
    os_world::again_as_ordinary_user("an_ordinary_user_gets");
}
