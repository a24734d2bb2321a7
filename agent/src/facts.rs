//! What this box is: facts and engines, for selectors, requirements and placeholders.
//!
//! Touches /proc and runs the engines' version probes, at the same time and for five seconds at most; what a probe said is kept
//! by the program's path, size and time of change. A probe that does not answer leaves what was known: a slow box stops nothing.

use crate::settings::Config;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use swarm_manifests::{
    facts::{Facts, Value},
    name::Name,
    policy::Ceiling,
    settings::Engine,
};
use tokio::{io::AsyncReadExt, process::Command, task::JoinSet};

/// The box as `resolve` sees it.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Here {
    pub facts: Facts,
    pub engines: BTreeMap<Name, Engine>,
    pub ceiling: Ceiling,
    /// Where verified bundles lie.
    pub store: PathBuf,
}

/// How long a version probe may take.
const PROBE_TIME: Duration = Duration::from_secs(5);
/// How much of a probe's output is looked at, in bytes.
const PROBE_OUTPUT: u64 = 16 << 10;

/// What the probes said, by program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Probed(BTreeMap<String, Answer>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Answer {
    program: PathBuf,
    size: u64,
    changed: i64,
    version: String,
}

impl Probed {
    /// What was kept by an earlier agent; nothing where there is none, or where it cannot be read.
    pub fn load(file: &Path) -> Self {
        std::fs::read(file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    /// Keeps it for the next agent.
    pub fn save(&self, file: &Path) -> std::io::Result<()> {
        crate::trust::replace(file, &serde_json::to_vec(self)?)
    }
}

/// Looks at the box; `probed` holds what is known, and comes to hold what was found.
pub async fn look(config: &Config, probed: &mut Probed) -> Here {
    let mut facts = BTreeMap::from([
        (
            "arch".to_string(),
            Value::Text(std::env::consts::ARCH.into()),
        ),
        ("os".to_string(), Value::Text(std::env::consts::OS.into())),
    ]);
    let uname = rustix::system::uname();
    facts.insert(
        "kernel".into(),
        Value::Text(uname.release().to_string_lossy().into_owned()),
    );
    facts.insert(
        "hostname".into(),
        Value::Text(uname.nodename().to_string_lossy().into_owned()),
    );
    if let Ok(cpus) = std::thread::available_parallelism() {
        facts.insert(
            "cpus".into(),
            Value::Number(i64::try_from(cpus.get()).unwrap_or(i64::MAX)),
        );
    }
    if let Some(memory) = memory() {
        facts.insert("memory".into(), Value::Number(memory));
    }
    for (engine, version) in engines(&config.engines, probed).await {
        facts.insert(format!("engine.{engine}"), version);
    }
    Here {
        facts: Facts {
            name: config.name.to_string(),
            labels: config.settings.labels.clone(),
            facts,
        },
        engines: config.engines.clone(),
        ceiling: config.settings.ceiling.clone(),
        store: config.store(),
    }
}

fn memory() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<i64>()
        .ok()?
        .checked_mul(1024)
}

/// The facts of the engines that are here: a version, or `true` for one that needs no probe.
async fn engines(engines: &BTreeMap<Name, Engine>, probed: &mut Probed) -> Vec<(Name, Value)> {
    let mut found = Vec::new();
    let mut asked = JoinSet::new();
    for (name, engine) in engines {
        let Some(words) = &engine.version else {
            found.push((name.clone(), Value::Bool(true)));
            continue;
        };
        let key = words.join("\0");
        let Some(program) = words.first().and_then(|word| which(word)) else {
            probed.0.remove(&key);
            continue;
        };
        let Ok(meta) = program.metadata() else {
            continue;
        };
        let known = probed.0.get(&key).cloned();
        if let Some(answer) = known.as_ref().filter(|known| {
            known.program == program && known.size == meta.len() && known.changed == meta.mtime()
        }) {
            found.push((name.clone(), Value::Text(answer.version.clone())));
            continue;
        }
        let (name, words) = (name.clone(), words.clone());
        asked.spawn(async move {
            let version = ask(&program, &words).await;
            let fresh = version.map(|version| Answer {
                program,
                size: meta.len(),
                changed: meta.mtime(),
                version,
            });
            (name, key, fresh.or(known))
        });
    }
    while let Some(answered) = asked.join_next().await {
        let Ok((name, key, Some(answer))) = answered else {
            continue;
        };
        found.push((name, Value::Text(answer.version.clone())));
        probed.0.insert(key, answer);
    }
    found
}

async fn ask(program: &Path, words: &[String]) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args(&words[1..])
        .env_clear()
        .env("LANG", "C.UTF-8")
        .env("HOME", "/nonexistent")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().ok()?;
    let (out, err) = (child.stdout.take()?, child.stderr.take()?);
    let answer = tokio::time::timeout(PROBE_TIME, async {
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let (mut out, mut err) = (out.take(PROBE_OUTPUT), err.take(PROBE_OUTPUT));
        let _ = tokio::join!(out.read_to_end(&mut said), err.read_to_end(&mut complained));
        let ended = child.wait().await;
        ended
            .is_ok_and(|status| status.success())
            .then_some((said, complained))
    });
    let (said, complained) = answer.await.ok()??;
    // java says its version on stderr.
    version_in(&String::from_utf8_lossy(&said))
        .or_else(|| version_in(&String::from_utf8_lossy(&complained)))
}

/// The program's absolute path: itself, or looked for in PATH.
fn which(word: &str) -> Option<PathBuf> {
    if word.contains('/') {
        return Some(PathBuf::from(word)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(word))
        .find(|path| {
            path.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
        })
}

/// The first word that looks like a version: digits with dots, a `v` or quotes around; else the first plain number.
fn version_in(text: &str) -> Option<String> {
    let words = || {
        text.split(|c: char| c.is_whitespace() || "\"'(),;/".contains(c))
            .map(|word| word.strip_prefix(['v', 'V']).unwrap_or(word))
    };
    let numeric = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.len() <= 64;
    let dotted = words().find(|word| numeric(word) && word.contains('.'));
    let word = dotted.or_else(|| {
        words().find(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()))
    })?;
    let end = word
        .find(|c: char| !(c.is_ascii_alphanumeric() || ".+-_".contains(c)))
        .unwrap_or(word.len());
    Some(word[..end].trim_end_matches('.').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_what_programs_print() {
        for (text, wanted) in [
            ("v20.20.2\n", Some("20.20.2")),
            ("Python 3.11.2\n", Some("3.11.2")),
            ("openjdk version \"17.0.10\" 2024-01-16\n", Some("17.0.10")),
            ("25", Some("25")),
            ("Erlang/OTP 25 [erts-13.1.5]", Some("25")),
            ("no number here", None),
            ("", None),
        ] {
            assert_eq!(version_in(text).as_deref(), wanted, "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_probe_that_fails_leaves_what_was_known() {
        let dir = tempfile::tempdir().expect("a folder");
        let program = dir.path().join("engine");
        let write = |text: &str| {
            std::fs::write(&program, text).expect("written");
            std::fs::set_permissions(
                &program,
                std::os::unix::fs::PermissionsExt::from_mode(0o755),
            )
            .expect("executable");
        };
        write("#!/bin/sh\necho 1.2.3\n");
        let engine = Engine {
            command: vec!["x".into()],
            version: Some(vec![program.to_string_lossy().into_owned()]),
        };
        let all = BTreeMap::from([(Name::new("mine").expect("a name"), engine)]);
        let mut probed = Probed::default();
        let first = engines(&all, &mut probed).await;
        write("#!/bin/sh\necho broken for a while; exit 1\n");
        assert_eq!(engines(&all, &mut probed).await, first);
        std::fs::remove_file(&program).expect("removed");
        assert_eq!(engines(&all, &mut probed).await, vec![]);
    }
}
