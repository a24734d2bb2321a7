//! The whole repository: its files as they stand, its trunk as every box verifies it, and what refers to what.

pub use super::report::Report;
use super::{bundle, file, removed, report::note_of, secret, trunk};
use crate::{
    deploy_repository::DeployRepository,
    failure::{Finding, Outcome},
    folder::of_refusal,
    pack::read_limited,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use swarm_manifests::{
    approval,
    id::{Digest, Oid},
    lock::Kind,
    manifest::{self, Manifest},
    name::Name,
    policy,
    problem::{Problem, Refusal},
    roster,
    rules::{bundle as rules, file::DUPLICATE, trunk::REVOKED},
    shape::MAX_TEXT,
};
use swarm_repository::{
    bundle::{Looked, VerifiedBundle},
    objects::Objects,
    trusted::Trusted,
    verifier::Verifier,
};

/// Looks at everything, uncommitted files as they stand in the working tree.
pub fn check(repository: &DeployRepository) -> Outcome<Report> {
    let mut report = Report::default();
    let files = files(repository)?;
    let mut manifests = Vec::new();
    let mut boxes = Vec::new();
    for path in &files {
        report
            .findings
            .extend(file::check(&repository.top().join(path), path)?);
        let text = read_limited(&repository.top().join(path), MAX_TEXT as u64)?;
        if path.starts_with("boxes/") {
            boxes.extend(roster::read(path, &text).0);
        } else if path.starts_with("manifests/") {
            manifests.extend(
                manifest::read(path, &text)
                    .0
                    .map(|manifest| (path.clone(), text, manifest)),
            );
        }
    }
    report.findings.extend(policy_step(repository, "HEAD")?);
    let objects = trunk::objects(&repository.git)?;
    let mut verifier = Verifier::new();
    let trusted = match repository.git.head()? {
        Some(head) => judged(repository, &objects, &mut verifier, &head, &mut report)?,
        None => None,
    };
    duplicates(&files, trusted.as_ref(), &mut report);
    if let Some(trusted) = &trusted {
        waiting(&objects, &mut verifier, trusted, &mut report)?;
    }
    secret::unread(repository, &manifests, &boxes, &mut report)?;
    let mut seen = BTreeSet::new();
    for (path, text, manifest) in &manifests {
        if !boxes.is_empty() && !boxes.iter().any(|entry| chooses(manifest, entry)) {
            report.warnings.push(format!(
                "{path}: [on] chooses no box of the roster (boxes/)"
            ));
        }
        let wanted = (manifest.bundle.clone(), manifest.version.to_string());
        if seen.insert(wanted.clone()) {
            let refusal = reference(
                repository,
                &objects,
                &mut verifier,
                trusted.as_ref(),
                &wanted,
            )?;
            let place =
                refusal.map(|refusal| note(repository, path, text, manifest, refusal, &mut report));
            place.transpose()?;
        }
    }
    report.note_the_void();
    Ok(report)
}

/// What waits for people, what is void, and what came back in place of that: nothing is wrong with either.
fn waiting(
    objects: &Objects,
    verifier: &mut Verifier,
    trusted: &Trusted,
    report: &mut Report,
) -> Outcome {
    let snapshot = verifier.snapshot(objects, trusted)?;
    let unread = snapshot.workflows.iter();
    let unread = unread.filter_map(|found| found.manifest.as_ref().err());
    let void = snapshot.problems.iter().chain(unread.flatten());
    let void = void.filter(|problem| problem.rule == &REVOKED);
    report.warnings.extend(void.map(note_of));
    for found in snapshot.workflows {
        let path = &found.brought.path;
        if let Err(refusal) = approval::enough(&found.backing.tally, path) {
            report.warnings.push(format!("{path} waits: {refusal}"));
        }
        for (file, why) in &found.backing.odd {
            report
                .warnings
                .push(format!("{file} does not count: {why}"));
        }
        report.warnings.extend(
            found
                .instead_of
                .iter()
                .map(|refusal| format!("{path}: {refusal}")),
        );
    }
    Ok(())
}

/// Verifies the trunk; how far it is good.
fn judged(
    repository: &DeployRepository,
    objects: &Objects,
    verifier: &mut Verifier,
    head: &str,
    report: &mut Report,
) -> Outcome<Option<Trusted>> {
    let judged = trunk::judge(repository, objects, verifier, head)?;
    report.findings.extend(judged.refusal.map(of_trunk));
    Ok(judged.trusted)
}

/// A refusal of the trunk, at the commit that it is about.
pub fn of_trunk((commit, refusal): (Option<Oid>, Refusal)) -> Finding {
    let file = commit.map_or_else(
        || "trunk".into(),
        |commit| format!("commit {}", commit.short()),
    );
    Finding::bare(of_refusal(&file, refusal))
}

/// The files that boxes read, but for bundles: those are looked at where a manifest names them.
fn files(repository: &DeployRepository) -> Outcome<Vec<String>> {
    let mut paths = repository.files(&["policy.toml", "manifests", "boxes"])?;
    paths.retain(|path| file::is_toml(path));
    Ok(paths)
}

/// Two manifests of one name: the later one is the one too many, and what is not committed yet is later than everything.
fn duplicates(files: &[String], trusted: Option<&Trusted>, report: &mut Report) {
    let since = |path: &str| {
        let brought = trusted.and_then(|trusted| trusted.manifests.get(path));
        brought.map_or(u64::MAX, |brought| brought.position)
    };
    let mut by_name: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for path in files {
        if let Some(workflow) = manifest::workflow_of(path) {
            by_name.entry(workflow).or_default().push(path);
        }
    }
    for (workflow, mut paths) in by_name {
        paths.sort_by_key(|path| (since(path), *path));
        let first = paths.remove(0);
        for path in paths {
            let message = format!("the workflow {workflow} has a manifest in {first} already");
            let problem = Problem::whole(path, &DUPLICATE, message).hint(DUPLICATE.remedy);
            report.findings.push(Finding::bare(problem));
        }
    }
}

/// Where policy.toml is another one than at this commit: whether that step may be made.
pub fn policy_step(repository: &DeployRepository, base: &str) -> Outcome<Option<Finding>> {
    let Some(old) = repository.git.file(base, "policy.toml")? else {
        return Ok(None);
    };
    let new = read_limited(&repository.top().join("policy.toml"), MAX_TEXT as u64)?;
    let read = |text: &[u8]| policy::read("policy.toml", text).0;
    let (Some(before), Some(after)) = (read(&old), read(&new)) else {
        return Ok(None);
    };
    if old == new {
        return Ok(None);
    }
    let refused = policy::check_change(&before, &after).err();
    Ok(refused.map(|refusal| Finding::bare(of_refusal("policy.toml", refusal))))
}

/// Whether `[on]` may choose a box of the roster.
pub fn chooses(manifest: &Manifest, entry: &roster::Entry) -> bool {
    // What only the box itself knows (memory, engines) cannot be judged here: that is no warning.
    manifest.on.foresee(&entry.known()) != Some(false)
}

/// Whether the bundle that a manifest names can run: at HEAD, or as it stands in the working tree.
fn reference(
    repository: &DeployRepository,
    objects: &Objects,
    verifier: &mut Verifier,
    trusted: Option<&Trusted>,
    wanted: &(Name, String),
) -> Outcome<Option<Refusal>> {
    let folder = format!("bundles/{}/{}", wanted.0, wanted.1);
    let refusal = match trusted {
        Some(trusted) => published(objects, verifier, trusted, wanted)?,
        None => return standing(repository, &folder, wanted),
    };
    match refusal {
        Some(refusal) if refusal.rule == &rules::MISSING => standing(repository, &folder, wanted),
        other => Ok(other),
    }
}

/// Whether the trunk's bundle of this name and version can run, bytes and all.
pub fn published(
    objects: &Objects,
    verifier: &mut Verifier,
    trusted: &Trusted,
    (name, version): &(Name, String),
) -> Outcome<Option<Refusal>> {
    Ok(match verifier.look(objects, trusted, name, version)? {
        Looked::Refused(refusal) => Some(refusal),
        Looked::Need(missing) => Some(not_here(missing.len(), name, version)),
        Looked::Verified(_, missing) if !missing.is_empty() => {
            Some(not_here(missing.len(), name, version))
        }
        Looked::Verified(bundle, _) => differing(objects, &bundle)?,
    })
}

fn not_here(count: usize, name: &Name, version: &str) -> Refusal {
    Refusal::new(
        &rules::MISSING,
        format!("{count} objects of {name} {version} are not in this clone"),
    )
    .hint("fetch them: git fetch --refetch --no-filter")
}

/// Hashes the bytes against the lock, as a box does when it stores them.
fn differing(objects: &Objects, bundle: &VerifiedBundle) -> Outcome<Option<Refusal>> {
    for (entry, blob) in bundle.lock().entries().iter().zip(bundle.files()) {
        let same = objects.header(*blob)?.1 == entry.size
            && Digest::of(&objects.blob(*blob, entry.size)?) == entry.hash;
        if !same {
            let what = if entry.kind == Kind::Link {
                "link"
            } else {
                "file"
            };
            let reason = format!(
                "bundle {} {}: the {what} {} is not what bundle.lock lists",
                bundle.bundle().name,
                bundle.bundle().version,
                entry.path
            );
            return Ok(Some(Refusal::new(&rules::FILE_DIFFERS, reason)));
        }
    }
    Ok(None)
}

/// A bundle that stands in the working tree and is not committed yet.
fn standing(
    repository: &DeployRepository,
    folder: &str,
    (name, version): &(Name, String),
) -> Outcome<Option<Refusal>> {
    let path = repository.top().join(folder);
    if !path.join("bundle.lock").is_file() {
        let reason = format!("the bundle {name} {version} is not published");
        return Ok(Some(Refusal::new(&rules::MISSING, reason).hint(format!(
            "swarm-pack publish DIR, or swarm-pack up DIR, where DIR holds {name}"
        ))));
    }
    let mut audit = bundle::audit(&path, folder)?;
    if let Ok(policy) = repository.policy() {
        audit.publisher(folder, &policy);
    }
    let first = audit.findings.into_iter().next();
    Ok(first.map(|finding| {
        Refusal::new(
            finding.problem.rule,
            format!("{}: {}", finding.problem.file, finding.problem.message),
        )
    }))
}

/// Notes what is wrong with a manifest's bundle at the line that names it. A manifest that is not committed yet, whose
/// bundle still lies in sources/, is on its way: that is a warning.
fn note(
    repository: &DeployRepository,
    path: &str,
    text: &[u8],
    manifest: &Manifest,
    refusal: Refusal,
    report: &mut Report,
) -> Outcome {
    if refusal.rule == &rules::MISSING
        && let Some(removed) = removed::find(&repository.git, "HEAD", path, manifest)?
    {
        report.warnings.push(removed.warning(path));
        return Ok(());
    }
    let is_new = repository.git.file("HEAD", path)?.is_none();
    let source = Path::new("sources").join(manifest.bundle.as_str());
    if refusal.rule == &rules::MISSING
        && is_new
        && repository.top().join(&source).join("bundle.toml").is_file()
    {
        report.warnings.push(format!(
            "{path}: {}; swarm-pack up {} does it all",
            refusal.reason,
            source.display()
        ));
        return Ok(());
    }
    let whole = String::from_utf8_lossy(text);
    let hint = refusal.hint.unwrap_or_else(|| refusal.rule.remedy.into());
    let problem = match version_line(&whole) {
        Some(span) => Problem::at(path, &whole, span, refusal.rule, refusal.reason),
        None => Problem::whole(path, refusal.rule, refusal.reason),
    };
    report
        .findings
        .extend(Finding::of(vec![problem.hint(hint)], text));
    Ok(())
}

fn version_line(text: &str) -> Option<std::ops::Range<usize>> {
    let start = text
        .match_indices("version")
        .map(|(at, _)| at)
        .find(|&at| at == 0 || text.as_bytes()[at - 1] == b'\n')?;
    let end = text[start..]
        .find(['\n', '#'])
        .map_or(text.len(), |at| start + at);
    Some(start..start + text[start..end].trim_end().len())
}
