//! One workflow's [`RunSpec`]: bundle, manifest and box in one, every placeholder of ours filled in. Pure.

use super::{
    Cleared, ceiling,
    placeholder::{Values, shown},
};
use crate::facts::Here;
use std::collections::BTreeMap;
use swarm_manifests::{
    bundle::{Bundle, Probe, Workdir},
    id::Digest,
    manifest::Manifest,
    policy::{Ceiling, Ground},
    problem::Refusal,
    revision::revision,
    rules,
};
use swarm_supervisor::protocol::{InstallSpec, Origin, RunSpec};

/// Engines whose programs write where they start: they start in the state folder unless the bundle says otherwise.
const STARTS_IN_STATE: [&str; 2] = ["beam", "accessor"];

/// The most bytes that arguments and environment may have together: the kernel takes 2 MiB, less its own.
const MAX_ARGUMENTS: usize = 1 << 20;

/// Makes the spec, or says which placeholder has no value.
pub fn spec(
    manifest: &Manifest,
    (cleared, secrets): (&Cleared, BTreeMap<String, Digest>),
    (origin, grounds): (Origin, Vec<Ground>),
    policy: &Ceiling,
    here: &Here,
) -> Result<RunSpec, Refusal> {
    let bundle = cleared.bundle();
    let ceilings = [(policy, "the policy's"), (&here.ceiling, "this box's")];
    let mut values = values(manifest, bundle, here);
    let entry = values.fill(&bundle.entry, "entry")?;
    values.named.insert("entry", format!("{{bundle}}/{entry}"));
    let command = command(manifest, bundle, here, &values)?;
    let mut env = BTreeMap::new();
    for (name, value) in bundle.env.iter().chain(&manifest.env) {
        env.insert(name.clone(), values.fill(value, &format!("[env] {name}"))?);
    }
    let size: usize = command
        .iter()
        .map(String::len)
        .chain(env.iter().map(|(name, value)| name.len() + value.len()))
        .sum();
    if size > MAX_ARGUMENTS {
        return Err(Refusal::new(
            &rules::file::BAD_VALUE,
            format!(
                "arguments and environment have {size} bytes together, at most {MAX_ARGUMENTS} are taken"
            ),
        ));
    }
    let mut stop = bundle.stop.clone();
    stop.command = stop
        .command
        .map(|words| fill_all(&words, &values, "[stop] command"))
        .transpose()?;
    Ok(RunSpec {
        workflow: manifest.workflow.clone(),
        bundle: bundle.name.clone(),
        version: bundle.version.to_string(),
        digest: cleared.digest(),
        revision: revision(manifest, bundle, cleared.digest(), &secrets),
        origin,
        mode: manifest.run.mode,
        time_limit: ceiling::time_limit(manifest.run.mode, manifest.run.time_limit, &ceilings),
        on_limit: manifest.run.on_limit,
        instances: manifest.run.instances,
        schedule: manifest.run.schedule.clone(),
        restart: manifest.restart.clone(),
        command,
        env,
        workdir: bundle.workdir.clone().unwrap_or_else(|| workdir(bundle)),
        user: bundle.user.clone(),
        ports: bundle.ports.clone(),
        install: install(bundle, here, &values)?,
        ready: bundle
            .ready
            .clone()
            .map(|ready| {
                probe(ready.probe, &values, "[ready]")
                    .map(|probe| swarm_manifests::bundle::Ready { probe, ..ready })
            })
            .transpose()?,
        health: bundle
            .health
            .clone()
            .map(|health| {
                probe(health.probe, &values, "[health]")
                    .map(|probe| swarm_manifests::bundle::Health { probe, ..health })
            })
            .transpose()?,
        stop,
        limits: ceiling::cut(&bundle.limits.tightest(&manifest.limits), &ceilings),
        sandbox: bundle.sandbox.clone(),
        secrets,
        grounds,
        store: here.store.join(cleared.digest().hex()),
    })
}

fn values<'a>(manifest: &Manifest, bundle: &'a Bundle, here: &'a Here) -> Values<'a> {
    let fact = |name: &str| here.facts.facts.get(name).map(shown).unwrap_or_default();
    Values {
        named: BTreeMap::from([
            ("box", here.facts.name.clone()),
            ("host", fact("hostname")),
            ("workflow", manifest.workflow.to_string()),
            ("version", bundle.version.to_string()),
            ("arch", fact("arch")),
            ("os", fact("os")),
        ]),
        labels: &here.facts.labels,
        ports: &bundle.ports,
    }
}

/// The engine's words with args after them, or where `{args}` stands as a word.
fn command(
    manifest: &Manifest,
    bundle: &Bundle,
    here: &Here,
    values: &Values<'_>,
) -> Result<Vec<String>, Refusal> {
    let args = fill_all(
        manifest.args.as_ref().unwrap_or(&bundle.args),
        values,
        "args",
    )?;
    let words = here
        .engines
        .get(&bundle.engine)
        .map(|engine| engine.command.as_slice())
        .unwrap_or_default();
    let mut command = Vec::new();
    let mut placed = false;
    for word in words {
        if word == "{args}" {
            command.extend(args.iter().cloned());
            placed = true;
        } else {
            command.push(values.fill(word, &format!("the command of engine {}", bundle.engine))?);
        }
    }
    if !placed {
        command.extend(args);
    }
    Ok(command)
}

fn fill_all(words: &[String], values: &Values<'_>, place: &str) -> Result<Vec<String>, Refusal> {
    words.iter().map(|word| values.fill(word, place)).collect()
}

fn workdir(bundle: &Bundle) -> Workdir {
    if STARTS_IN_STATE.contains(&bundle.engine.as_str()) {
        Workdir::State(String::new())
    } else {
        Workdir::Bundle(String::new())
    }
}

fn install(
    bundle: &Bundle,
    here: &Here,
    values: &Values<'_>,
) -> Result<Option<InstallSpec>, Refusal> {
    let Some(mut install) = bundle.install.clone() else {
        return Ok(None);
    };
    install.command = fill_all(&install.command, values, "[install] command")?;
    let engine_version = here
        .facts
        .get(&format!("engine.{}", bundle.engine))
        .map(shown)
        .unwrap_or_default();
    Ok(Some(InstallSpec {
        install,
        engine: bundle.engine.to_string(),
        engine_version,
    }))
}

fn probe(probe: Probe, values: &Values<'_>, place: &str) -> Result<Probe, Refusal> {
    Ok(match probe {
        Probe::Http(url) => Probe::Http(values.fill(&url, place)?),
        Probe::Exec(words) => Probe::Exec(fill_all(&words, values, place)?),
        Probe::Notify | Probe::Tcp(_) | Probe::Log(_) | Probe::LogRegex(_) | Probe::After(_) => {
            probe
        }
    })
}
