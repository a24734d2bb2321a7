use super::*;
use crate::resolve::Held;
use proptest::prelude::*;
use std::{path::PathBuf, time::Duration};
use swarm_manifests::{
    bundle::{Limits, Sandbox, Stop, Workdir},
    manifest::{Mode, OnLimit, Restart},
    policy::{Ground, Hand, Revocations},
    problem::Refusal,
    status::Next,
};
use swarm_repository::revoked::Void;
use swarm_supervisor::protocol::{Origin, Standing};

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn spec(workflow: &Name, revision: u8, position: u64) -> RunSpec {
    RunSpec {
        workflow: workflow.clone(),
        bundle: workflow.clone(),
        version: "1.0.0".into(),
        digest: Digest([revision; 32]),
        revision: Digest([revision; 32]),
        origin: Origin {
            position: Some(position),
            ..Origin::default()
        },
        mode: Mode::Daemon,
        time_limit: Some(Duration::from_secs(1)),
        on_limit: OnLimit::Expire,
        instances: 1,
        schedule: None,
        restart: Restart::default(),
        command: vec!["x".into()],
        env: BTreeMap::new(),
        workdir: Workdir::Bundle(String::new()),
        user: None,
        ports: vec![],
        install: None,
        ready: None,
        health: None,
        stop: Stop::default(),
        limits: Limits::default(),
        sandbox: Sandbox::default(),
        secrets: BTreeMap::new(),
        grounds: vec![],
        store: PathBuf::new(),
    }
}

fn held(workflow: &Name) -> Wanted {
    let next = Next {
        version: None,
        commit: None,
        state: State::Refused,
        reason: "no".into(),
        rule: None,
    };
    let standing = Standing {
        workflow: workflow.clone(),
        bundle: None,
        mode: None,
        by: None,
        next,
    };
    Wanted::Held(Box::new(Held {
        standing,
        hint: None,
        origin: Origin::default(),
    }))
}

/// What the supervisor would have afterwards.
fn apply(plan: &Plan, have: &BTreeMap<Name, Have>, remembers: bool) -> BTreeMap<Name, Have> {
    let mut after = have.clone();
    for action in &plan.actions {
        match action {
            Action::Remove { workflow, .. } => drop(after.remove(workflow)),
            Action::Put(spec) => {
                let have = after.entry(spec.workflow.clone()).or_default();
                // It may take over at once, or be installing.
                if have.revision.is_none() || have.revision == Some(spec.revision) {
                    (have.revision, have.successor) = (Some(spec.revision), None);
                } else {
                    have.successor = Some(spec.revision);
                }
                have.footings = vec![spec.footing()];
                have.put = remembers.then(|| spec.clone());
                have.is_live = true;
            }
        }
    }
    after
}

fn any_workflow() -> impl Strategy<Value = Name> {
    (0..8u8).prop_map(|n| name(&format!("w{n}")))
}

fn any_resolved() -> impl Strategy<Value = Resolved> {
    prop::collection::btree_map(any_workflow(), (0..4u8, 0..3u8, 1..4u64), 0..8).prop_map(|all| {
        let mut resolved = Resolved::default();
        for (workflow, (kind, revision, position)) in all {
            match kind {
                0 => drop(
                    std::rc::Rc::make_mut(&mut resolved.elsewhere).insert(workflow, "site".into()),
                ),
                1 => drop(resolved.wanted.insert(workflow.clone(), held(&workflow))),
                _ => drop(resolved.wanted.insert(
                    workflow.clone(),
                    Wanted::Run(Box::new(spec(&workflow, revision, position))),
                )),
            }
        }
        resolved
    })
}

fn any_have() -> impl Strategy<Value = BTreeMap<Name, Have>> {
    prop::collection::btree_map(
        any_workflow(),
        (
            0..3u8,
            prop::option::of(0..3u8),
            1..4u64,
            any::<(bool, bool)>(),
        ),
        0..8,
    )
    .prop_map(|all| {
        all.into_iter()
            .map(
                |(workflow, (revision, successor, position, (remembered, is_live)))| {
                    let have = Have {
                        revision: Some(Digest([revision; 32])),
                        successor: successor.map(|revision| Digest([revision; 32])),
                        footings: vec![spec(&workflow, revision, position).footing()],
                        put: remembered.then(|| {
                            Box::new(spec(&workflow, successor.unwrap_or(revision), position))
                        }),
                        is_live,
                    };
                    (workflow, have)
                },
            )
            .collect()
    })
}

proptest! {
    #[test]
    fn a_plan_that_was_followed_leaves_nothing_to_do(resolved in any_resolved(), have in any_have(), remembers: bool, allowed in 0..9u32) {
        let first = plan(&resolved, &have, allowed);
        let after = apply(&first, &have, remembers);
        let again = plan(&resolved, &after, allowed);
        // A removal that was held stays held, unless what else went makes it small.
        prop_assert!(again.actions.is_empty() || first.held.is_some(), "{:?}", again.actions);
    }

    #[test]
    fn at_most_one_action_for_a_workflow_and_stops_come_first(resolved in any_resolved(), have in any_have(), allowed in 0..9u32) {
        let actions = plan(&resolved, &have, allowed).actions;
        let mut seen = std::collections::BTreeSet::new();
        prop_assert!(actions.iter().all(|action| seen.insert(action.workflow())));
        let is_stop = |action: &Action| matches!(action, Action::Remove { .. });
        prop_assert!(actions.is_sorted_by_key(|action| !is_stop(action)));
    }

    #[test]
    fn what_is_held_back_is_left_alone(resolved in any_resolved(), have in any_have(), allowed in 0..9u32) {
        for action in plan(&resolved, &have, allowed).actions {
            prop_assert!(!matches!(resolved.wanted.get(action.workflow()), Some(Wanted::Held(_))));
        }
    }

    #[test]
    fn no_commit_takes_most_of_a_box_away_by_itself(have in any_have()) {
        let live = have.values().filter(|have| have.is_live).count();
        let gone = plan(&Resolved::default(), &have, 0);
        let going = gone.actions.iter().filter(|action| have[action.workflow()].is_live).count();
        prop_assert!(going < 2 || going * 2 <= live);
        let allowed = plan(&Resolved::default(), &have, u32::try_from(live).expect("few"));
        prop_assert!(allowed.held.is_none() && allowed.actions.len() == have.len());
    }
}

fn running(names: &[&str]) -> BTreeMap<Name, Have> {
    let one = |text: &&str| {
        (
            name(text),
            Have {
                revision: Some(Digest([1; 32])),
                is_live: true,
                ..Have::default()
            },
        )
    };
    names.iter().map(one).collect()
}

#[test]
fn a_new_revision_supersedes_one_that_waits() {
    let mut have = running(&["w"]);
    have.get_mut("w").expect("there").successor = Some(Digest([2; 32]));
    let wanted = spec(&name("w"), 3, 9);
    let resolved = Resolved {
        wanted: BTreeMap::from([(name("w"), Wanted::Run(Box::new(wanted.clone())))]),
        ..Resolved::default()
    };
    assert_eq!(
        plan(&resolved, &have, 0).actions,
        [Action::Put(Box::new(wanted))]
    );
}

#[test]
fn going_back_to_what_runs_cancels_a_successor_that_waits() {
    let mut have = running(&["w"]);
    have.get_mut("w").expect("there").successor = Some(Digest([2; 32]));
    let wanted = spec(&name("w"), 1, 9);
    let resolved = Resolved {
        wanted: BTreeMap::from([(name("w"), Wanted::Run(Box::new(wanted.clone())))]),
        ..Resolved::default()
    };
    assert_eq!(
        plan(&resolved, &have, 0).actions,
        [Action::Put(Box::new(wanted))]
    );
}

#[test]
fn a_mass_removal_waits_until_the_trunk_names_its_number() {
    let have = running(&["a", "b", "c"]);
    let stays = Resolved {
        wanted: BTreeMap::from([(name("c"), held(&name("c")))]),
        ..Resolved::default()
    };
    let waits = plan(&stays, &have, 1);
    assert!(waits.actions.is_empty());
    let reason = waits.held.expect("held").reason;
    assert!(
        reason.contains("2 of the 3") && reason.contains("Allow-mass-removal: 2"),
        "{reason}"
    );
    assert!(
        !reason.contains("S-REMOVE"),
        "the rule stands beside it: {reason}"
    );
    assert_eq!(plan(&stays, &have, 2).actions.len(), 2);
}

#[test]
fn one_deleted_manifest_is_no_mass_removal() {
    let have = running(&["a"]);
    assert_eq!(plan(&Resolved::default(), &have, 0).actions.len(), 1);
}

#[test]
fn a_workflow_for_other_boxes_stops_with_the_reason() {
    let have = running(&["a"]);
    let resolved = Resolved {
        elsewhere: BTreeMap::from([(name("a"), "memory 512M < 1G".into())]).into(),
        ..Resolved::default()
    };
    let actions = plan(&resolved, &have, 0).actions;
    assert!(
        matches!(&actions[..], [Action::Remove { reason, .. }] if reason.contains("memory 512M < 1G")),
        "{actions:?}"
    );
}

#[test]
fn a_commit_that_changes_nothing_that_runs_is_told_without_a_new_revision() {
    let mut have = running(&["w"]);
    have.get_mut("w").expect("there").put = Some(Box::new(spec(&name("w"), 1, 1)));
    let wanted = spec(&name("w"), 1, 2);
    let resolved = Resolved {
        wanted: BTreeMap::from([(name("w"), Wanted::Run(Box::new(wanted)))]),
        ..Resolved::default()
    };
    assert!(
        matches!(&plan(&resolved, &have, 0).actions[..], [Action::Put(put)] if put.revision == Digest([1; 32]))
    );
}

/// What the key `SHA256:stolen` brought from position 3 on is void, and the bundle of revision 2.
fn void() -> Void {
    let print = format!("SHA256:{}", "A".repeat(43));
    let text = format!(
        "format = 1\nrepository = \"0123456789abcdef\"\nversion = 1\n[people.alice]\nkeys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti\"]\nadmin = true\n[[revoked]]\nkey = \"{print}\"\nfrom = 3\nreason = \"stolen\"\n"
    );
    let (policy, problems) = swarm_manifests::policy::read("policy.toml", text.as_bytes());
    let policy = policy.unwrap_or_else(|| panic!("{problems:?}"));
    let revoked = Revocations::of(&policy, |_| Ok::<_, ()>(None)).expect("no commit is named");
    let refusal = Refusal::new(&swarm_manifests::rules::trunk::REVOKED, "its bundle");
    Void::new(revoked.into(), [(Digest([2; 32]), refusal)].into())
}

const STOLEN: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// With the bundle 1.
fn footing_by_the_stolen_key(position: u64) -> Footing {
    Footing {
        origin: Origin {
            key: Some(STOLEN.into()),
            position: Some(position),
            ..Origin::default()
        },
        digest: Digest([1; 32]),
        grounds: vec![],
        secrets: std::collections::BTreeSet::new(),
    }
}

fn brought_by_the_stolen_key(position: u64) -> Have {
    Have {
        revision: Some(Digest([1; 32])),
        footings: vec![footing_by_the_stolen_key(position)],
        is_live: true,
        ..Have::default()
    }
}

#[test]
fn what_a_revoked_key_brought_is_stopped_although_its_successor_is_held_or_many_go_at_once() {
    let resolved = Resolved {
        wanted: ["a", "b", "c"]
            .map(|workflow| (name(workflow), held(&name(workflow))))
            .into(),
        void: void(),
        ..Resolved::default()
    };
    let have: BTreeMap<Name, Have> = ["a", "b", "c"]
        .map(|workflow| (name(workflow), brought_by_the_stolen_key(3)))
        .into();
    let plan = plan(&resolved, &have, 0);
    assert!(plan.held.is_none());
    let gone: Vec<&str> = plan
        .actions
        .iter()
        .map(|act| act.workflow().as_str())
        .collect();
    assert_eq!(gone, ["a", "b", "c"]);
    assert!(
        plan.actions
            .iter()
            .all(|act| matches!(act, Action::Remove { reason, .. } if reason.contains("S-REVOKE-02") && reason.contains("stolen")))
    );
}

#[test]
fn what_the_key_brought_before_goes_on_and_a_void_bundle_is_stopped_before_its_successor_starts() {
    let wanted = name("a");
    let resolved = Resolved {
        wanted: [(wanted.clone(), Wanted::Run(Box::new(spec(&wanted, 7, 9))))].into(),
        void: void(),
        ..Resolved::default()
    };
    let before = brought_by_the_stolen_key(2);
    let plan_of = |have: Have| plan(&resolved, &[(wanted.clone(), have)].into(), 0).actions;
    assert!(matches!(plan_of(before.clone())[..], [Action::Put(_)]));
    let with = |digest: u8, position: u64| Footing {
        digest: Digest([digest; 32]),
        ..footing_by_the_stolen_key(position)
    };
    let bundle = Have {
        footings: vec![with(2, 2)],
        ..before
    };
    assert!(matches!(plan_of(bundle)[..], [Action::Remove { .. }]));
    let way_back = |digest: u8, position: u64| Have {
        footings: vec![footing_by_the_stolen_key(2), with(digest, position)],
        ..brought_by_the_stolen_key(2)
    };
    assert!(matches!(plan_of(way_back(3, 2))[..], [Action::Put(_)]));
    assert!(matches!(
        plan_of(way_back(2, 2))[..],
        [Action::Remove { .. }]
    ));
    assert!(matches!(
        plan_of(way_back(3, 3))[..],
        [Action::Remove { .. }]
    ));
    assert!(matches!(plan_of(Have::default())[..], [Action::Put(_)]));
}

/// A workflow whose manifest and bundle count, and which runs because of this too.
fn because_of(ground: Ground) -> Have {
    let mut have = brought_by_the_stolen_key(2);
    have.footings[0].grounds = vec![ground];
    have
}

fn hand(key: &str, position: u64) -> Hand {
    Hand {
        keys: vec!["SHA256:somebody".into(), key.into()],
        position,
    }
}

#[test]
fn a_void_secret_stops_what_runs_with_it_though_nothing_takes_its_place_and_so_it_does_on_the_way_back()
 {
    let resolved = Resolved {
        wanted: [(name("a"), held(&name("a")))].into(),
        void: void(),
        ..Resolved::default()
    };
    let plan_of = |have: &Have| plan(&resolved, &[(name("a"), have.clone())].into(), 0).actions;
    let secret = |position| Ground {
        what: "the secret token".into(),
        by: vec![hand(STOLEN, position)],
        needed: 1,
    };
    assert_eq!(plan_of(&because_of(secret(2))), []);
    let actions = plan_of(&because_of(secret(3)));
    assert!(
        matches!(&actions[..], [Action::Remove { reason, .. }] if reason.contains("the secret token") && reason.contains("S-REVOKE-02")),
        "{actions:?}"
    );
    // What it would go back to stands on it.
    let mut have = because_of(secret(3));
    have.footings.insert(0, footing_by_the_stolen_key(2));
    assert!(matches!(plan_of(&have)[..], [Action::Remove { .. }]));
    // This agent has just put it, and the supervisor has not said so yet.
    let mut put = spec(&name("a"), 1, 2);
    put.grounds = vec![secret(3)];
    let have = Have {
        put: Some(Box::new(put)),
        ..Have::default()
    };
    assert!(matches!(plan_of(&have)[..], [Action::Remove { .. }]));
}

#[test]
fn a_void_approval_stops_what_ran_because_of_it_only_where_too_few_are_left() {
    let resolved = Resolved {
        wanted: [(name("a"), held(&name("a")))].into(),
        void: void(),
        ..Resolved::default()
    };
    let approvals = |needed, by| {
        let ground = Ground {
            what: "an approval of its manifest".into(),
            by,
            needed,
        };
        let have = [(name("a"), because_of(ground))].into();
        plan(&resolved, &have, 0).actions.len()
    };
    let (void, good) = (hand(STOLEN, 3), hand("SHA256:carol", 3));
    assert_eq!(approvals(1, vec![void.clone()]), 1);
    assert_eq!(approvals(1, vec![void.clone(), good.clone()]), 0);
    assert_eq!(approvals(2, vec![void, good.clone()]), 1);
    assert_eq!(approvals(1, vec![good]), 0);
}

#[test]
fn another_agent_s_put_is_put_again_where_other_people_stand_behind_it() {
    let mut wanted = spec(&name("w"), 1, 2);
    let have = Have {
        revision: Some(wanted.revision),
        footings: vec![wanted.footing()],
        is_live: true,
        ..Have::default()
    };
    let actions = |wanted: &RunSpec| {
        let resolved = Resolved {
            wanted: [(name("w"), Wanted::Run(Box::new(wanted.clone())))].into(),
            ..Resolved::default()
        };
        plan(&resolved, &[(name("w"), have.clone())].into(), 0).actions
    };
    assert_eq!(actions(&wanted), []);
    wanted.grounds = vec![Ground {
        what: "an approval of its manifest".into(),
        by: vec![hand("SHA256:carol", 3)],
        needed: 1,
    }];
    assert_eq!(actions(&wanted), [Action::Put(Box::new(wanted.clone()))]);
}
