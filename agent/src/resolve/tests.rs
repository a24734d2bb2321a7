use super::*;
use std::sync::Arc;
use swarm_manifests::{
    approval::Tally,
    bundle,
    facts::{Facts, Value},
    manifest,
    policy::{Ceiling, Policy},
    roster,
    settings::Engine,
};
use swarm_repository::snapshot::Backing;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// One box, one bundle, one manifest; each test changes what it is about.
struct World {
    here: Here,
    snapshot: Snapshot,
    offers: BTreeMap<BundleKey, Offer>,
}

const BUNDLE: &str = r#"
name = "ramp"
version = "1.2.0"
engine = "node"
entry = "bin/{arch}.js"
args = ["--on", "{box}", "{label.site}", "{state}"]
"#;
const MANIFEST: &str = r#"
version = "1.2.0"
[on]
all = true
[run]
mode = "daemon"
"#;

fn world(bundle: &str, manifest: &str) -> World {
    let engine = Engine {
        command: vec!["node".into(), "{entry}".into()],
        version: Some(vec!["node".into()]),
    };
    let text = |text: &str| Value::Text(text.into());
    let facts = BTreeMap::from([
        ("arch".to_string(), text("x86_64")),
        ("os".to_string(), text("linux")),
        ("hostname".to_string(), text("host")),
        ("engine.node".to_string(), text("20.1.0")),
    ]);
    let here = Here {
        facts: Facts {
            name: "lab-1".into(),
            labels: BTreeMap::from([("site".to_string(), text("berkeley"))]),
            facts,
        },
        engines: BTreeMap::from([(name("node"), engine)]),
        ceiling: Ceiling::default(),
        store: "/store".into(),
    };
    let (bundle, problems) = bundle::read("bundle.toml", bundle.as_bytes());
    let bundle = bundle.unwrap_or_else(|| panic!("{problems:?}"));
    let cleared = Cleared {
        bundle,
        digest: Digest([7; 32]),
        signed: Some((name("ci"), "SHA256:x".into())),
    };
    let (read, problems) = manifest::read("manifests/ramp.toml", manifest.as_bytes());
    let brought = Brought {
        path: "manifests/ramp.toml".into(),
        commit: Oid([9; 20]),
        position: 4,
        by: name("alice"),
        key: "SHA256:a".into(),
        time: "2026-11-23T10:00:00Z".into(),
    };
    let found = Found {
        workflow: name("ramp"),
        brought: Arc::new(brought),
        manifest: read.map(Arc::new).ok_or(problems),
        backing: Backing::default(),
        instead_of: None,
    };
    let policy = Policy {
        repository: "r".into(),
        version: 1,
        threshold: 1,
        people: BTreeMap::new(),
        teams: BTreeMap::new(),
        grants: vec![],
        revoked: vec![],
        ceiling: Ceiling::default(),
    };
    let snapshot = Snapshot {
        head: Oid([9; 20]),
        position: 4,
        policy: Arc::new(policy),
        workflows: vec![Arc::new(found)],
        roster: Arc::default(),
        secrets: BTreeMap::new(),
        void: Void::default(),
        problems: vec![],
    };
    World {
        here,
        snapshot,
        offers: BTreeMap::from([(
            (name("ramp"), "1.2.0".to_string()),
            Offer::Cleared(Box::new(cleared)),
        )]),
    }
}

impl World {
    fn chosen(&self) -> Chosen {
        Chosen::of(&self.snapshot, &self.here)
    }

    fn resolve(&self) -> Resolved {
        resolve(
            &self.snapshot,
            &self.here,
            &self.chosen(),
            &self.offers,
            &Secrets::default(),
        )
    }

    fn spec(&self) -> RunSpec {
        match self.resolve().wanted.remove("ramp") {
            Some(Wanted::Run(spec)) => *spec,
            other => panic!("it should run: {other:?}"),
        }
    }

    fn held(&self) -> Next {
        match self.resolve().wanted.remove("ramp") {
            Some(Wanted::Held(held)) => held.standing.next,
            other => panic!("it should be held back: {other:?}"),
        }
    }
}

#[test]
fn everything_of_ours_is_filled_in_and_the_supervisors_stays() {
    let spec = world(BUNDLE, MANIFEST).spec();
    assert_eq!(
        spec.command,
        [
            "node",
            "{bundle}/bin/x86_64.js",
            "--on",
            "lab-1",
            "berkeley",
            "{state}"
        ]
    );
    assert_eq!(
        spec.store,
        std::path::PathBuf::from(format!("/store/{}", "07".repeat(32)))
    );
    assert_eq!(spec.origin.by.as_deref(), Some("alice"));
}

#[test]
fn a_manifest_s_args_and_env_replace_and_add() {
    let manifest =
        MANIFEST.replace("version", "args = [\"x\"]\nversion") + "[env]\nA = \"{workflow}\"\n";
    let spec = world(&format!("{BUNDLE}[env]\nA = \"1\"\nB = \"2\"\n"), &manifest).spec();
    assert_eq!(spec.command, ["node", "{bundle}/bin/x86_64.js", "x"]);
    assert_eq!(
        spec.env,
        BTreeMap::from([
            ("A".to_string(), "ramp".to_string()),
            ("B".to_string(), "2".to_string())
        ])
    );
}

#[test]
fn a_box_that_is_not_chosen_says_by_what() {
    let world = world(
        BUNDLE,
        &MANIFEST.replace("all = true", "where = 'site == \"paris\"'"),
    );
    assert!(world.resolve().wanted.is_empty());
    assert!(
        world.resolve().elsewhere["ramp"].contains("site"),
        "{:?}",
        world.resolve().elsewhere
    );
    assert!(world.chosen().bundles().is_empty());
}

#[test]
fn an_engine_that_is_not_here_blocks() {
    let mut world = world(BUNDLE, MANIFEST);
    world.here.facts.facts.remove("engine.node");
    let next = world.held();
    assert_eq!(
        (next.state, next.rule.as_deref()),
        (State::Blocked, Some("S-RUN-02"))
    );
    world.here.engines.clear();
    assert_eq!(world.held().rule.as_deref(), Some("S-RUN-02"));
}

#[test]
fn a_requirement_that_is_not_met_blocks_with_both_versions() {
    let next = world(&format!("{BUNDLE}[requires]\nnode = \">=22\"\n"), MANIFEST).held();
    assert_eq!(
        (next.state, next.rule.as_deref()),
        (State::Blocked, Some("S-RUN-01"))
    );
    assert!(
        next.reason.contains(">=22") && next.reason.contains("20.1.0"),
        "{}",
        next.reason
    );
}

#[test]
fn a_broken_manifest_is_refused_with_commit_person_and_path() {
    let next = world(BUNDLE, &MANIFEST.replace("mode", "mood")).held();
    assert_eq!(next.state, State::Refused);
    for part in ["0909090909", "alice", "manifests/ramp.toml", "mode"] {
        assert!(next.reason.contains(part), "{part} in {}", next.reason);
    }
}

#[test]
fn a_bundle_that_may_not_run_is_refused_alone() {
    let mut world = world(BUNDLE, MANIFEST);
    let refusal = Refusal::new(&rules::bundle::SIGNATURE, "its signature does not fit");
    world
        .offers
        .insert((name("ramp"), "1.2.0".into()), Offer::Refused(refusal));
    let next = world.held();
    assert_eq!(
        (next.state, next.rule.as_deref(), next.version.as_deref()),
        (State::Refused, Some("S-BUNDLE-03"), Some("1.2.0"))
    );
    world.offers.clear();
    assert_eq!(world.held().state, State::Fetching);
}

#[test]
fn a_manifest_that_needs_two_people_waits_and_says_who_could() {
    let mut world = world(BUNDLE, MANIFEST);
    let backing = &mut Arc::make_mut(&mut world.snapshot.workflows[0]).backing;
    backing.tally = Tally {
        needed: 2,
        by: [name("alice")].into(),
        could: [name("alice"), name("bob")].into(),
    };
    let file = "approvals/ramp/bob.sig".to_string();
    backing.odd = vec![(file, "it is for another manifest".into())];
    let next = world.held();
    assert_eq!(
        (next.state, next.rule.as_deref()),
        (State::Waiting, Some("S-APPROVE-01"))
    );
    assert!(
        next.reason.contains("1 missing") && next.reason.contains("bob could"),
        "{}",
        next.reason
    );
    assert!(
        next.reason
            .contains("bob.sig does not count: it is for another manifest"),
        "{}",
        next.reason
    );
    let backing = &mut Arc::make_mut(&mut world.snapshot.workflows[0]).backing;
    backing.tally.by.insert(name("bob"));
    world.spec();
}

#[test]
fn limits_are_the_tightest_of_all() {
    let limits = |memory: &str| format!("[limits]\nmemory = \"{memory}\"\n");
    let mut world = world(
        &(BUNDLE.to_string() + &limits("256M")),
        &(MANIFEST.to_string() + &limits("512M")),
    );
    world.here.ceiling.limits.memory = Some(swarm_manifests::units::ByteSize(64 << 20));
    assert_eq!(
        world
            .spec()
            .limits
            .memory
            .map(|size| size.to_string())
            .as_deref(),
        Some("64M")
    );
}

#[test]
fn what_opens_more_than_the_ceiling_is_refused() {
    let next = world(
        &format!("{BUNDLE}[sandbox]\nwrite = [\"/srv/data\"]\n"),
        MANIFEST,
    )
    .held();
    assert_eq!(
        (next.state, next.rule.as_deref()),
        (State::Refused, Some("S-RUN-06"))
    );
}

#[test]
fn count_falls_on_so_many_boxes_of_the_roster() {
    let mut here = world(
        BUNDLE,
        &MANIFEST.replace("all = true", "all = true\ncount = 2"),
    );
    let entry = |n: u8| {
        (
            name(&format!("lab-{n}")),
            roster::Entry {
                name: name(&format!("lab-{n}")),
                keys: vec![],
                labels: BTreeMap::new(),
            },
        )
    };
    here.snapshot.roster = Arc::new((1..=5).map(entry).collect());
    let runs = (1..=5).filter(|n| {
        here.here.facts.name = format!("lab-{n}");
        here.resolve().wanted.contains_key("ramp")
    });
    assert_eq!(runs.count(), 2);
    here.here.facts.name = "stranger".into();
    assert!(here.resolve().elsewhere["ramp"].contains("not among them"));
}

#[test]
fn what_was_stored_after_somebody_said_what_is_needed_stays() {
    let resolve = |manifest: &str| {
        let world = world(BUNDLE, manifest);
        crate::picture::Picture {
            resolved: std::rc::Rc::new(world.resolve()),
            ..Default::default()
        }
    };
    let older = std::collections::BTreeSet::from([Digest([1; 32])]);
    let stays = resolve(MANIFEST).stays(older.clone());
    assert_eq!(stays, Some([Digest([1; 32]), Digest([7; 32])].into()));
    let held = resolve(&MANIFEST.replace("1.2.0", "9.9.9"));
    assert_eq!(
        held.stays(older),
        None,
        "what a held workflow waits for may be stored"
    );
}

#[test]
fn what_is_chosen_after_a_snapshot_is_what_is_chosen_from_nothing() {
    let world = world(BUNDLE, MANIFEST);
    let template = world.snapshot.workflows[0].clone();
    let of = |workflow: &str, version: u64, on: &str| {
        let text = MANIFEST.replace("all = true", on);
        let path = format!("manifests/{workflow}.toml");
        let (read, problems) = manifest::read(&path, text.as_bytes());
        let brought = Brought {
            position: version,
            path,
            ..Brought::clone(&template.brought)
        };
        Arc::new(Found {
            workflow: name(workflow),
            brought: Arc::new(brought),
            manifest: read.map(Arc::new).ok_or(problems),
            ..Found::clone(&template)
        })
    };
    let all = [
        of("a", 1, "all = true"),
        of("a", 2, "boxes = [\"x\"]"),
        of("b", 1, "boxes = [\"x\"]"),
        of("b", 2, "boxes = [\"lab-*\"]"),
        of("c", 1, "nonsense"),
        of("d", 1, "where = 'site == \"paris\"'"),
        of("d", 2, "where = 'site == \"berkeley\"'"),
    ];
    // Every set of them that has each workflow at most once.
    let snapshots: Vec<Snapshot> = (0..1_u8 << all.len())
        .map(|set| {
            let some = all.iter().enumerate();
            let some = some.filter(|(at, _)| set >> at & 1 == 1);
            some.map(|(_, found)| found.clone()).collect::<Vec<_>>()
        })
        .filter(|some| {
            some.windows(2)
                .all(|pair| pair[0].workflow != pair[1].workflow)
        })
        .map(|workflows| Snapshot {
            workflows,
            ..world.snapshot.clone()
        })
        .collect();
    assert_eq!(snapshots.len(), 3 * 3 * 2 * 3);
    for before in &snapshots {
        let chosen = Chosen::of(before, &world.here);
        for now in &snapshots {
            let after = chosen.after(before, now, &world.here);
            let fresh = Chosen::of(now, &world.here);
            let meant = |chosen: &Chosen| chosen.meant.iter().map(Arc::as_ptr).collect::<Vec<_>>();
            assert_eq!(meant(&after), meant(&fresh), "{before:?} to {now:?}");
            assert_eq!(after.elsewhere, fresh.elsewhere, "{before:?} to {now:?}");
        }
    }
}
