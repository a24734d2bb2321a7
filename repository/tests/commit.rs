//! The strict commit parser, against what git writes and against everything else.

mod world;

use proptest::prelude::*;
use swarm_repository::commit::{Commit, CommitError};
use world::World;

const ID: &str = "0123456789012345678901234567890123456789";
const ARMOUR: &str = "-----BEGIN SSH SIGNATURE-----\n U1NIU0lH\n -----END SSH SIGNATURE-----\n";

fn raw(extra: &str, message: &str) -> Vec<u8> {
    let who = "Alice <alice@example.org> 1700000000 +0100";
    format!("tree {ID}\nparent {ID}\nauthor {who}\ncommitter {who}\n{extra}\n{message}")
        .into_bytes()
}

#[test]
fn a_commit_that_git_signed_is_read_and_what_was_signed_is_what_git_says() {
    let world = World::empty();
    let id = world.commit("alice", "subject\n\nbody");
    let raw = world.raw(id);
    let commit = Commit::parse(&raw).expect("it is good");
    assert_eq!(commit.message, b"subject\n\nbody\n");
    assert_eq!(commit.subject(), "subject");
    assert!(commit.time().ends_with('Z'));
    let armour = commit.signature.expect("it is signed");
    let text = String::from_utf8(raw.clone()).expect("text");
    let header = text.find("gpgsig ").expect("header");
    let end = text.find("\n\n").expect("end") + 1;
    assert_eq!(commit.payload, [&raw[..header], &raw[end..]].concat());
    assert!(
        armour.starts_with(b"-----BEGIN SSH SIGNATURE-----\n")
            && armour.ends_with(b"-----END SSH SIGNATURE-----\n")
    );
}

#[test]
fn a_signature_in_the_message_is_no_signature() {
    let commit =
        Commit::parse(&raw("", &format!("hello\n\ngpgsig {ARMOUR}\n"))).expect("it is a commit");
    assert_eq!(commit.signature, None);
}

#[test]
fn every_odd_form_is_refused_by_its_own_reason() {
    let gpgsig = format!("gpgsig {ARMOUR}");
    let cases: Vec<(Vec<u8>, CommitError)> = vec![
        (
            raw(&format!("{gpgsig}{gpgsig}"), "x"),
            CommitError::Twice("gpgsig"),
        ),
        (
            raw("encoding latin1\nencoding utf-8\n", "x"),
            CommitError::Twice("encoding"),
        ),
        (
            raw("mergetag a\n b\nmergetag c\n", "x"),
            CommitError::Twice("mergetag"),
        ),
        (
            raw("gpgsig-sha256 abc\n", "x"),
            CommitError::Unknown("gpgsig-sha256".into()),
        ),
        (
            raw("GPGSIG abc\n", "x"),
            CommitError::Unknown("GPGSIG".into()),
        ),
        (
            raw(&format!("parent {ID}\n"), "x"),
            CommitError::Unknown("parent".into()),
        ),
        (
            raw(" continued from nothing\n", "x"),
            CommitError::Unknown(String::new()),
        ),
        (raw("", "x\0y"), CommitError::Nul),
        (b"tree 0123\n".to_vec(), CommitError::Value("tree")),
        (
            format!("tree {}\n", ID.replace('0', "A")).into_bytes(),
            CommitError::Value("tree"),
        ),
        (
            format!("parent {ID}\n").into_bytes(),
            CommitError::Order {
                found: "parent".into(),
                wanted: "tree",
            },
        ),
        (
            format!("tree {ID}\nauthor A <a> 1 +0000\nauthor A <a> 1 +0000\n\n").into_bytes(),
            CommitError::Order {
                found: "author".into(),
                wanted: "committer",
            },
        ),
        (
            format!("tree {ID}\nauthor A <a> x +0000\n").into_bytes(),
            CommitError::Value("author"),
        ),
        (
            format!("tree {ID}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n").into_bytes(),
            CommitError::NoEnd,
        ),
        (Vec::new(), CommitError::NoEnd),
    ];
    for (bytes, error) in cases {
        assert_eq!(
            Commit::parse(&bytes),
            Err(error),
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
}

#[test]
fn a_header_between_others_is_cut_out_exactly() {
    let commit = Commit::parse(&raw(
        &format!("encoding latin1\ngpgsig {ARMOUR}mergetag x\n y\n"),
        "m",
    ))
    .expect("good");
    assert_eq!(
        commit.payload,
        raw("encoding latin1\nmergetag x\n y\n", "m")
    );
    assert_eq!(
        commit.signature.expect("signed"),
        ARMOUR.replace("\n ", "\n").into_bytes()
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Commit::parse(&bytes);
    }

    #[test]
    fn no_change_of_one_byte_is_outside_of_what_is_signed(at in 0usize..1000, to in any::<u8>()) {
        let good = raw(&format!("gpgsig {ARMOUR}"), "message\n");
        let before = Commit::parse(&good).expect("good");
        let mut bytes = good.clone();
        let at = at % bytes.len();
        bytes[at] = to;
        if let (true, Ok(after)) = (bytes != good, Commit::parse(&bytes)) {
            prop_assert!(after.payload != before.payload || after.signature != before.signature);
        }
    }

    #[test]
    fn what_is_signed_and_the_signature_make_up_the_whole(message in "[a-z\n]{0,80}", lines in prop::collection::vec("[A-Za-z0-9+/=]{0,70}", 0..8)) {
        let armour = lines.iter().fold(String::new(), |text, line| text + "\n " + line);
        let bytes = raw(&format!("gpgsig first{armour}\n"), &message);
        let commit = Commit::parse(&bytes).expect("good");
        prop_assert_eq!(commit.payload.len() + armour.len() + "gpgsig first\n".len(), bytes.len());
        let expected = lines.iter().fold("first\n".to_owned(), |text, line| text + line + "\n");
        prop_assert_eq!(commit.signature, Some(expected.into_bytes()));
    }
}
