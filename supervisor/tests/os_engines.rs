//! The engines that people use start in the default sandbox, with a limit on memory however it is enforced here.

mod os_world;

use os_world::World;
use swarm_manifests::{status::LastExit, units::ByteSize};

const UID: u32 = 64_990;

fn says(words: &[&str], wanted: &str) {
    let world = World::new();
    let mut launch = world.shell("", UID);
    launch.argv = words.iter().map(Into::into).collect();
    launch.env.insert("HOME".into(), world.state.clone().into());
    launch.env.insert("LANG".into(), "C.UTF-8".into());
    launch.limits.memory = Some(ByteSize(256 << 20));
    let done = world.run(launch);
    assert_eq!(
        (done.exit, done.out.as_str()),
        (LastExit::Code { code: 0 }, wanted),
        "{}",
        done.err
    );
}

#[test]
fn node_runs() {
    says(
        &[
            "node",
            "-e",
            "require('fs').writeFileSync('f', 'x'); setTimeout(() => console.log('node'), 10)",
        ],
        "node\n",
    );
}

#[test]
fn python_runs_with_its_semaphores() {
    says(
        &[
            "python3",
            "-c",
            "import multiprocessing as m, ssl, socket; m.Lock(); print('python')",
        ],
        "python\n",
    );
}

#[test]
fn the_beam_runs() {
    says(&["elixir", "-e", "IO.puts(\"beam\")"], "beam\n");
}
