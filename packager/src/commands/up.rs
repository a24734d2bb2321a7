//! `up DIR`: from an edited file to the running program on every box, or to the refusal.

use crate::{
    cli::{KeyOption, WishOptions},
    commit::Change,
    deploy_repository::DeployRepository,
    edit::{self, Wish},
    failure::{Exit, Failure, Outcome},
    key::Key,
    pack::{self, Packed},
    place,
    published::{self, Standing},
    push::{Pushed, Target},
    talk,
    watch::{self, Outlook, Wanted},
    workflow,
};
use anyhow::Context;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use swarm_manifests::{manifest::Manifest, name::Name, units::parse_duration};

/// How often a lost race is run again.
const TRIES: usize = 5;

/// What `up` was told.
#[derive(Debug)]
pub struct Options {
    /// The bundle's folder.
    pub dir: PathBuf,
    /// The workflow.
    pub name: Option<Name>,
    /// What to set in the manifest.
    pub wish: WishOptions,
    /// The key that signs.
    pub key: KeyOption,
    /// The map.
    pub map: Option<String>,
    /// How long to wait.
    pub timeout: String,
}

/// What was made of it.
struct Made {
    packed: Packed,
    manifest: Manifest,
    key: String,
    commit: Option<String>,
}

/// Does it all.
pub fn run(options: &Options, json: bool) -> Outcome {
    if options.wish.on.as_deref() == Some("local") {
        return local(&options.dir);
    }
    let timeout = parse_duration(&options.timeout)
        .map_err(|error| Failure::usage(format!("--timeout: {error}")))?;
    let wish = options.wish.wish().map_err(Failure::usage)?;
    let repository = DeployRepository::need(&[Path::new("."), &options.dir])?;
    let key = Key::find(options.key.key.as_deref(), &repository.git)?;
    let target = Target::find(&repository.git)?;
    let made = make_and_push(&repository, options, &wish, &key, target.as_ref())?;
    let commit = repository.head()?;
    let map = match &options.map {
        Some(url) => Some(url.clone()),
        None => std::env::var("SWARM_MAP")
            .ok()
            .filter(|url| !url.is_empty())
            .or(repository.git.config("swarm.map")?),
    };
    let outlooks = if let Some(url) = map {
        look(&repository, &made, &url, &commit, timeout)?
    } else {
        talk::say(format!(
            "to see it get ready: swarm-agent why {} on a box, or --map URL here (git config swarm.map URL keeps it)",
            made.manifest.workflow
        ));
        Vec::new()
    };
    if json {
        let boxes: serde_json::Map<_, _> = outlooks
            .iter()
            .map(|(name, outlook)| (name.clone(), in_json(outlook)))
            .collect();
        talk::json(&serde_json::json!({
            "name": made.packed.bundle.name, "version": made.packed.bundle.version.to_string(), "digest": made.packed.lock.digest(), "key": made.key,
            "workflow": made.manifest.workflow, "commit": commit, "boxes": boxes,
        }));
    }
    verdict(&made, &outlooks)
}

fn in_json(outlook: &Outlook) -> serde_json::Value {
    let (state, reason) = match outlook {
        Outlook::Done(reason) => ("done", reason),
        Outlook::Refused(reason) => ("refused", reason),
        Outlook::Waiting(reason) => ("waiting", reason),
        Outlook::Away(reason) => ("away", reason),
    };
    serde_json::json!({"state": state, "reason": reason})
}

fn verdict(made: &Made, outlooks: &[(String, Outlook)]) -> Outcome {
    let count =
        |is: fn(&Outlook) -> bool| outlooks.iter().filter(|(_, outlook)| is(outlook)).count();
    let (refused, waiting, done) = (
        count(|o| matches!(o, Outlook::Refused(_))),
        count(|o| matches!(o, Outlook::Waiting(_))),
        count(|o| matches!(o, Outlook::Done(_))),
    );
    let workflow = &made.manifest.workflow;
    if refused > 0 {
        return Err(Failure::new(format!("{refused} of {} boxes refuse {workflow}; what ran before goes on there", outlooks.len())).hint(format!("swarm-agent why {workflow} --map tells all; swarm-pack explain ID says what a rule means")));
    }
    if waiting > 0 {
        return Err(Failure::new(format!(
            "{waiting} of {} boxes do not have {workflow} yet",
            outlooks.len()
        ))
        .hint("it is pushed, and they go on trying; --timeout waits longer"));
    }
    if done > 0 {
        talk::say(format!(
            "{} is on {done} {}",
            made.packed.title(),
            if done == 1 { "box" } else { "boxes" }
        ));
    }
    Ok(())
}

/// One commit upon what the remote has; again where somebody else was faster.
fn make_and_push(
    repository: &DeployRepository,
    options: &Options,
    wish: &Wish,
    key: &Key,
    target: Option<&Target>,
) -> Outcome<Made> {
    for attempt in 1..=TRIES {
        let draft = Draft::take(repository, options)?;
        let made = make(repository, options, wish, key)?;
        if let Some(commit) = &made.commit {
            talk::say(format!(
                "{} ({}) for {}, in commit {commit:.10}",
                made.packed.title(),
                made.packed.lock.digest(),
                made.manifest.workflow
            ));
        } else {
            talk::say(format!(
                "{} is published and deployed already: nothing to commit",
                made.packed.title()
            ));
        }
        let Some(target) = target else {
            talk::say(
                "there is no remote: boxes that read this very folder see it now (git remote add origin URL)",
            );
            return Ok(made);
        };
        if target.push(&repository.git)? == Pushed::Done {
            talk::say("pushed");
            return Ok(made);
        }
        talk::say(format!(
            "others pushed meanwhile: once more upon theirs ({attempt} of {TRIES})"
        ));
        target.step_back(repository, made.commit.as_deref())?;
        draft.put_back(repository)?;
    }
    Err(Failure::new(format!("{TRIES} times somebody else was faster")).hint("run it again"))
}

/// A manifest as the person left it, where they have not committed it: taking our commit back must not lose it.
struct Draft {
    path: String,
    text: Option<String>,
    committed: Option<Vec<u8>>,
}

impl Draft {
    fn take(repository: &DeployRepository, options: &Options) -> Outcome<Self> {
        let workflow = workflow_name(options)?;
        let file = workflow::find(repository, &workflow)?;
        let committed = repository.git.file("HEAD", &file.path)?;
        let text = file
            .text
            .filter(|text| committed.as_deref() != Some(text.as_bytes()));
        Ok(Self {
            path: file.path,
            text,
            committed,
        })
    }

    fn put_back(self, repository: &DeployRepository) -> Outcome {
        let Some(text) = self.text else { return Ok(()) };
        let path = repository.top().join(&self.path);
        if repository.git.file("HEAD", &self.path)? != self.committed {
            let beside = path.with_extension("toml.yours");
            std::fs::write(&beside, text)
                .with_context(|| format!("{} could not be written", beside.display()))?;
            return Err(Failure::new(format!(
                "others changed {} while you were changing it",
                self.path
            ))
            .hint(format!(
                "yours is in {}: bring them together, and run it again",
                beside.display()
            )));
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("{} could not be made", parent.display()))?;
        }
        Ok(std::fs::write(&path, text)
            .with_context(|| format!("{} could not be written", path.display()))?)
    }
}

fn workflow_name(options: &Options) -> Outcome<Name> {
    if let Some(name) = &options.name {
        Ok(name.clone())
    } else {
        let (bundle, findings) = pack::read_bundle(&options.dir)?;
        bundle
            .map(|bundle| bundle.name)
            .ok_or_else(|| Failure::findings(findings))
    }
}

/// What is in the bundle's folder as we found it: a version that came to nothing is not raised.
struct Kept(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Kept {
    fn of(dir: &Path) -> Self {
        let files = ["bundle.toml", "bundle.lock"].map(|name| dir.join(name));
        Self(
            files
                .map(|path| (path.clone(), std::fs::read(path).ok()))
                .into(),
        )
    }

    fn put_back(self) {
        for (path, before) in self.0 {
            let now = std::fs::read(&path).ok();
            let done = match before {
                before if before == now => Ok(()),
                Some(text) => std::fs::write(&path, text),
                None => std::fs::remove_file(&path),
            };
            if let Err(error) = done {
                talk::warn(format!("{} is not as it was: {error}", path.display()));
            }
        }
    }
}

fn make(repository: &DeployRepository, options: &Options, wish: &Wish, key: &Key) -> Outcome<Made> {
    let kept = Kept::of(&options.dir);
    let made = try_to_make(repository, options, wish, key);
    if made.is_err() {
        kept.put_back();
    }
    made
}

fn try_to_make(
    repository: &DeployRepository,
    options: &Options,
    wish: &Wish,
    key: &Key,
) -> Outcome<Made> {
    let packed = raise(repository, &options.dir)?;
    packed.write_lock(&options.dir)?;
    let workflow = options
        .name
        .clone()
        .unwrap_or_else(|| packed.bundle.name.clone());
    let mut change = Change::default();
    // The manifest first: where it is refused, nothing was published.
    let bundle = (workflow != packed.bundle.name).then(|| packed.bundle.name.clone());
    let wish = Wish {
        bundle,
        version: Some(packed.bundle.version.to_string()),
        ..wish.clone()
    };
    let manifest = workflow::set(repository, &workflow, &wish, &mut change)?;
    let placed = place::place(repository, &packed, key, &mut change)?;
    let commit = change.commit(
        repository,
        key,
        &format!("up {workflow}: {}", packed.title()),
    )?;
    Ok(Made {
        packed,
        manifest,
        key: placed.key,
        commit,
    })
}

/// Packs the folder, under a new version where its bytes differ from what is published under its own.
fn raise(repository: &DeployRepository, dir: &Path) -> Outcome<Packed> {
    let packed = pack::pack(dir)?;
    if !matches!(
        published::standing(repository, &packed)?,
        Standing::Other(_)
    ) {
        return Ok(packed);
    }
    let ever = published::ever(&repository.git, &packed.bundle.name)?;
    let highest = ever
        .into_iter()
        .chain([packed.bundle.version.clone()])
        .max();
    let next = published::next(&highest.unwrap_or_else(|| packed.bundle.version.clone()));
    let path = dir.join("bundle.toml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{} could not be read", path.display()))?;
    let text = edit::bundle_version(&path.to_string_lossy(), &text, &next.to_string())?;
    std::fs::write(&path, text)
        .with_context(|| format!("{} could not be written", path.display()))?;
    talk::say(format!(
        "bytes changed since {}: {} is {next} now",
        packed.bundle.version, packed.bundle.name
    ));
    let packed = pack::pack(dir)?;
    match published::standing(repository, &packed)? {
        Standing::Other(found) => Err(published::immutable(&packed, &found)),
        _ => Ok(packed),
    }
}

fn look(
    repository: &DeployRepository,
    made: &Made,
    url: &str,
    commit: &str,
    timeout: Duration,
) -> Outcome<Vec<(String, Outlook)>> {
    let wanted = Wanted {
        manifest: &made.manifest,
        digest: made.packed.lock.digest().to_string(),
        has_probe: made.packed.bundle.ready.is_some(),
        commit: made.commit.clone().unwrap_or_else(|| commit.into()),
    };
    let includes = |holder: &str, held: &str| {
        holder == held || matches!(repository.git.contains(holder, held), Ok(true))
    };
    watch::watch(url, &wanted, timeout, &includes)
}

/// `--on local`: the agent runs the folder here, unsigned.
fn local(dir: &Path) -> Outcome {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("swarm-agent")))
        .filter(|path| path.exists());
    let program = beside.unwrap_or_else(|| "swarm-agent".into());
    let status = Command::new(&program)
        .arg("local")
        .arg(dir)
        .status()
        .with_context(|| format!("{} could not be run; is it installed?", program.display()))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("swarm-agent local ended with {status}")).exit(Exit::Failed))
    }
}
