//! Links that some system takes for .gitmodules: the other judge is git's own fsck.

mod world;

use swarm_manifests::id::Oid;
use swarm_repository::{allowed::why_not, changes::Change, tree::Mode};
use world::World;

/// What is to be refused, and what only looks like it.
const NAMES: [&str; 30] = [
    ".gitmodules",
    ".GitModules",
    ".gitmodules . .",
    ".gitmodules:x",
    ".gitmodules ::$DATA",
    "gitmod~1",
    "GITMOD~2",
    "gitmod~4. ",
    "gitmod~5",
    "gitmod~0",
    "gitmod~12",
    "gitmod~",
    "gi7eba~1",
    "GI7EBA~9",
    "gi7eba~0",
    "gi7eb~10",
    "gi7eb~01",
    "gi7~1234",
    "~1234567",
    "gi7eba~12",
    "gi7ebb~1",
    "gi7eba~1.x",
    ".git\u{200c}modules",
    ".gitmodules\u{feff}",
    ".git\u{200b}modules",
    "a\\.gitmodules",
    "a\\gitmod~1",
    ".gitmodules.txt",
    ".gitmodule",
    "gitmodules",
];

/// What git says of a tree that holds one link with this name.
fn fsck(world: &World, name: &str) -> String {
    let target = world.git_with(["hash-object", "-w", "--stdin"], b"target");
    let entry = format!("120000 blob {target}\t{name}\0");
    let tree = world.git_with(["mktree", "-z"], entry.as_bytes());
    let said = world.try_git(["fsck", "--strict", "--no-dangling"]);
    // It looks at every object there is.
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    said.lines().filter(|line| line.contains(&tree)).collect()
}

#[test]
fn a_link_that_git_takes_for_gitmodules_is_not_allowed_and_no_other() {
    let world = World::empty();
    for name in NAMES {
        let words = fsck(&world, name);
        let change = Change {
            path: name,
            raw: name.as_bytes(),
            is_text: true,
            old: None,
            new: Some((Mode::Link, Oid([0; 20]))),
        };
        let ours = why_not(&change, Mode::Link);
        assert_eq!(
            ours.is_some(),
            words.contains("gitmodulesSymlink"),
            "{name:?}: git says {words:?}, we say {ours:?}"
        );
    }
}
