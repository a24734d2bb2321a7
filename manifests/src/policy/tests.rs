//! Promises of the policy: rights, boxes, approvals, changes, and what its reader refuses.

use super::*;
use crate::{
    manifest::{self, Manifest},
    rules::trunk::{
        BOXES, NO_RIGHT, POLICY_KEYS, POLICY_LOCKOUT, POLICY_REPOSITORY, POLICY_VERSION,
    },
};
use proptest::prelude::*;

const ALICE: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const BOB: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAZ9J+L+2LrRoxwAuCuM/RtOGTcAEwjQLl0kpHbzXwTt";

fn text(rest: &str) -> String {
    format!(
        "format = 1\nrepository = \"b1\"\nversion = 7\n[people.alice]\nkeys = [{ALICE:?}]\nadmin = true\n[people.bob]\nkeys = [{BOB:?}]\n{rest}"
    )
}

fn policy(rest: &str) -> Policy {
    let (policy, problems) = read("policy.toml", text(rest).as_bytes());
    policy.unwrap_or_else(|| panic!("{problems:?}"))
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn manifest(on: &str) -> Manifest {
    let text = format!("version = \"1.0.0\"\n[run]\nmode = \"once\"\n[on]\n{on}\n");
    manifest::read("manifests/web.toml", text.as_bytes())
        .0
        .expect("a manifest")
}

/// The rules that a policy with this in it breaks.
fn broken(rest: &str) -> Vec<&'static str> {
    read("policy.toml", text(rest).as_bytes())
        .1
        .iter()
        .map(|problem| problem.rule.id)
        .collect()
}

#[test]
fn each_path_needs_its_right() {
    for (path, want) in [
        (
            "bundles/ramp/1.0.0/bundle.toml",
            Need::Publish { bundle: "ramp" },
        ),
        ("bundles/ramp", Need::Publish { bundle: "ramp" }),
        ("manifests/web.toml", Need::Manifest { workflow: "web" }),
        ("manifests/a/b/web.toml", Need::Manifest { workflow: "web" }),
        ("manifests/README.md", Need::AnyPerson),
        ("approvals/web/alice.sig", Need::Deploy { workflow: "web" }),
        ("secrets/web/token.age", Need::Deploy { workflow: "web" }),
        ("policy.toml", Need::Admin),
        ("policy.sigs/alice.sig", Need::Admin),
        ("boxes/lab-1.toml", Need::Admin),
        (".github/workflows/x.yml", Need::Admin),
        (".gitlab-ci.yml", Need::Admin),
        ("bundles/ramp/1.0.0/.hidden/x", Need::Admin),
        ("sources/ramp/main.js", Need::AnyPerson),
        ("README.md", Need::AnyPerson),
    ] {
        assert_eq!(need(path), want, "{path}");
    }
}

#[test]
fn publishing_is_by_bundle_name() {
    let policy =
        policy("[[grant]]\npeople = [\"bob\"]\nmay = [\"publish\"]\nworkflows = [\"web-*\"]\n");
    assert!(policy.may_publish(&name("bob"), "web-1"));
    assert!(!policy.may_publish(&name("bob"), "ramp"));
    assert!(
        !policy.may_publish(&name("alice"), "web-1"),
        "an admin has no grants by that"
    );
}

#[test]
fn a_grant_with_boxes_covers_named_boxes_on_both_sides() {
    let policy = policy(
        "[[grant]]\npeople = [\"bob\"]\nmay = [\"deploy\"]\nworkflows = [\"*\"]\nboxes = [\"lab-*\"]\n\
         [[grant]]\npeople = [\"alice\"]\nmay = [\"deploy\"]\nworkflows = [\"*\"]\n",
    );
    let lab = manifest("boxes = [\"lab-1\", \"lab-b-*\"]");
    let wide = manifest("boxes = [\"lab-1\", \"l*\"]");
    let (all, chosen) = (manifest("all = true"), manifest("where = 'gpu'"));
    let judge = |who: &str, old: Side<'_>, new: Side<'_>| {
        policy
            .may_deploy(&name(who), "web", old, new)
            .map_err(|refusal| refusal.rule.id)
    };
    assert_eq!(judge("bob", Side::Absent, Side::Parsed(&lab)), Ok(()));
    assert_eq!(judge("bob", Side::Parsed(&lab), Side::Absent), Ok(()));
    for side in [
        Side::Parsed(&wide),
        Side::Parsed(&all),
        Side::Parsed(&chosen),
        Side::Broken,
    ] {
        assert_eq!(
            judge("bob", Side::Parsed(&lab), side),
            Err(BOXES.id),
            "{side:?}"
        );
        assert_eq!(
            judge("bob", side, Side::Parsed(&lab)),
            Err(BOXES.id),
            "{side:?}"
        );
        assert_eq!(judge("alice", side, side), Ok(()), "{side:?}");
    }
    assert_eq!(judge("carol", Side::Absent, Side::Absent), Err(NO_RIGHT.id));
}

#[test]
fn of_the_grants_that_apply_the_highest_number_of_approvals_counts() {
    let policy = policy(
        "[[grant]]\npeople = [\"alice\"]\nmay = [\"deploy\"]\nworkflows = [\"*\"]\n\
         [[grant]]\npeople = [\"bob\"]\nmay = [\"deploy\"]\nworkflows = [\"*\"]\nboxes = [\"lab-*\"]\napprovals = 2\n\
         [[grant]]\npeople = [\"bob\"]\nmay = [\"publish\"]\nworkflows = [\"*\"]\napprovals = 9\n",
    );
    let both = BTreeSet::from([name("alice"), name("bob")]);
    let alice = BTreeSet::from([name("alice")]);
    assert_eq!(
        policy.approvals_needed(&manifest("boxes = [\"lab-1\"]")),
        (2, both)
    );
    assert_eq!(
        policy.approvals_needed(&manifest("all = true")),
        (2, alice.clone())
    );
    assert_eq!(
        policy.approvals_needed(&manifest("boxes = [\"shop-*\"]")),
        (1, alice)
    );
}

#[test]
fn a_change_counts_one_up_in_the_same_repository() {
    let old = policy("");
    let changed = |change: fn(&mut Policy)| {
        let mut new = old.clone();
        new.version = 8;
        change(&mut new);
        check_change(&old, &new).map_err(|refusal| refusal.rule.id)
    };
    assert_eq!(changed(|_| ()), Ok(()));
    assert_eq!(changed(|new| new.version = 7), Err(POLICY_VERSION.id));
    assert_eq!(changed(|new| new.version = 9), Err(POLICY_VERSION.id));
    assert_eq!(
        changed(|new| new.repository = "b2".into()),
        Err(POLICY_REPOSITORY.id)
    );
    assert_eq!(changed(|new| new.threshold = 2), Err(POLICY_LOCKOUT.id));
    let last = Policy {
        version: u64::MAX,
        ..old.clone()
    };
    assert!(
        check_change(
            &last,
            &Policy {
                version: 0,
                ..old.clone()
            }
        )
        .is_err()
    );
}

#[test]
fn what_makes_a_policy_ambiguous_is_refused() {
    assert_eq!(broken(""), Vec::<&str>::new());
    assert_eq!(
        broken(&format!(
            "[people.eve]\nkeys = [{:?}]\n",
            format!("{BOB} other comment")
        )),
        [POLICY_KEYS.id]
    );
    assert_eq!(broken("[teams]\nalice = [\"bob\"]\n"), ["S-FILE-05"]);
    assert_eq!(broken("[teams]\nlab = [\"carol\"]\n"), ["S-FILE-05"]);
    let grant = |people: &str, boxes: &str| {
        format!(
            "[[grant]]\npeople = [{people:?}]\nmay = [\"deploy\"]\nworkflows = [\"*\"]\nboxes = [{boxes:?}]\n"
        )
    };
    assert_eq!(broken(&grant("carol", "*")), ["S-FILE-05"]);
    assert_eq!(broken(&grant("bob", "lab-?")), ["S-FILE-06"]);
    assert_eq!(broken(&grant("bob", "lab-*")), Vec::<&str>::new());
}

#[test]
fn a_policy_that_nobody_could_change_is_refused() {
    let text = text("").replace("version = 7", "version = 7\nthreshold = 2");
    let problems = read("policy.toml", text.as_bytes()).1;
    assert_eq!(
        problems
            .iter()
            .map(|problem| (problem.rule.id, problem.line))
            .collect::<Vec<_>>(),
        [(POLICY_LOCKOUT.id, 4)]
    );
}

#[test]
fn revoked_keys_and_ceilings_are_kept() {
    let key = format!("SHA256:{}", "A".repeat(43));
    let policy = policy(&format!(
        "[[revoked]]\nkey = {key:?}\nfrom = 812\n[[revoked]]\nkey = {key:?}\nfrom = {:?}\n[ceiling]\nmemory = \"1G\"\ndevices = []\n",
        "ab".repeat(20)
    ));
    assert_eq!(
        policy
            .revoked
            .iter()
            .map(|revoked| &revoked.from)
            .collect::<Vec<_>>(),
        [&Moment::Position(812), &Moment::Commit(Oid([0xab; 20]))]
    );
    assert_eq!(policy.ceiling.devices, Some(vec![]));
    assert_eq!(policy.ceiling.groups, None);
}

fn pattern() -> impl Strategy<Value = Pattern> {
    "[ab*]{1,6}".prop_map(|text| Pattern::new(&text).expect("a pattern"))
}

proptest! {
    #[test]
    fn what_is_covered_matches_nothing_that_the_cover_does_not(cover in pattern(), inner in pattern(), name in "[ab]{0,7}") {
        if cover.covers(&inner) && inner.matches(&name) {
            prop_assert!(cover.matches(&name), "{cover} covers {inner}, but not {name}");
        }
    }

    #[test]
    fn patterns_that_match_one_name_overlap(a in pattern(), b in pattern(), name in "[ab]{0,7}") {
        if a.matches(&name) && b.matches(&name) {
            prop_assert!(a.overlaps(&b), "{a} and {b} both match {name}");
        }
    }

    #[test]
    fn matching_is_what_a_simple_matcher_says(pattern in pattern(), name in "[ab]{0,7}") {
        fn simple(pattern: &[u8], name: &[u8]) -> bool {
            match (pattern.first(), name.first()) {
                (None, None) => true,
                (Some(b'*'), _) => simple(&pattern[1..], name) || (!name.is_empty() && simple(pattern, &name[1..])),
                (Some(a), Some(b)) => a == b && simple(&pattern[1..], &name[1..]),
                _ => false,
            }
        }
        prop_assert_eq!(pattern.matches(&name), simple(pattern.as_str().as_bytes(), name.as_bytes()));
    }
}

#[test]
fn covers_as_people_expect() {
    let covers = |a: &str, b: &str| {
        Pattern::new(a)
            .expect("a")
            .covers(&Pattern::new(b).expect("b"))
    };
    for (a, b) in [
        ("*", "*"),
        ("lab-*", "lab-3"),
        ("lab-*", "lab-b-*"),
        ("a*", "a*b"),
        ("*b", "a*b"),
        ("lab-*", "lab-*"),
    ] {
        assert!(covers(a, b), "{a} covers {b}");
    }
    for (a, b) in [
        ("lab-*", "l*"),
        ("lab-*", "*"),
        ("a*b", "a*"),
        ("lab-1", "lab-*"),
        ("a*b", "a*c"),
    ] {
        assert!(!covers(a, b), "{a} does not cover {b}");
    }
}
