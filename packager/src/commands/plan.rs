//! `plan`: what each box of the roster would start, stop, replace or refuse, were this pushed. Asks no remote; reads objects.

use super::here;
use crate::{
    audit::{
        removed,
        repository::{of_trunk, published},
        trunk,
    },
    cli::KeyOption,
    commit,
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    foresee::{self, Action, Picture, Workflow},
    key::Key,
    talk,
};
use std::collections::BTreeMap;
use swarm_manifests::{
    approval,
    id::Digest,
    manifest::Manifest,
    problem::Refusal,
    revision::revision,
    rules::{bundle::MISSING, file::BAD_VALUE, run::SECRET, trunk::REVOKED},
};
use swarm_repository::{
    bundle::Looked, objects::Objects, snapshot::Snapshot, trusted::Trusted, verifier::Verifier,
};

/// What boxes read; what is changed here and not committed is in the plan too.
const OURS: [&str; 7] = [
    "policy.toml",
    "policy.sigs",
    "bundles",
    "manifests",
    "approvals",
    "boxes",
    "secrets",
];

/// Prints the plan.
pub fn run(key: &KeyOption, as_json: bool) -> Outcome {
    let repository = here()?;
    let head = repository.head()?;
    let base = upstream(&repository)?.unwrap_or_else(|| head.clone());
    let then = uncommitted(&repository, key, &head)?.unwrap_or_else(|| head.clone());
    let objects = trunk::objects(&repository.git)?;
    let mut verifier = Verifier::new();
    let judged = trunk::judge_step(&repository, &objects, &mut verifier, Some(&base), &then)?;
    let before = trunk::judge(&repository, &objects, &mut verifier, &base)?.trusted;
    let now = match &before {
        Some(trusted) => picture(&repository, &objects, &mut verifier, trusted)?,
        None => Picture::default(),
    };
    let reached = match &judged.trusted {
        Some(trusted) => picture(&repository, &objects, &mut verifier, trusted)?,
        None => Picture::default(),
    };
    if reached.roster.is_empty() {
        talk::warn(
            "boxes/ has no box, so nothing can be said of any: swarm-pack box add NAME --key KEY",
        );
    }
    let rows = foresee::foresee(&now, &reached, removable(&repository, &base, &then)?);
    if as_json {
        talk::json(&rows);
    } else if rows.is_empty() {
        talk::say(format!(
            "nothing would change on any box (compared with {base:.10})"
        ));
    } else {
        let cells: Vec<_> = rows
            .iter()
            .map(|row| {
                let rule = row.rule.map_or(String::new(), |rule| format!(" [{rule}]"));
                let to = row
                    .to
                    .as_ref()
                    .or(row.from.as_ref())
                    .cloned()
                    .unwrap_or_default();
                vec![
                    row.r#box.clone(),
                    row.action.as_str().into(),
                    row.workflow.to_string(),
                    to,
                    format!("{}{rule}", row.reason),
                ]
            })
            .collect();
        talk::table(&["BOX", "WOULD", "WORKFLOW", "VERSION", "BECAUSE"], &cells);
    }
    if let Some(refusal) = judged.refusal {
        return Err(Failure {
            message: "boxes would stay before this commit".into(),
            ..Failure::findings(vec![of_trunk(refusal)])
        });
    }
    let refused = rows
        .iter()
        .filter(|row| row.action == Action::Refuse)
        .count();
    match refused {
        0 => Ok(()),
        _ if as_json => Err(Failure::findings(Vec::new())),
        count => Err(Failure::new(format!("{count} of these would be refused"))
            .hint("swarm-pack check shows where it is wrong")),
    }
}

/// Where the remote's branch was when it was last fetched.
fn upstream(repository: &DeployRepository) -> Outcome<Option<String>> {
    repository
        .git
        .ask(["rev-parse", "-q", "--verify", "@{upstream}^{commit}"])
}

/// The commit that the person would make of what is changed in the working tree, signed with their key; none where nothing is.
fn uncommitted(
    repository: &DeployRepository,
    key: &KeyOption,
    head: &str,
) -> Outcome<Option<String>> {
    let folder = tempfile::tempdir().map_err(anyhow::Error::from)?;
    let git = repository
        .git
        .clone()
        .with_index(&folder.path().join("index"));
    git.run(["read-tree", head])?;
    let there = OURS
        .iter()
        .filter(|path| repository.top().join(path).exists());
    let known = git.line(["ls-files", "-z", "--", "."])?;
    let is_known = |path: &&str| {
        known
            .split('\0')
            .any(|file| file == *path || file.starts_with(&format!("{path}/")))
    };
    let mut words = vec!["add", "-A", "--"];
    words.extend(
        OURS.iter()
            .copied()
            .filter(|path| is_known(path) || there.clone().any(|other| other == path)),
    );
    if words.len() > 3 {
        git.run(&words)?;
    }
    let tree = git.line(["write-tree"])?;
    if tree
        == repository
            .git
            .line(["rev-parse", &format!("{head}^{{tree}}")])?
    {
        return Ok(None);
    }
    talk::say("with what is changed here and not committed yet");
    let key = Key::find(key.key.as_deref(), &repository.git)?;
    let git = key.in_git(&commit::identified(&repository.git)?);
    commit::commit_tree(&git, &tree, &[head], "plan").map(Some)
}

/// The largest `Allow-mass-removal: N` of the commits between.
fn removable(repository: &DeployRepository, base: &str, then: &str) -> Outcome<u32> {
    let trailers = repository.git.line([
        "log",
        "--first-parent",
        "--format=%(trailers:key=Allow-mass-removal,valueonly)",
        &format!("{base}..{then}"),
    ])?;
    Ok(trailers
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .max()
        .unwrap_or(0))
}

fn picture(
    repository: &DeployRepository,
    objects: &Objects,
    verifier: &mut Verifier,
    trusted: &Trusted,
) -> Outcome<Picture> {
    let snapshot = verifier.snapshot(objects, trusted)?;
    let mut picture = Picture {
        roster: (*snapshot.roster).clone(),
        ..Picture::default()
    };
    for found in &snapshot.workflows {
        let workflow = match &found.manifest {
            Err(problems) => {
                let refusal = problems.first().map_or_else(
                    || Refusal::new(&BAD_VALUE, "its manifest is wrong"),
                    |problem| {
                        Refusal::new(
                            problem.rule,
                            format!("{}: {}", problem.file, problem.message),
                        )
                    },
                );
                Workflow {
                    manifest: None,
                    void: Some(refusal.clone()).filter(|why| why.rule == &REVOKED),
                    runs: Err(refusal),
                    waits: None,
                    instead_of: None,
                }
            }
            Ok(manifest) => {
                let path = &found.brought.path;
                let stored = stored(repository, objects, verifier, trusted, (path, manifest))?;
                let trusted = stored.as_ref().unwrap_or(trusted);
                let runs = runs(objects, verifier, trusted, (manifest, &snapshot))?;
                let void = runs.as_ref().err().filter(|why| why.rule == &REVOKED);
                Workflow {
                    void: void.or(found.backing.struck.as_ref()).cloned(),
                    runs,
                    waits: approval::enough(&found.backing.tally, &found.brought.path).err(),
                    manifest: Some(manifest.clone()),
                    instead_of: found.instead_of.clone(),
                }
            }
        };
        picture.workflows.insert(found.workflow.clone(), workflow);
    }
    Ok(picture)
}

/// The trunk when it last had this manifest's bundle, where its folder went while the workflow ran it: boxes have it in their store.
fn stored(
    repository: &DeployRepository,
    objects: &Objects,
    verifier: &mut Verifier,
    trusted: &Trusted,
    (path, manifest): (&str, &Manifest),
) -> Outcome<Option<Trusted>> {
    let looked = verifier.look(
        objects,
        trusted,
        &manifest.bundle,
        &manifest.version.to_string(),
    )?;
    if !matches!(looked, Looked::Refused(refusal) if refusal.rule == &MISSING) {
        return Ok(None);
    }
    let head = trusted.head.to_string();
    match removed::find(&repository.git, &head, path, manifest)? {
        Some(removed) => Ok(trunk::judge(repository, objects, verifier, &removed.before)?.trusted),
        None => Ok(None),
    }
}

/// The encrypted secrets that it names: others make another revision. Whether a box can read them, only the box can say.
fn digests(manifest: &Manifest, snapshot: &Snapshot) -> Result<BTreeMap<String, Digest>, Refusal> {
    let named = manifest.secrets.iter().map(|(variable, name)| {
        let key = (manifest.workflow.clone(), name.clone());
        let secret = snapshot.secrets.get(&key).ok_or_else(|| {
            let file = format!("secrets/{}/{name}.age", manifest.workflow);
            let mut void = snapshot.problems.iter();
            match void.find(|problem| problem.rule == &REVOKED && problem.file == file) {
                Some(void) => Refusal::new(&REVOKED, format!("{file}: {}", void.message)),
                None => Refusal::new(&SECRET, format!("{file} is not there")),
            }
        })?;
        Ok((variable.clone(), secret.digest))
    });
    named.collect()
}

/// The revision that would run.
fn runs(
    objects: &Objects,
    verifier: &mut Verifier,
    trusted: &Trusted,
    (manifest, snapshot): (&Manifest, &Snapshot),
) -> Outcome<Result<Digest, Refusal>> {
    let wanted = (manifest.bundle.clone(), manifest.version.to_string());
    if let Some(refusal) = published(objects, verifier, trusted, &wanted)? {
        return Ok(Err(refusal));
    }
    let secrets = match digests(manifest, snapshot) {
        Ok(digests) => digests,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(
        match verifier.look(objects, trusted, &wanted.0, &wanted.1)? {
            Looked::Verified(bundle, _) => Ok(revision(
                manifest,
                bundle.bundle(),
                bundle.lock().digest(),
                &secrets,
            )),
            Looked::Refused(refusal) => Err(refusal),
            Looked::Need(_) => Err(Refusal::new(&MISSING, "its bundle is not in this clone")),
        },
    )
}
