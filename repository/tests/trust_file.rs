//! What is trusted survives a restart, moves forward only, and is never made up.

mod world;

use std::{fs, path::Path, sync::Arc};
use swarm_manifests::{
    id::{Digest, Oid},
    name::Name,
    settings::Trust,
};
use swarm_repository::{
    trust_file::{Loaded, load, note, save, settle},
    trusted::{Brought, BroughtBundle, BroughtFile, Seal, Trusted},
};
use world::listing;

fn trust() -> Trust {
    Trust {
        introduction: Oid([1; 20]),
        policy: Digest([2; 32]),
        position: 5,
    }
}

fn introduced() -> Trusted {
    Trusted {
        introduction: Oid([1; 20]),
        policy_sha256: Digest([2; 32]),
        start: 5,
        head: Oid([1; 20]),
        position: 5,
        manifests: Arc::default(),
        bundles: Arc::default(),
        files: Arc::default(),
    }
}

fn brought(path: &str, position: u64) -> Brought {
    let by = Name::new("alice").expect("a name");
    Brought {
        path: path.into(),
        commit: Oid([7; 20]),
        position,
        by,
        key: "SHA256:x".into(),
        time: "2026-01-01T00:00:00Z".into(),
    }
}

/// The state after one more commit that brings a manifest and a bundle, and now and then removes a manifest.
fn next(before: &Trusted) -> Trusted {
    let mut after = before.clone();
    after.position += 1;
    let n = after.position;
    after.head = Oid(std::array::from_fn(|at| {
        u8::try_from(n >> (8 * (at % 4)) & 255).expect("a byte")
    }));
    let path = format!("manifests/w{}.toml", n % 10);
    let manifests = Arc::make_mut(&mut after.manifests);
    if n.is_multiple_of(7) {
        manifests.remove(path.as_str());
    } else {
        manifests.insert(path.as_str().into(), Arc::new(brought(&path, n)));
    }
    let bundle = BroughtBundle {
        brought: brought("bundles/b/1", n),
        judged_by: before.head,
        seal: Seal {
            position: n,
            key: "SHA256:x".into(),
            maker: n.is_multiple_of(3).then(|| "SHA256:y".into()),
        },
        digest: n.is_multiple_of(2).then_some(Digest([3; 32])),
        lock: Oid([4; 20]),
    };
    Arc::make_mut(&mut after.bundles).insert(format!("b/1.0.{n}").into(), Arc::new(bundle));
    let path = format!("approvals/w{}/bob.sig", n % 5);
    let files = Arc::make_mut(&mut after.files);
    if n.is_multiple_of(3) {
        files.remove(path.as_str());
    } else {
        let file = BroughtFile {
            brought: brought(&path, n),
            judged_by: before.head,
        };
        files.insert(path.as_str().into(), Arc::new(file));
    }
    after
}

/// A folder in which so many states were saved one after another, and the last one.
fn saved(count: usize) -> (tempfile::TempDir, Trusted) {
    let folder = tempfile::tempdir().expect("folder");
    let mut at = introduced();
    save(folder.path(), None, &at).expect("saved");
    for _ in 0..count {
        let after = next(&at);
        save(folder.path(), Some(&at), &after).expect("saved");
        at = after;
    }
    (folder, at)
}

fn kept(folder: &Path) -> Option<Trusted> {
    match load(folder, &trust()) {
        Loaded::Kept(trusted) => Some(*trusted),
        _ => None,
    }
}

#[test]
fn what_was_saved_is_loaded() {
    for count in [0, 1, 50] {
        let (folder, at) = saved(count);
        assert_eq!(kept(folder.path()), Some(at));
    }
}

#[test]
fn a_folder_never_saved_to_is_new() {
    let folder = tempfile::tempdir().expect("folder");
    assert_eq!(load(folder.path(), &trust()), Loaded::New);
    assert_eq!(load(&folder.path().join("absent"), &trust()), Loaded::New);
}

#[test]
fn a_removed_cut_off_or_changed_file_is_lost_and_never_believed() {
    let (folder, at) = saved(5);
    let files = listing(folder.path());
    assert_eq!(files.len(), 2, "{files:?}");
    for name in &files {
        let path = folder.path().join(name);
        let good = fs::read(&path).expect("file");
        let is_lost = |what: &str| match load(folder.path(), &trust()) {
            Loaded::Lost(refusal) => assert_eq!(refusal.rule.id, "S-TRUNK-13"),
            other => panic!("{name} {what}: {other:?}"),
        };
        fs::remove_file(&path).expect("removed");
        is_lost("removed");
        for at in (0..good.len()).step_by(11) {
            fs::write(&path, &good[..at]).expect("cut");
            is_lost("cut off");
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            fs::write(&path, flipped).expect("changed");
            is_lost("changed");
        }
        fs::write(&path, &good).expect("mended");
    }
    assert_eq!(kept(folder.path()), Some(at));
}

#[test]
fn records_without_a_trust_json_that_counts_them_are_dropped() {
    let (folder, at) = saved(3);
    let json = fs::read(folder.path().join("trust.json")).expect("file");
    let after = next(&at);
    save(folder.path(), Some(&at), &after).expect("saved");
    // Killed between the ledger and trust.json:
    fs::write(folder.path().join("trust.json"), json).expect("the old one");
    assert_eq!(kept(folder.path()), Some(at.clone()));
    let other = next(&next(&at));
    save(folder.path(), Some(&at), &other).expect("saved");
    assert_eq!(kept(folder.path()), Some(other));
}

#[test]
fn trust_does_not_move_back() {
    let (folder, at) = saved(3);
    assert!(save(folder.path(), Some(&at), &introduced()).is_err());
    assert!(save(folder.path(), None, &introduced()).is_err());
    assert_eq!(kept(folder.path()), Some(at));
}

#[test]
fn another_trust_is_a_re_introduction() {
    let (folder, _) = saved(3);
    for other in [
        Trust {
            introduction: Oid([8; 20]),
            ..trust()
        },
        Trust {
            policy: Digest([8; 32]),
            ..trust()
        },
        Trust {
            position: 0,
            ..trust()
        },
    ] {
        assert_eq!(load(folder.path(), &other), Loaded::Reintroduced(trust()));
    }
    let anew = Trusted {
        introduction: Oid([8; 20]),
        head: Oid([8; 20]),
        ..introduced()
    };
    save(folder.path(), None, &anew).expect("saved");
    assert!(
        matches!(load(folder.path(), &Trust { introduction: Oid([8; 20]), ..trust() }), Loaded::Kept(trusted) if *trusted == anew)
    );
}

#[test]
fn the_ledger_does_not_grow_for_ever() {
    let (folder, mut at) = saved(0);
    for _ in 0..40 {
        let mut after = at.clone();
        after.position += 1;
        for n in 0..50 {
            let path = format!("manifests/w{n}.toml");
            let manifest = Arc::new(brought(&path, after.position));
            Arc::make_mut(&mut after.manifests).insert(path.into(), manifest);
        }
        save(folder.path(), Some(&at), &after).expect("saved");
        at = after;
    }
    let ledger = listing(folder.path())
        .into_iter()
        .find(|name| name.starts_with("ledger-"))
        .expect("a ledger");
    let lines = fs::read_to_string(folder.path().join(ledger))
        .expect("text")
        .lines()
        .count();
    assert!(lines <= 1200, "{lines} lines for 50 manifests");
    assert_eq!(kept(folder.path()), Some(at));
}

/// Saved once, then noted, so many steps.
fn noted(count: usize) -> (tempfile::TempDir, Trusted) {
    let (folder, mut at) = saved(1);
    for _ in 0..count {
        let after = next(&at);
        note(folder.path(), Some(&at), &after).expect("noted");
        at = after;
    }
    (folder, at)
}

#[test]
fn a_noted_step_counts_before_trust_json_says_so_and_afterwards() {
    let (folder, at) = noted(30);
    let text = || fs::read(folder.path().join("trust.json")).expect("trust.json");
    let before = text();
    assert_eq!(kept(folder.path()), Some(at.clone()));
    settle(folder.path()).expect("settled");
    assert_ne!(text(), before, "it follows");
    assert_eq!(kept(folder.path()), Some(at.clone()));
    let settled = text();
    settle(folder.path()).expect("settled");
    assert_eq!(text(), settled);
    let after = next(&at);
    note(folder.path(), Some(&at), &after).expect("noted");
    save(folder.path(), Some(&after), &next(&after)).expect("saved");
    assert_eq!(kept(folder.path()), Some(next(&after)));
}

#[test]
fn power_lost_in_the_middle_of_a_note_leaves_the_step_before() {
    let (folder, at) = noted(3);
    let ledger = folder.path().join("ledger-0");
    let whole = fs::read(&ledger).expect("ledger");
    note(folder.path(), Some(&at), &next(&at)).expect("noted");
    let longer = fs::read(&ledger).expect("ledger");
    assert_eq!(kept(folder.path()), Some(next(&at)));
    for cut in whole.len()..longer.len() {
        fs::write(&ledger, &longer[..cut]).expect("written");
        assert_eq!(kept(folder.path()), Some(at.clone()), "cut at {cut}");
        let mut zeros = longer.clone();
        zeros[cut..].fill(0);
        fs::write(&ledger, &zeros).expect("written");
        assert_eq!(kept(folder.path()), Some(at.clone()), "zeros from {cut}");
    }
    // It goes on from there.
    note(folder.path(), Some(&at), &next(&at)).expect("noted");
    assert_eq!(kept(folder.path()), Some(next(&at)));
}

#[test]
fn a_note_does_not_move_back_either() {
    let (folder, at) = noted(5);
    let (_, earlier) = noted(2);
    assert!(note(folder.path(), Some(&at), &earlier).is_err());
    assert_eq!(kept(folder.path()), Some(at));
}
