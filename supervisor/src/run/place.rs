//! Where and how a version's processes run: a version comes in, its user, folders, words and environment come out. Touches the table of users.

use super::{Supervisor, start::Obstacle};
use crate::{
    machine::Version,
    os::{
        folders::{self, Folders},
        launch::{Ids, Launch, Profile},
    },
    protocol::{RunSpec, Stream},
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};
use swarm_manifests::{
    bundle::{Probe, Workdir},
    name::Name,
    placeholder::{Part, parts},
};

/// Where a program is looked for, unless its `[env]` says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What every process of an instance has in common: the main one, its probes, its stop command.
pub(super) struct Place {
    pub spec: Arc<RunSpec>,
    pub ids: Option<Ids>,
    pub folders: Folders,
    pub bundle: PathBuf,
    pub notify: Option<PathBuf>,
    /// Where its secrets are, if it has any.
    pub secrets: Option<PathBuf>,
}

impl Supervisor {
    /// Where and as whom a version's processes run.
    pub(super) fn place(&mut self, version: &Version, instance: u16) -> Result<Place, Obstacle> {
        let spec = Arc::clone(&version.spec);
        let ids = self
            .users
            .ids(&spec, &self.settings.state)
            .map_err(|error| Obstacle::user(&error))?;
        let folders = folders::of(&self.settings.state, &spec.workflow, instance);
        let bundle = match &spec.install {
            Some(install) => self.installed_folder(&spec, install).join("tree"),
            None => spec.store.join("tree"),
        };
        let ready = spec.ready.iter().map(|ready| &ready.probe);
        let health = spec.health.iter().map(|health| &health.probe);
        let asks = ready.chain(health).any(|probe| *probe == Probe::Notify);
        let notify = asks.then(|| self.notify_path(&spec.workflow, instance));
        let has_secrets = !spec.secrets.is_empty();
        let secrets = has_secrets
            .then(|| self.vault.folder(&spec.workflow, instance))
            .flatten();
        Ok(Place {
            spec,
            ids,
            folders,
            bundle,
            notify,
            secrets,
        })
    }

    /// A launch in this place of some command; limits and cgroup are for the caller to set.
    pub(super) fn launch(
        &self,
        place: &Place,
        instance: u16,
        words: &[String],
        (stdout, stderr): (OwnedFd, OwnedFd),
    ) -> Launch {
        let spec = &place.spec;
        let fill = |text: &str| fill(text, place, instance);
        let root = match &spec.workdir {
            Workdir::Bundle(below) => place.bundle.join(below),
            Workdir::State(below) => place.folders.state.join(below),
        };
        let mut write = vec![place.folders.state.clone()];
        write.extend(place.notify.clone());
        let mut read = vec![place.bundle.clone()];
        read.extend(place.secrets.clone());
        Launch {
            profile: Profile::Workflow,
            argv: words.iter().map(|word| fill(word).into()).collect(),
            env: self.environment(place, instance),
            workdir: root,
            user: place.ids.clone(),
            stdout,
            stderr,
            extra: None,
            cgroup: None,
            limits: swarm_manifests::bundle::Limits::default(),
            sandbox: spec.sandbox.clone(),
            read,
            write,
            stand_ins: Vec::new(),
            hide: self.hidden(),
            join: None,
        }
    }

    /// What workflows do not see: the box's state, and the folder of the control socket where that is ours alone.
    fn hidden(&self) -> Vec<PathBuf> {
        let run = self
            .settings
            .control
            .parent()
            .filter(|run| run.ends_with("swarm") && !self.settings.state.starts_with(run));
        std::iter::once(self.settings.state.clone())
            .chain(run.map(Path::to_owned))
            .collect()
    }

    fn environment(&self, place: &Place, instance: u16) -> BTreeMap<OsString, OsString> {
        let spec = &place.spec;
        let mut env: BTreeMap<OsString, OsString> = BTreeMap::new();
        let mut set = |name: &str, value: OsString| {
            env.insert(name.into(), value);
        };
        set("PATH", PATH.into());
        set("LANG", "C.UTF-8".into());
        set("HOME", place.folders.home.clone().into());
        set("TMPDIR", place.folders.tmp.clone().into());
        for (name, value) in &spec.env {
            set(name, fill(value, place, instance).into());
        }
        set("SWARM_BOX", self.settings.box_name.clone().into());
        set("SWARM_WORKFLOW", spec.workflow.to_string().into());
        set("SWARM_VERSION", spec.version.clone().into());
        set("SWARM_INSTANCE", instance.to_string().into());
        set("SWARM_BUNDLE", place.bundle.clone().into());
        set("SWARM_STATE", place.folders.state.clone().into());
        if let Some(folder) = &place.secrets {
            for variable in spec.secrets.keys() {
                set(variable, folder.join(variable).into());
            }
        }
        if let Some(path) = &place.notify {
            set("NOTIFY_SOCKET", path.clone().into());
        }
        if let Some(health) = spec.health.as_ref().filter(|h| h.probe == Probe::Notify) {
            set("WATCHDOG_USEC", health.every.as_micros().to_string().into());
        }
        env
    }

    pub(super) fn pipe_folder(&self, name: &Name, instance: u16) -> PathBuf {
        self.settings
            .state
            .join("supervisor/pipes")
            .join(name.as_str())
            .join(instance.to_string())
    }

    pub(crate) fn log_folder(&self, name: &Name) -> PathBuf {
        self.settings
            .state
            .join("supervisor/logs")
            .join(name.as_str())
    }

    /// Beside the control socket, where paths are short: a socket's path has 108 bytes at most.
    fn notify_path(&self, name: &Name, instance: u16) -> PathBuf {
        self.settings
            .control
            .with_file_name(format!("notify-{name}-{instance}"))
    }

    /// The end of a stream's descriptor, for who watches it.
    pub(super) fn stream_index(stream: Stream) -> usize {
        usize::from(stream == Stream::Stderr)
    }
}

/// The placeholders that only the supervisor knows; `{{word}}` of one of them is text.
fn fill(text: &str, place: &Place, instance: u16) -> String {
    if !text.contains('{') {
        return text.to_owned();
    }
    let value = |word: &str| match word {
        "instance" => Some(instance.to_string()),
        "state" => Some(place.folders.state.to_string_lossy().into_owned()),
        "bundle" => Some(place.bundle.to_string_lossy().into_owned()),
        _ => None,
    };
    let filled = parts(text).map(|part| match part {
        Part::Text(text) => text.to_owned(),
        Part::Placeholder(word) => value(word).unwrap_or_else(|| format!("{{{word}}}")),
        Part::Literal(word) if value(word).is_some() => format!("{{{word}}}"),
        Part::Literal(word) => format!("{{{{{word}}}}}"),
    });
    filled.collect()
}
