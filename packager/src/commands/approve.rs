//! `approve FILE`: your approval of a policy or of a manifest, what it means in sentences, and who is still to approve.

use super::here;
use crate::{
    approvals,
    audit::trunk,
    cli::ApproveArgs,
    commit::Change,
    deploy_repository::{DeployRepository, shown_path},
    failure::{Exit, Failure, Outcome},
    key::Key,
    pack::read_limited,
    place, policy_edit,
    proposed::{self, Base, FILE, Proposed},
    talk, words, workflow,
};
use anyhow::Context;
use serde_json::json;
use swarm_manifests::{
    approval::{Subject, Tally, approver},
    id::Digest,
    manifest::{self, Manifest},
    name::Name,
    policy::{self, FOLDER, Policy},
    rules::{bundle::MISSING, trunk::APPROVALS},
    signature::{MAX_ARMOUR, Signature},
};

/// Approves it.
pub fn run(args: &ApproveArgs, as_json: bool) -> Outcome {
    let repository = here()?;
    let shown = if args.file.is_file() {
        let real = args
            .file
            .canonicalize()
            .context("the file cannot be found")?;
        let top = repository
            .top()
            .canonicalize()
            .context("the repository cannot be found")?;
        shown_path(&top, &real)
    } else {
        args.file.to_string_lossy().into_owned()
    };
    if shown == FILE {
        return of_policy(&repository, args, as_json);
    }
    let stem = manifest::workflow_of(&shown).unwrap_or(&shown);
    let name = Name::new(stem).map_err(|_| {
        Failure::usage(format!(
            "{} is neither policy.toml nor a manifest nor a workflow",
            args.file.display()
        ))
        .hint("swarm-pack approve policy.toml, or swarm-pack approve manifests/NAME.toml")
    })?;
    of_manifest(&repository, &name, args, as_json)
}

fn of_policy(repository: &DeployRepository, args: &ApproveArgs, as_json: bool) -> Outcome {
    let base = Base::find(repository)?;
    let old = proposed::on_trunk(repository, base.as_ref())?;
    let before = std::fs::read_to_string(repository.top().join(FILE))
        .with_context(|| format!("{FILE} could not be read"))?;
    let is_changed = old.as_ref().is_none_or(|old| {
        policy::read(FILE, before.as_bytes()).0.is_none_or(|new| {
            !words::policy_change(old, &new).is_empty() || new.version != old.version
        })
    });
    let text = if is_changed {
        policy_edit::raise(&before, old.as_ref())?
    } else {
        before.clone()
    };
    let proposed = Proposed::of(old, &text)?;
    let mut files = Change::default();
    if text != before {
        place::write_file(repository, FILE, &text, &mut files)?;
    }
    proposed.tell();
    if args.print {
        talk::raw(&text);
        return Ok(());
    }
    if !is_changed {
        talk::say("there is nothing to approve");
        return Ok(());
    }
    let (armour, signature) = signature(repository, args, policy::NAMESPACE, &text)?;
    let person = proposed.admin(&signature.key())?;
    place::write_file(repository, FILE, &text, &mut files)?;
    place::write_file(
        repository,
        &format!("{FOLDER}/{person}.sig"),
        &armour,
        &mut files,
    )?;
    files.stage(repository)?;
    talk::say(format!("{person} approves it: {FOLDER}/{person}.sig"));
    let commit = if args.commit {
        proposed.commit(
            repository,
            &Key::find(args.key.key.as_deref(), &repository.git)?,
        )?
    } else {
        None
    };
    if let Some(why) = base.and_then(|base| base.stopped()) {
        talk::warn(why);
    }
    let standing = proposed.standing(repository, None)?;
    proposed.say_next(&standing, commit.as_deref());
    if as_json {
        talk::json(&json!({
            "file": FILE, "by": person, "version": proposed.new_policy().version, "changes": proposed.sentences(),
            "approvals": standing.json(), "commit": commit,
        }));
    }
    Ok(())
}

/// The signature that was made elsewhere, or one made now; it fits these bytes.
fn signature(
    repository: &DeployRepository,
    args: &ApproveArgs,
    namespace: &str,
    text: &str,
) -> Outcome<(String, Signature)> {
    let Some(path) = &args.signature else {
        return Key::find(args.key.key.as_deref(), &repository.git)?
            .sign(namespace, text.as_bytes());
    };
    let armour = read_limited(path, MAX_ARMOUR as u64 + 1)?;
    let signature = Signature::parse(&armour)
        .and_then(|signature| signature.verify(namespace, text.as_bytes()).map(|()| signature))
        .map_err(|error| {
            Failure::new(format!("{}: {error}", path.display())).hint(format!(
                "swarm-pack approve {} --print > what; ssh-keygen -Y sign -n {namespace} -f KEY what",
                args.file.display()
            ))
        })?;
    Ok((String::from_utf8_lossy(&armour).into_owned(), signature))
}

/// A manifest on the trunk, and what is signed of it.
struct Asked {
    path: String,
    manifest: std::sync::Arc<Manifest>,
    policy: std::sync::Arc<Policy>,
    tally: Tally,
    statement: String,
    sentences: Vec<String>,
}

fn of_manifest(
    repository: &DeployRepository,
    name: &Name,
    args: &ApproveArgs,
    as_json: bool,
) -> Outcome {
    let asked = asked(repository, name)?;
    for sentence in &asked.sentences {
        talk::say(format!("  {sentence}"));
    }
    if args.print {
        talk::raw(&asked.statement);
        return Ok(());
    }
    let (armour, signature) = signature(repository, args, manifest::NAMESPACE, &asked.statement)?;
    let person = asked.policy.person_of(&signature.key()).cloned();
    let person = person.ok_or_else(|| {
        not_allowed(format!(
            "the policy does not know the key {}",
            signature.fingerprint()
        ))
    })?;
    approver(
        &asked.policy,
        person.as_str(),
        armour.as_bytes(),
        &asked.statement,
        &asked.manifest,
    )
    .map_err(not_allowed)?;
    let mut tally = asked.tally.clone();
    if !tally.by.insert(person.clone()) {
        talk::say(format!(
            "{person} stands behind it already: {}",
            tally.sentence("people")
        ));
        return Ok(());
    }
    let mut files = Change::default();
    let file = format!("approvals/{name}/{person}.sig");
    place::write_file(repository, &file, &armour, &mut files)?;
    files.stage(repository)?;
    let commit = if args.commit {
        let key = Key::find(args.key.key.as_deref(), &repository.git)?;
        files.commit(repository, &key, &format!("approve {name}"))?
    } else {
        None
    };
    let next = match &commit {
        Some(commit) => format!("committed as {commit:.10}; next: git push"),
        None => format!("next: git commit -m \"approve {name}\" && git push"),
    };
    let standing = match tally.missing() {
        0 => "that is enough".to_string(),
        _ => tally.sentence("people"),
    };
    talk::say(format!(
        "{person} approves {}: {file}; {standing}\n{next}",
        asked.path
    ));
    if as_json {
        talk::json(&json!({
            "file": file, "by": person, "workflow": name, "changes": asked.sentences, "approvals": approvals::json(&tally), "commit": commit,
        }));
    }
    Ok(())
}

fn not_allowed(why: impl std::fmt::Display) -> Failure {
    Failure::rule(&APPROVALS, format!("this approval would not count: {why}"))
        .exit(Exit::NotAllowed)
}

/// What the trunk says of the manifest, which must be committed as it stands.
fn asked(repository: &DeployRepository, name: &Name) -> Outcome<Asked> {
    let file = workflow::find(repository, name)?;
    let text = file.text.ok_or_else(|| {
        Failure::new(format!("there is no workflow {name} here"))
            .exit(Exit::Unknown)
            .hint("swarm-pack show lists them")
    })?;
    let committed = repository.git.file("HEAD", &file.path)?;
    let (trusted, snapshot) = trunk::verified(repository)?;
    let found = snapshot
        .workflows
        .into_iter()
        .find(|found| found.workflow == *name);
    let found = found
        .filter(|_| committed.as_deref() == Some(text.as_bytes()))
        .ok_or_else(|| {
            Failure::new(format!(
                "{} is changed here and not committed, and an approval is of what the trunk has",
                file.path
            ))
            .hint("commit it first (swarm-pack deploy, or git commit)")
        })?;
    let manifest = found.manifest.clone().map_err(|problems| {
        Failure::findings(crate::failure::Finding::of(problems, text.as_bytes()))
    })?;
    let version = format!("{}/{}", manifest.bundle, manifest.version);
    let bundle = trusted
        .bundles
        .get(version.as_str())
        .and_then(|bundle| bundle.digest);
    let bundle = bundle.ok_or_else(|| {
        Failure::rule(
            &MISSING,
            format!(
                "its bundle {} {} is not published, so nobody can stand behind it",
                manifest.bundle, manifest.version
            ),
        )
        .hint("swarm-pack publish it first")
    })?;
    let subject = Subject {
        repository: &snapshot.policy.repository,
        workflow: name,
        manifest: Digest::of(text.as_bytes()),
        bundle,
        commit: found.brought.commit,
    };
    Ok(Asked {
        statement: subject.statement(),
        sentences: sentences(
            repository,
            &file.path,
            &found.brought.commit.to_string(),
            &manifest,
        )?,
        path: file.path,
        policy: snapshot.policy.clone(),
        tally: found.backing.tally.clone(),
        manifest,
    })
}

/// What the commit that is to be approved changed of it.
fn sentences(
    repository: &DeployRepository,
    path: &str,
    commit: &str,
    new: &Manifest,
) -> Outcome<Vec<String>> {
    let before = repository.git.file(&format!("{commit}^1"), path)?;
    let old = before.and_then(|text| manifest::read(path, &text).0);
    let mut said = words::manifest_change(old.as_ref(), Some(new));
    if said.is_empty() {
        said.push(format!(
            "{} runs {} {} on {}",
            new.workflow,
            new.bundle,
            new.version,
            words::on(&new.on)
        ));
    }
    Ok(said)
}
