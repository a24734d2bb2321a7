use super::*;
use swarm_manifests::report::BoxStatus;

const BEAT: SignedDuration = SignedDuration::from_secs(10);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn status(commit: &str, remote_head: &str) -> Arc<BoxStatus> {
    Arc::new(BoxStatus {
        facts: Facts::default(),
        location: None,
        commit: Some(commit.into()),
        position: Some(1),
        remote: None,
        remote_head: Some(remote_head.into()),
        trouble: None,
        freshness: None,
        warnings: vec![],
        protections: vec![],
    })
}

fn record(last_seen: Option<i64>) -> Record {
    Record {
        name: Name::new("b").expect("a name"),
        key: "SHA256:x".into(),
        enrolled: at(0),
        last_seen: last_seen.map(at),
        contact_since: last_seen.map(|_| at(0)),
        behind_since: None,
        boot: "1".into(),
        sequence: 1,
        agent_version: "0".into(),
        status: Some(status("a", "a")),
        rows: None,
        rows_at: None,
        dropped: 0,
    }
}

fn head(commit: &str, position: u64, since: i64) -> Head {
    Head {
        commit: commit.into(),
        position,
        since: at(since),
        time: None,
    }
}

fn known(head: &Head) -> Arc<trunk::Trunk> {
    Arc::new(trunk::Trunk {
        repository: "/git".into(),
        branch: "main".into(),
        head: Some(head.clone()),
        remote_head: None,
        looked: None,
        trouble: None,
        failure: None,
        witness: None,
        chain: Arc::default(),
        policy: None,
    })
}

fn fold_one(
    record: Record,
    head: Option<&Head>,
    now: i64,
) -> (BoxState, Option<Timestamp>, Option<Timestamp>) {
    let reports = Reports {
        boxes: [(record.name.clone(), Arc::new(record))].into(),
        pending: BTreeMap::new(),
    };
    let fleet = fold(&reports, &head.map(known), BEAT, at(now));
    (
        fleet.boxes[0].state,
        fleet.boxes[0].since,
        fleet.next_change,
    )
}

#[test]
fn two_missed_heartbeats_are_late_and_five_are_offline() {
    for (now, state, since, next) in [
        (100, BoxState::Online, 0, Some(120)),
        (119, BoxState::Online, 0, Some(120)),
        (120, BoxState::Late, 120, Some(150)),
        (149, BoxState::Late, 120, Some(150)),
        (150, BoxState::Offline, 150, None),
        (9999, BoxState::Offline, 150, None),
    ] {
        assert_eq!(
            fold_one(record(Some(100)), None, now),
            (state, Some(at(since)), next.map(at)),
            "at {now}"
        );
    }
}

#[test]
fn a_box_that_enrolled_and_was_never_heard_of_goes_offline() {
    assert_eq!(fold_one(record(None), None, 49).0, BoxState::Late);
    assert_eq!(fold_one(record(None), None, 50).0, BoxState::Offline);
}

#[test]
fn a_box_behind_its_remote_is_stale_after_two_heartbeats_of_grace() {
    let behind = Record {
        behind_since: Some(at(100)),
        status: Some(status("a", "b")),
        ..record(Some(115))
    };
    assert_eq!(
        fold_one(behind.clone(), None, 119),
        (BoxState::Online, Some(at(0)), Some(at(120)))
    );
    assert_eq!(
        fold_one(behind, None, 120),
        (BoxState::Stale, Some(at(120)), Some(at(135)))
    );
}

#[test]
fn a_box_behind_the_mirror_is_stale_even_if_its_own_remote_agrees() {
    for (head, state) in [
        (head("c", 9, 90), BoxState::Stale),
        (head("c", 1, 90), BoxState::Stale),
        (head("a", 9, 90), BoxState::Online),
    ] {
        assert_eq!(
            fold_one(record(Some(112)), Some(&head), 113).0,
            state,
            "{head:?}"
        );
    }
}

#[test]
fn seconds_go_on_as_long_as_the_box_speaks() {
    let row: swarm_manifests::status::Row = serde_json::from_value(serde_json::json!({
        "box": "b", "workflow": "w", "mode": "daemon", "state": "running", "instance": 0, "restarts": 0,
        "up_s": 1.5, "time_left_s": 10.0, "protections": [],
    }))
    .expect("a row");
    for (came, up, left) in [
        (Some(40), Some(61.5), Some(0.0)),
        (Some(99), Some(2.5), Some(9.0)),
        (None, Some(1.5), Some(10.0)),
    ] {
        let said = Record {
            rows: Some(Arc::new(vec![row.clone()])),
            rows_at: came.map(at),
            ..record(Some(100))
        };
        let reports = Reports {
            boxes: [(said.name.clone(), Arc::new(said))].into(),
            pending: BTreeMap::new(),
        };
        let now = fold(&reports, &None, BEAT, at(1000)).boxes[0].by_now(&row);
        assert_eq!((now.up_s, now.time_left_s), (up, left), "{came:?}");
    }
}

#[test]
fn a_box_that_is_ahead_of_the_mirror_is_not_stale() {
    let old = head("older", 0, 0);
    assert_eq!(
        fold_one(record(Some(112)), Some(&old), 113).0,
        BoxState::Online
    );
}

#[test]
fn a_stopped_trunk_is_said_once_with_every_box_that_says_it_too() {
    let trouble = swarm_manifests::report::Trouble {
        rule: "S-TRUNK-05".into(),
        reason: "bob may not".into(),
        hint: None,
        commit: Some("c".into()),
    };
    let trunk = Arc::new(trunk::Trunk {
        trouble: Some(trouble.clone()),
        ..trunk::Trunk::clone(&known(&head("a", 1, 0)))
    });
    let stopped = Record {
        status: Some(Arc::new(BoxStatus {
            trouble: Some(trouble),
            ..BoxStatus::clone(&status("a", "c"))
        })),
        ..record(Some(100))
    };
    for (boxes, named) in [(vec![], vec![]), (vec![stopped], vec!["b"])] {
        let boxes = boxes
            .into_iter()
            .map(|one: Record| (one.name.clone(), Arc::new(one)));
        let reports = Reports {
            boxes: boxes.collect(),
            pending: BTreeMap::new(),
        };
        let wrongs = wrong::wrongs(&fold(&reports, &Some(trunk.clone()), BEAT, at(101)));
        assert_eq!(wrongs.len(), 1, "{wrongs:?}");
        assert_eq!(
            (wrongs[0].reason.as_str(), &wrongs[0].boxes[..]),
            (
                "bob may not",
                &named
                    .iter()
                    .map(|name: &&str| (*name).to_owned())
                    .collect::<Vec<_>>()[..]
            )
        );
    }
}

#[test]
fn silence_outweighs_staleness() {
    let behind = Record {
        behind_since: Some(at(0)),
        ..record(Some(100))
    };
    assert_eq!(fold_one(behind, None, 150).0, BoxState::Offline);
}

#[test]
fn a_token_that_waits_shows_a_pending_box() {
    let name = Name::new("new").expect("a name");
    let reports = Reports {
        boxes: BTreeMap::new(),
        pending: [(name, at(60))].into(),
    };
    let fleet = fold(&reports, &None, BEAT, at(0));
    assert_eq!(
        (fleet.boxes[0].state, fleet.next_change),
        (BoxState::Pending, Some(at(60)))
    );
}

#[test]
fn the_fold_at_its_next_change_looks_different() {
    for seen in 0..40 {
        let reports = Reports {
            boxes: [(
                Name::new("b").expect("a name"),
                Arc::new(record(Some(seen))),
            )]
            .into(),
            pending: BTreeMap::new(),
        };
        let mut now = at(seen);
        let mut last = fold(&reports, &None, BEAT, now);
        while let Some(next) = last.next_change {
            assert!(next > now);
            now = next;
            let then = fold(&reports, &None, BEAT, now);
            assert_ne!(then.boxes, last.boxes);
            last = then;
        }
        assert_eq!(last.boxes[0].state, BoxState::Offline);
    }
}

#[test]
fn two_commits_at_one_position_are_forked_and_the_worst_of_all() {
    let ours = swarm_manifests::id::Oid([7; 20]);
    let mut trunk = trunk::Trunk::clone(&known(&head(&ours.to_string(), 1, 0)));
    trunk.chain = Arc::new(trunk::Chain {
        start: 0,
        commits: vec![swarm_manifests::id::Oid([6; 20]), ours],
    });
    let at_one = |commit: String| Record {
        status: Some(status(&commit, &commit)),
        ..record(Some(0))
    };
    let folded = |record: Record| {
        let reports = Reports {
            boxes: [(record.name.clone(), Arc::new(record))].into(),
            pending: BTreeMap::new(),
        };
        fold(&reports, &Some(Arc::new(trunk.clone())), BEAT, at(1))
    };
    assert_eq!(
        folded(at_one(ours.to_string())).boxes[0].state,
        BoxState::Online
    );
    let fleet = folded(at_one("b".repeat(40)));
    assert_eq!(fleet.boxes[0].state, BoxState::Forked);
    let worst = wrong::wrongs(&fleet);
    assert_eq!(worst[0].kind, wrong::Kind::Forked);
    assert_eq!(worst[0].rule.as_deref(), Some("S-MAP-05"));
}
