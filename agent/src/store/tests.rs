use super::*;
use swarm_manifests::{lock::Entry, name::Name};

fn lock_of(files: &[(&str, Kind, &[u8])]) -> Lock {
    let entry = |(path, kind, bytes): &(&str, Kind, &[u8])| Entry {
        hash: Digest::of(bytes),
        kind: *kind,
        size: bytes.len() as u64,
        path: (*path).into(),
    };
    Lock::new(
        Name::new("ramp").expect("a name"),
        "1.0.0".parse().expect("a version"),
        files.iter().map(entry).collect(),
    )
    .expect("a lock")
}

const FILES: [(&str, Kind, &[u8]); 4] = [
    ("bin/run", Kind::Executable, b"#!/bin/sh\n"),
    ("bundle.toml", Kind::Plain, b"name"),
    ("deep/er/file", Kind::Plain, b""),
    ("link", Kind::Link, b"bin/run"),
];

fn put(
    store: &Store,
    lock: &Lock,
    mut file: impl FnMut(usize) -> Result<Vec<u8>, StoreError>,
) -> Result<PathBuf, StoreError> {
    let text = lock.text();
    store.put(Parcel {
        lock,
        text: text.as_bytes(),
        signature: Some(b"sig"),
        file: &mut file,
    })
}

fn bytes_of(lock: &Lock) -> impl FnMut(usize) -> Result<Vec<u8>, StoreError> + '_ {
    |at| {
        Ok(FILES
            .iter()
            .find(|file| file.0 == lock.entries()[at].path)
            .expect("listed")
            .2
            .to_vec())
    }
}

fn world() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(&dir.path().join("store")).expect("opened");
    (dir, store)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("there").mode() & 0o7777
}

#[test]
fn a_bundle_is_stored_read_only_and_whole() {
    let (_dir, store) = world();
    let lock = lock_of(&FILES);
    let path = put(&store, &lock, bytes_of(&lock)).expect("stored");
    assert_eq!(path, store.path(lock.digest()));
    let modes = [
        "tree/bin/run",
        "tree/bundle.toml",
        "tree/deep/er",
        "tree",
        "",
        "bundle.lock",
    ]
    .map(|file| mode(&path.join(file)));
    assert_eq!(modes, [0o555, 0o444, 0o555, 0o555, 0o555, 0o444]);
    assert_eq!(
        fs::read_link(path.join("tree/link")).expect("a link"),
        Path::new("bin/run")
    );
    assert!(store.has(lock.digest()));
    assert_eq!(
        store.file(lock.digest(), "bundle.toml").as_deref(),
        Some(&b"name"[..])
    );
}

#[test]
fn other_bytes_than_listed_leave_nothing_behind() {
    let (_dir, store) = world();
    let lock = lock_of(&FILES);
    for wrong in [&b"#!/bin/sH\n"[..], b"", b"#!/bin/sh\nmore"] {
        let outcome = put(&store, &lock, |at| {
            Ok(if lock.entries()[at].path == "bin/run" {
                wrong.to_vec()
            } else {
                FILES[at].2.to_vec()
            })
        });
        assert!(
            matches!(outcome, Err(StoreError::Refused(refusal)) if refusal.rule.id == "S-BUNDLE-05")
        );
    }
    assert_eq!(store.entries().count(), 0);
    assert!(!store.has(lock.digest()));
}

#[test]
fn a_folder_made_beforehand_is_not_taken_for_the_bundle() {
    let (dir, store) = world();
    let lock = lock_of(&FILES);
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("precious"), "x").expect("written");
    std::os::unix::fs::symlink(&outside, store.path(lock.digest())).expect("a link");
    assert!(!store.has(lock.digest()));
    let path = put(&store, &lock, bytes_of(&lock)).expect("stored");
    assert!(fs::symlink_metadata(&path).expect("there").is_dir());
    assert!(
        outside.join("precious").exists(),
        "what the link named is left alone"
    );
}

#[test]
fn a_store_that_others_may_write_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().join("store");
    fs::create_dir(&root).expect("made");
    fs::set_permissions(&root, Permissions::from_mode(0o777)).expect("opened up");
    assert!(matches!(Store::open(&root), Err(StoreError::Refused(_))));
    fs::remove_dir(&root).expect("removed");
    std::os::unix::fs::symlink(dir.path(), &root).expect("a link");
    assert!(matches!(Store::open(&root), Err(StoreError::Refused(_))));
}

#[test]
fn what_a_killed_agent_left_half_done_is_cleared_away() {
    let (dir, store) = world();
    let half = dir.path().join("store/new-0011/tree");
    fs::create_dir_all(&half).expect("made");
    fs::set_permissions(&half, Permissions::from_mode(0o555)).expect("sealed");
    let lock = lock_of(&FILES);
    put(&store, &lock, bytes_of(&lock)).expect("stored");
    let store = Store::open(&dir.path().join("store")).expect("opened");
    assert_eq!(
        store.entries().map(|(name, _)| name).collect::<Vec<_>>(),
        [lock.digest().hex()]
    );
}

#[test]
fn only_what_is_kept_is_kept() {
    let (_dir, store) = world();
    let (one, two) = (lock_of(&FILES), lock_of(&FILES[..2]));
    put(&store, &one, bytes_of(&one)).expect("stored");
    put(&store, &two, bytes_of(&two)).expect("stored");
    assert_eq!(store.collect(&BTreeSet::from([one.digest()])), 1);
    assert!(store.has(one.digest()) && !store.has(two.digest()));
    store.discard(one.digest());
    assert!(!store.has(one.digest()));
}

#[test]
fn what_cannot_be_read_now_blocks_and_is_not_refused() {
    let (_dir, store) = world();
    let lock = lock_of(&FILES);
    let away = || StoreError::Blocked(Refusal::new(&rules::run::DISK, "away"));
    assert!(matches!(
        put(&store, &lock, |_| Err(away())),
        Err(StoreError::Blocked(_))
    ));
    assert_eq!(store.entries().count(), 0);
}

#[test]
fn links_that_lead_out_through_one_another_are_never_made() {
    for (links, why) in [
        (
            &[("x/y/up", "../.."), ("out", "x/y/up/../etc")][..],
            "out through another",
        ),
        (&[("a", "b"), ("b", "a")][..], "a circle"),
        (&[("a", "/etc")][..], "absolute"),
        (&[("d/a", "../../etc")][..], "out"),
    ] {
        let (_dir, store) = world();
        let entries = links.iter().map(|(path, target)| Entry {
            hash: Digest::of(target.as_bytes()),
            kind: Kind::Link,
            size: target.len() as u64,
            path: (*path).into(),
        });
        let lock = Lock::new(
            Name::new("links").expect("a name"),
            semver::Version::new(1, 0, 0),
            entries.collect(),
        )
        .expect("a lock");
        let target = |at: usize| {
            let path = lock.entries()[at].path.as_str();
            let found = links.iter().find(|(link, _)| *link == path);
            Ok(found.expect("listed").1.as_bytes().to_vec())
        };
        let outcome = put(&store, &lock, target);
        assert!(
            matches!(&outcome, Err(StoreError::Refused(refusal)) if refusal.rule.id == "S-BUNDLE-10"),
            "{why}: {outcome:?}"
        );
        assert_eq!(store.entries().count(), 0, "{why} left something behind");
    }
}
