//! Packs from outside: good ones become objects, others an error, and an index that lies is found out.

mod world;

use std::{fs, io::Cursor, process::Stdio};
use swarm_manifests::id::Oid;
use swarm_repository::{
    compact,
    index::{self, IndexError, Limits},
    objects::{ObjectError, Objects},
};
use world::{World, listing};

fn pack(world: &World, revs: &str) -> Vec<u8> {
    let mut command = world.command("git");
    command.args(["pack-objects", "--revs", "--stdout", "-q"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), revs.as_bytes())
        .expect("git reads");
    child.wait_with_output().expect("git ends").stdout
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().expect("folder"),
        };
        fs::create_dir(place.quarantine()).expect("folder");
        Objects::open(&place.mirror(), true).expect("mirror");
        place
    }
    fn quarantine(&self) -> std::path::PathBuf {
        self.folder.path().join("quarantine")
    }
    fn mirror(&self) -> std::path::PathBuf {
        self.folder.path().join("mirror")
    }
}

#[test]
fn a_pack_becomes_objects_of_the_mirror() {
    let world = World::new();
    let place = Place::new();
    let bytes = pack(&world, "HEAD\n");
    let summary =
        index::index(Cursor::new(&bytes), &place.quarantine(), Limits::default()).expect("indexed");
    assert_eq!((summary.objects, summary.bytes), (3, bytes.len() as u64));
    let mirror = Objects::open(&place.mirror(), false).expect("mirror");
    assert!(!mirror.has(world.head()));
    assert_eq!(
        index::adopt(&place.quarantine(), &place.mirror()).expect("adopted"),
        1
    );
    assert!(mirror.has(world.head()), "without opening it again");
    assert_eq!(listing(&place.quarantine()), Vec::<String>::new());
}

#[test]
fn a_pack_cut_off_or_changed_anywhere_leaves_nothing_to_adopt() {
    let world = World::new();
    let good = pack(&world, "HEAD\n");
    for at in (0..good.len()).step_by(7) {
        let place = Place::new();
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        for bytes in [&good[..at], &flipped] {
            let refused = index::index(Cursor::new(bytes), &place.quarantine(), Limits::default());
            assert!(refused.is_err() || at == 0 && bytes.is_empty(), "byte {at}");
            index::adopt(&place.quarantine(), &place.mirror()).expect("nothing to adopt");
            assert_eq!(
                listing(&place.mirror().join("objects/pack")),
                Vec::<String>::new(),
                "byte {at}"
            );
        }
    }
}

#[test]
fn a_pack_over_a_limit_ends_at_the_limit() {
    let world = World::new();
    let place = Place::new();
    let bytes = pack(&world, "HEAD\n");
    let limits = Limits {
        bytes: 100,
        ..Limits::default()
    };
    assert!(matches!(
        index::index(std::io::repeat(7), &place.quarantine(), limits),
        Err(IndexError::Bytes(100) | IndexError::Damaged(_))
    ));
    assert!(matches!(
        index::index(Cursor::new(&bytes), &place.quarantine(), limits),
        Err(IndexError::Bytes(100))
    ));
    let limits = Limits {
        objects: 2,
        ..Limits::default()
    };
    assert!(matches!(
        index::index(Cursor::new(&bytes), &place.quarantine(), limits),
        Err(IndexError::Objects(2))
    ));
}

#[test]
fn a_small_pack_that_unfolds_into_a_huge_blob_is_refused_by_its_size_before_it_is_read() {
    let world = World::empty();
    world.write("policy.toml", "");
    fs::write(world.deploy().join("huge"), vec![0; 64 << 20]).expect("file");
    world.commit("alice", "bomb");
    let place = Place::new();
    let bytes = pack(&world, "HEAD\n");
    assert!(bytes.len() < 1 << 20);
    index::index(Cursor::new(&bytes), &place.quarantine(), Limits::default()).expect("indexed");
    index::adopt(&place.quarantine(), &place.mirror()).expect("adopted");
    let mirror = Objects::open(&place.mirror(), false).expect("mirror");
    let huge = world.id("HEAD:huge");
    assert!(
        matches!(mirror.blob(huge, 11), Err(ObjectError::TooLarge { size, limit: 11, .. }) if size == 64 << 20)
    );
}

/// Swaps two ids in a pack index and mends its checksums: what an indexer that was taken over could leave.
fn swap_ids(idx: &mut [u8]) -> (Oid, Oid) {
    use sha1::{Digest, Sha1};
    let names = 8 + 256 * 4;
    let count = u32::from_be_bytes(idx[names - 4..names].try_into().expect("four")) as usize;
    let offsets = names + 24 * count;
    let (a, b) = (
        idx[offsets..offsets + 4].to_vec(),
        idx[offsets + 4..offsets + 8].to_vec(),
    );
    idx[offsets..offsets + 4].copy_from_slice(&b);
    idx[offsets + 4..offsets + 8].copy_from_slice(&a);
    let end = idx.len() - 20;
    let sum = Sha1::digest(&idx[..end]);
    idx[end..].copy_from_slice(&sum);
    let id = |at: usize| {
        Oid(idx[names + 20 * at..names + 20 * (at + 1)]
            .try_into()
            .expect("twenty"))
    };
    (id(0), id(1))
}

#[test]
fn an_index_that_gives_one_object_the_id_of_another_is_not_believed() {
    let world = World::empty();
    world.write("one", "the one");
    world.write("two", "the other");
    world.git(["add", "-A"]);
    let ids = format!(
        "{}\n{}\n",
        world.git(["rev-parse", ":one"]),
        world.git(["rev-parse", ":two"])
    );
    let packed = world.git_with(["pack-objects", "-q", ".git/pack"], ids.as_bytes());
    let place = Place::new();
    let file = |end: &str| world.deploy().join(format!(".git/pack-{packed}.{end}"));
    let mut idx = fs::read(file("idx")).expect("index");
    let (one, two) = swap_ids(&mut idx);
    fs::write(place.quarantine().join(format!("pack-{packed}.idx")), idx).expect("index");
    fs::copy(
        file("pack"),
        place.quarantine().join(format!("pack-{packed}.pack")),
    )
    .expect("pack");
    assert_eq!(
        index::adopt(&place.quarantine(), &place.mirror()).expect("adopted"),
        1
    );
    let mirror = Objects::open(&place.mirror(), false).expect("mirror");
    for id in [one, two] {
        assert!(
            matches!(mirror.blob(id, 1000), Err(ObjectError::Git(_))),
            "{:?}",
            mirror.blob(id, 1000)
        );
    }
}

#[test]
fn nothing_but_packs_is_taken_out_of_the_quarantine() {
    let place = Place::new();
    let name = format!("pack-{}", "a".repeat(40));
    for file in [
        "alternates",
        "pack-short.idx",
        "pack-short.pack",
        "tmp_pack_x",
        &format!("{name}.keep"),
        &format!("{name}.idx"),
    ] {
        fs::write(place.quarantine().join(file), "x").expect("file");
    }
    assert_eq!(
        index::adopt(&place.quarantine(), &place.mirror()).expect("nothing"),
        0
    );
    std::os::unix::fs::symlink(
        "/etc/passwd",
        place.quarantine().join(format!("{name}.pack")),
    )
    .expect("link");
    assert!(
        index::adopt(&place.quarantine(), &place.mirror()).is_err(),
        "a link is not followed"
    );
    assert_eq!(
        listing(&place.mirror().join("objects/pack")),
        Vec::<String>::new()
    );
    index::clear(&place.quarantine(), &place.mirror()).expect("cleared");
    assert_eq!(listing(&place.quarantine()), Vec::<String>::new());
}

/// A mirror with one small pack more than are left alone; gives the commits in them.
fn crowded(world: &World, place: &Place) -> Vec<Oid> {
    let mut before = String::new();
    let mut heads = Vec::new();
    for n in 0..=compact::MANY {
        world.write("f", &format!("{n}"));
        heads.push(world.commit("alice", "one more"));
        adopted(world, place, &before);
        before = format!("^{}\n", world.head());
    }
    heads
}

fn adopted(world: &World, place: &Place, before: &str) {
    let bytes = pack(world, &format!("HEAD\n{before}"));
    index::index(Cursor::new(&bytes), &place.quarantine(), Limits::default()).expect("indexed");
    index::adopt(&place.quarantine(), &place.mirror()).expect("adopted");
}

#[test]
fn many_small_packs_become_one_that_has_every_object() {
    let world = World::new();
    let place = Place::new();
    let heads = crowded(&world, &place);
    let files = listing(&place.mirror().join("objects/pack"));
    assert_eq!(files.len(), 2 * (compact::MANY + 1));
    assert_eq!(
        compact::compact(&place.mirror()).expect("compact"),
        compact::MANY + 1
    );
    assert_eq!(listing(&place.mirror().join("objects/pack")).len(), 2);
    let mirror = Objects::open(&place.mirror(), false).expect("mirror");
    assert!(heads.iter().all(|head| mirror.commit(*head).is_ok()));
    assert_eq!(compact::compact(&place.mirror()).expect("again"), 0);
    let fsck = world
        .command("git")
        .args([
            "--git-dir",
            place.mirror().to_str().expect("text"),
            "fsck",
            "--strict",
        ])
        .output();
    assert!(fsck.expect("git").status.success());
}

#[test]
fn what_comes_while_packs_are_joined_stays_and_what_is_open_goes_on_reading() {
    let world = World::new();
    let place = Place::new();
    let mut heads = crowded(&world, &place);
    let open = Objects::open(&place.mirror(), false).expect("mirror");
    let left = place.mirror().join("objects/joining");
    fs::create_dir(&left).expect("what a killed one left");
    fs::write(left.join("pack_1.pack"), "half a pack").expect("written");
    let joined = compact::join(&place.mirror())
        .expect("joined")
        .expect("it is worth it");
    assert!(!left.exists(), "nothing stays aside");
    assert!(heads.iter().all(|head| open.commit(*head).is_ok()));
    world.write("f", "later");
    heads.push(world.commit("alice", "while it was under way"));
    adopted(&world, &place, &format!("^{}\n", heads[compact::MANY]));
    assert_eq!(joined.retire().expect("retired"), compact::MANY + 1);
    assert_eq!(listing(&place.mirror().join("objects/pack")).len(), 4);
    let open = open.reopen().expect("opened again");
    assert!(heads.iter().all(|head| open.commit(*head).is_ok()));
}

#[test]
fn what_an_agent_took_over_and_did_not_see_on_the_disk_goes_with_it() {
    let world = World::new();
    let place = Place::new();
    let bytes = pack(&world, "HEAD\n");
    for is_settled in [false, true] {
        let folder = place.quarantine().join("pack-one");
        fs::create_dir(&folder).expect("folder");
        index::index(Cursor::new(&bytes), &folder, Limits::default()).expect("indexed");
        let adopted = index::take_over(&folder, &place.mirror()).expect("taken over");
        let mirror = Objects::open(&place.mirror(), false).expect("mirror");
        assert!(
            mirror.commit(world.head()).is_ok(),
            "it can be read at once"
        );
        if is_settled {
            adopted.settle().expect("settled");
            fs::remove_dir_all(&folder).expect("removed");
        }
        index::clear(&place.quarantine(), &place.mirror()).expect("cleared");
        assert_eq!(listing(&place.quarantine()), Vec::<String>::new());
        let left = listing(&place.mirror().join("objects/pack"));
        assert_eq!(left.len(), if is_settled { 2 } else { 0 }, "{left:?}");
    }
}

#[test]
fn a_mirror_that_was_half_made_when_its_maker_was_killed_is_made_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let mirror = folder.path().join("mirror");
    fs::create_dir_all(mirror.join("objects/info")).expect("half a mirror");
    assert!(Objects::open(&mirror, false).is_err());
    Objects::open(&mirror, true).expect("made whole");
    Objects::open(&mirror, false).expect("whole");
}
