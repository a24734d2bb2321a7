//! What is written is what git would have written.

mod world;

use std::{collections::BTreeMap, fs, path::PathBuf};
use swarm_manifests::id::Digest;
use swarm_repository::{
    objects::Kind,
    tree::Mode,
    write::{Changes, Writer, id_of},
};
use world::World;

#[test]
fn a_blob_has_the_id_that_git_gives_it_and_git_reads_it() {
    let world = World::empty();
    let writer = Writer::open(&world.deploy()).expect("writer");
    let file = world.folder.path().join("file");
    for text in [&b""[..], b"hello\r\n", &vec![7; 20 << 20]] {
        fs::write(&file, text).expect("file");
        let blob = writer.blob_from_file(&file).expect("written");
        assert_eq!(
            blob.id.to_string(),
            world.git([
                "hash-object",
                "--no-filters",
                "--",
                file.to_str().expect("text")
            ])
        );
        assert_eq!(
            (blob.hash, blob.size),
            (Digest::of(text), text.len() as u64)
        );
        assert_eq!(
            world.git(["cat-file", "-s", &blob.id.to_string()]),
            text.len().to_string()
        );
    }
    world.git(["fsck", "--strict"]);
}

#[test]
fn line_endings_stay_whatever_the_attributes_say() {
    let world = World::empty();
    world.write(".gitattributes", "* text eol=lf\n");
    world.git(["config", "core.autocrlf", "true"]);
    let file = world.deploy().join("dos.txt");
    fs::write(&file, "a\r\nb\r\n").expect("file");
    let blob = Writer::open(&world.deploy())
        .expect("writer")
        .blob_from_file(&file)
        .expect("written");
    assert_eq!(blob.id, id_of(Kind::Blob, b"a\r\nb\r\n"));
}

#[test]
fn many_files_come_back_in_the_order_given() {
    let world = World::empty();
    let paths: Vec<PathBuf> = (0..300)
        .map(|n| world.folder.path().join(format!("f{n}")))
        .collect();
    for (n, path) in paths.iter().enumerate() {
        fs::write(path, format!("file {n}")).expect("file");
    }
    let blobs = Writer::open(&world.deploy())
        .expect("writer")
        .blobs_from_files(&paths)
        .expect("written");
    for (n, blob) in blobs.iter().enumerate() {
        assert_eq!(blob.id, id_of(Kind::Blob, format!("file {n}").as_bytes()));
    }
}

#[test]
fn an_object_that_is_there_is_not_written_again() {
    let world = World::new();
    world.write("f", "text");
    world.commit("alice", "f");
    world.git(["repack", "-adq"]);
    let writer = Writer::open(&world.deploy()).expect("writer");
    let id = writer.blob(b"text").expect("written");
    assert_eq!(id, world.id("HEAD:f"));
    assert!(
        !world
            .deploy()
            .join(".git/objects")
            .join(&id.to_string()[..2])
            .exists()
    );
}

#[test]
fn a_changed_tree_is_the_one_that_git_makes() {
    let world = World::empty();
    for path in ["a", "a.b/x", "ab/y/z", "gone/only", "keep/one", "keep/two"] {
        world.write(path, path);
    }
    let base = world.commit("alice", "base");
    let writer = Writer::open(&world.deploy()).expect("writer");
    let new = writer.blob(b"new").expect("blob");
    let changes: Changes = BTreeMap::from([
        ("gone/only".into(), None),
        ("a".into(), Some((Mode::Executable, new))),
        ("ab/y/z".into(), Some((Mode::File, new))),
        ("deep/er/and/deeper".into(), Some((Mode::Link, new))),
        ("keep/absent/file".into(), None),
    ]);
    let tree = writer
        .update_tree(Some(world.id(&format!("{base}^{{tree}}"))), &changes)
        .expect("tree");
    world.remove("gone/only");
    world.git([
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("100755,{new},a"),
    ]);
    world.git([
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("100644,{new},ab/y/z"),
    ]);
    world.git([
        "update-index",
        "--add",
        "--cacheinfo",
        &format!("120000,{new},deep/er/and/deeper"),
    ]);
    assert_eq!(tree.to_string(), world.git(["write-tree"]));
    world.git(["fsck", "--strict"]);
}

#[test]
fn a_tree_that_could_not_be_read_is_not_written() {
    let world = World::empty();
    let writer = Writer::open(&world.deploy()).expect("writer");
    let blob = writer.blob(b"").expect("blob");
    for name in ["", "a/b"] {
        assert!(
            writer.tree(&[(Mode::File, name, blob)]).is_err(),
            "{name:?}"
        );
    }
    assert!(
        writer
            .tree(&[(Mode::File, "a", blob), (Mode::Executable, "a", blob)])
            .is_err()
    );
}
