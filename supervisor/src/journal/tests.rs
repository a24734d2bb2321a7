//! What a reader of the journal may rely on: it is whole, chained, in order, and survives a crash in the middle of a record.

use super::*;
use ssh_key::{PrivateKey, private::Ed25519Keypair};
use swarm_manifests::{
    seal::{self, Seal},
    signature,
};

fn event(action: &str) -> Event {
    serde_json::from_value(serde_json::json!({"sequence": 0, "time": "", "action": action, "workflow": "ramp", "reason": ",\"hash\":\"x\"}"})).expect("an event")
}

fn filled(folder: &Path, count: usize, rotate: u64) -> Journal {
    let (mut journal, _) = Journal::open_with(folder, rotate).expect("open");
    for _ in 0..count {
        journal
            .append(event("start"), Wall(1_795_429_294_007))
            .expect("append");
    }
    journal.sync().expect("sync");
    journal
}

#[test]
fn a_journal_verifies_over_rotation_and_reopening() {
    let folder = tempfile::tempdir().expect("folder");
    filled(folder.path(), 50, 2000);
    let journal = filled(folder.path(), 50, 2000);
    assert!(read::files(folder.path()).expect("files").len() > 5);
    assert_eq!(
        journal.verify().expect("files").run(),
        Ok(Verified {
            records: 100,
            first: 1,
            last: 100,
            sealed: None
        })
    );
}

#[test]
fn history_is_newest_first() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = filled(folder.path(), 30, 2000);
    let numbers: Vec<_> = journal
        .history()
        .expect("files")
        .map(|event| event.sequence)
        .collect();
    assert_eq!(numbers, (1..=30).rev().collect::<Vec<_>>());
}

#[test]
fn only_so_many_files_are_kept_and_they_still_verify() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = filled(folder.path(), 100, 300);
    assert!(read::files(folder.path()).expect("files").len() <= KEEP);
    let verified = journal.verify().expect("files").run().expect("a chain");
    assert!(verified.first > 1 && verified.last == 100);
}

#[test]
fn a_line_cut_by_a_crash_is_cut_off_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    filled(folder.path(), 3, ROTATE);
    let path = read::path_of(folder.path(), 1);
    let whole = fs::read(&path).expect("read");
    let last_line = whole[..whole.len() - 1]
        .iter()
        .rposition(|b| *b == b'\n')
        .expect("lines")
        + 1;
    for keep in last_line..whole.len() {
        fs::write(&path, &whole[..keep]).expect("write");
        let (mut journal, cut) = Journal::open(folder.path()).expect("open");
        assert_eq!(cut, (keep - last_line) as u64);
        assert_eq!(
            journal
                .append(event("exit"), Wall(0))
                .expect("append")
                .sequence,
            3
        );
        assert_eq!(
            journal.verify().expect("files").run().map(|v| v.records),
            Ok(3)
        );
    }
}

#[test]
fn zeros_that_a_power_cut_left_are_cut_off() {
    let folder = tempfile::tempdir().expect("folder");
    filled(folder.path(), 3, ROTATE);
    let path = read::path_of(folder.path(), 1);
    let mut bytes = fs::read(&path).expect("read");
    bytes.extend([0; 300]);
    bytes.push(b'\n');
    fs::write(&path, bytes).expect("write");
    let (journal, cut) = Journal::open(folder.path()).expect("open");
    assert_eq!(cut, 301);
    assert_eq!(
        journal.verify().expect("files").run().map(|v| v.records),
        Ok(3)
    );
}

#[test]
fn a_changed_removed_or_reordered_record_is_found() {
    let folder = tempfile::tempdir().expect("folder");
    let journal = filled(folder.path(), 5, ROTATE);
    let path = read::path_of(folder.path(), 1);
    let text = fs::read_to_string(&path).expect("read");
    let lines: Vec<_> = text.lines().collect();
    let broken = |lines: &[&str]| {
        fs::write(&path, lines.join("\n") + "\n").expect("write");
        journal
            .verify()
            .expect("files")
            .run()
            .expect_err("it is not whole")
            .line
    };
    let changed = lines[2].replace("ramp", "camp");
    assert_eq!(
        broken(&[lines[0], lines[1], &changed, lines[3], lines[4]]),
        3
    );
    assert_eq!(broken(&[lines[0], lines[1], lines[3], lines[4]]), 3);
    assert_eq!(
        broken(&[lines[0], lines[2], lines[1], lines[3], lines[4]]),
        2
    );
    assert_eq!(broken(&[lines[0], lines[1], "{}", lines[3]]), 3);
}

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

/// What the agent would have sealed of this journal now.
fn sealed(journal: &Journal) -> Seal {
    sealed_by(&key(7), journal)
}

fn sealed_by(key: &PrivateKey, journal: &Journal) -> Seal {
    let (sequence, hash) = journal.head();
    let statement = seal::statement("lab-1", sequence, hash);
    let signature = signature::sign(key, seal::NAMESPACE, statement.as_bytes());
    Seal {
        sequence,
        hash: hash.into(),
        time: String::new(),
        signature: signature.expect("a signature"),
    }
}

#[test]
fn another_key_seals_on_where_the_one_before_sealed_its_name_and_nowhere_else() {
    let print = |key: &PrivateKey| key.fingerprint(ssh_key::HashAlg::Sha256).to_string();
    // What happens between the last seal of the old key and the first of the new one.
    for (names, seals_it, is_well) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let mut journal = filled(folder.path(), 5, ROTATE);
        let mut seals = vec![sealed(&journal)];
        let action = if names { "key" } else { "start" };
        let mut record = event(action);
        record.key = Some(print(&key(8)));
        journal.append(record, Wall(0)).expect("room");
        if seals_it {
            seals.push(sealed(&journal));
        }
        journal.append(event("start"), Wall(0)).expect("room");
        seals.push(sealed_by(&key(8), &journal));
        let check = Verify::new(folder.path()).expect("files");
        let verified = check.with_seals("lab-1", &seals).and_then(Verify::run);
        assert_eq!(
            verified.is_ok(),
            is_well,
            "{names} {seals_it}: {verified:?}"
        );
        if let Err(broken) = verified {
            assert!(broken.what.contains("never named"), "{broken}");
        }
    }
}

/// Where a journal breaks that is held against a seal.
fn broken(folder: &Path, seal: &Seal) -> Option<Broken> {
    let check = Verify::new(folder).expect("files");
    let check = check.with_seals("lab-1", std::slice::from_ref(seal));
    check.and_then(Verify::run).err()
}

#[test]
fn a_seal_shows_that_the_end_was_cut_off_or_everything_written_anew() {
    let folder = tempfile::tempdir().expect("folder");
    let seal = sealed(&filled(folder.path(), 30, ROTATE));
    filled(folder.path(), 5, ROTATE);
    let check = Verify::new(folder.path()).expect("files");
    let verified = check.with_seals("lab-1", std::slice::from_ref(&seal));
    let verified = verified.and_then(Verify::run).expect("a chain");
    assert_eq!(verified.sealed.map(|(sequence, _)| sequence), Some(30));
    assert_eq!(verified.last, 35);

    // The end is cut off: the chain is whole, the seal knows better.
    let file = read::path_of(folder.path(), 1);
    let text = std::fs::read_to_string(&file).expect("a file");
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&file, lines[..29].join("\n") + "\n").expect("a file");
    let whole = Verify::new(folder.path()).expect("files").run();
    assert_eq!(whole.expect("a chain").last, 29);
    let why = broken(folder.path(), &seal).expect("it was cut off").what;
    assert!(why.contains("ends with record 29"), "{why}");

    // All of it is written anew, by the rules of the chain.
    let anew = tempfile::tempdir().expect("folder");
    let mut journal = Journal::open(anew.path()).expect("a journal").0;
    for number in 0..40 {
        let mut event = event("start");
        event.reason = Some(format!("made up {number}"));
        journal.append(event, Wall(0)).expect("room");
    }
    assert!(Verify::new(anew.path()).expect("files").run().is_ok());
    let why = broken(anew.path(), &seal)
        .expect("it was written anew")
        .what;
    assert!(why.contains("is not the one"), "{why}");

    // A seal that somebody made up.
    let forged = Seal {
        sequence: 29,
        ..seal
    };
    let why = broken(folder.path(), &forged).expect("it is forged").what;
    assert!(why.contains("not genuine"), "{why}");
}

#[test]
fn a_request_that_something_was_done_for_is_found_also_in_an_older_file() {
    let folder = tempfile::tempdir().expect("folder");
    let mut journal = Journal::open_with(folder.path(), 2000)
        .expect("a journal")
        .0;
    let mut done = event("kill");
    done.request = Some("ab".repeat(16));
    done.reason = Some(format!("\"request\":\"{}\"", "cd".repeat(16)));
    journal.append(done, Wall(0)).expect("room");
    for _ in 0..30 {
        journal.append(event("start"), Wall(0)).expect("room");
    }
    assert!(listed(folder.path()) > 1, "it was rotated");
    assert!(journal.has_request(&"ab".repeat(16)).expect("readable"));
    assert!(!journal.has_request(&"cd".repeat(16)).expect("readable"));
}

fn listed(folder: &Path) -> usize {
    read::files(folder).expect("files").len()
}
