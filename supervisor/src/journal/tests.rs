//! What a reader of the journal may rely on: it is whole, chained, in order, and survives a crash in the middle of a record.

use super::*;

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
            last: 100
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
