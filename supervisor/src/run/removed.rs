//! State folders and logs of removed workflows, and what was over of them: kept for a while, then purged. Touches `<state>/supervisor/removed/`.

use super::{Supervisor, room::Workflow};
use crate::{
    machine::State,
    os::{clock, folders},
    time::BootTime,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_manifests::name::Name;

/// Looked at again after so long at the latest: their age is told by a clock that people set.
const LOOK: Duration = Duration::from_secs(3600);

/// What is known of a removed workflow.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// When it was removed, in milliseconds of the box's clock.
    since: i64,
    /// What outlives that, where there is something.
    state: Option<State>,
}

/// A mark, where there is one that can be read; one of only a number is from before there was more to say.
fn read(path: &Path) -> Option<Mark> {
    let text = fs::read_to_string(path).ok()?;
    let only_since = |since| Mark { since, state: None };
    let since = text.trim().parse().ok().map(only_since);
    since.or_else(|| serde_json::from_str(&text).ok())
}

/// Whole, and durably: a kill is in it.
fn write(path: &Path, mark: &Mark) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    let temporary = folder.join(".new");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(mark)?)?;
    file.sync_data()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

impl Supervisor {
    fn removed_mark(&self, name: &Name) -> PathBuf {
        self.settings
            .state
            .join("supervisor/removed")
            .join(name.as_str())
    }

    /// From now on its folders are kept for [`crate::settings::Settings::keep_state`], and so is what was over of it. `false`: that could
    /// not be written down; what was saved of it stays, and it is tried again.
    pub(super) fn note_removal(&mut self, name: &Name) -> bool {
        let noted = self.note(name, clock::wall().0);
        if let Some(workflow) = self.workflows.get_mut(name) {
            workflow.unnoted = !noted;
        }
        if !noted {
            return false;
        }
        self.purge_within(self.settings.keep_state);
        if let Err(error) = self.snapshots.forget(name) {
            tracing::error!(workflow = %name, %error, "the removed workflow could not be forgotten");
        }
        true
    }

    /// Nothing is known of it any more but what is on the disk.
    pub(super) fn let_go(&mut self, name: &Name) {
        let workflow = self.workflows.get(name);
        if workflow.is_some_and(|workflow| workflow.state.is_gone() && !workflow.unnoted) {
            self.workflows.remove(name);
            self.unsaved.remove(name);
        }
    }

    /// Of a workflow without a version, what outlives that: a kill, and what was over when it was removed. `false`: it could not be kept.
    pub(super) fn keep_what_is_over(&mut self, name: &Name) -> bool {
        let path = self.removed_mark(name);
        let is_over = self.workflows.get(name).is_some_and(|w| w.state.is_over());
        if !is_over && !path.exists() {
            return true;
        }
        let since = read(&path).map_or_else(|| clock::wall().0, |mark| mark.since);
        self.purge_within(LOOK);
        self.note(name, since)
    }

    fn note(&mut self, name: &Name, since: i64) -> bool {
        let state = self.workflows.get(name).map(|workflow| &workflow.state);
        let mark = Mark {
            since,
            state: state.filter(|state| state.is_over()).cloned(),
        };
        let noted = write(&self.removed_mark(name), &mark);
        if let Err(error) = &noted {
            tracing::warn!(workflow = %name, %error, "its removal could not be noted; it is tried again");
        }
        noted.is_ok()
    }

    /// A workflow that we do not have, as it was when it was removed, where that is known.
    pub(super) fn appeared(&self, name: &Name) -> Workflow {
        let kept = read(&self.removed_mark(name)).and_then(|mark| mark.state);
        let kept = kept.filter(|state| state.workflow == *name && state.is_empty());
        let came_back = kept.is_some();
        let state = kept.map_or_else(
            || State::new(name.clone()),
            |state| State {
                standing: None,
                standing_since: None,
                ..state
            },
        );
        Workflow {
            came_back,
            ..Workflow::new(state)
        }
    }

    pub(super) fn drop_mark(&self, name: &Name) {
        let _ = fs::remove_file(self.removed_mark(name));
    }

    /// Removes state folder and logs of a workflow that is not there any more.
    pub(crate) fn purge(&mut self, name: &Name) -> io::Result<()> {
        folders::remove(&self.settings.state, name)?;
        for folder in [
            self.log_folder(name),
            self.settings
                .state
                .join("supervisor/pipes")
                .join(name.as_str()),
        ] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.users.release(name);
        match fs::remove_file(self.removed_mark(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether there is something of it to purge.
    pub(crate) fn has_remains(&self, name: &Name) -> bool {
        self.removed_mark(name).exists()
            || folders::of(&self.settings.state, name, 0).state.exists()
    }

    /// Purges what was kept long enough; a clock that was set forwards may do that early, one that was set back late. Notes when there is
    /// more to do.
    pub(super) fn purge_old(&mut self) {
        self.purge_by = None;
        let marks = fs::read_dir(self.settings.state.join("supervisor/removed"));
        for mark in marks.into_iter().flatten().flatten() {
            let file = mark.file_name();
            let Some(name) = file.to_str().and_then(|name| Name::new(name).ok()) else {
                continue;
            };
            if let Some(workflow) = self.workflows.get(&name) {
                if workflow.state.is_empty() {
                    self.purge_within(LOOK);
                } else {
                    self.drop_mark(&name);
                }
                continue;
            }
            let left = self.left_of(&mark.path());
            if !left.is_zero() {
                self.purge_within(left);
            } else if let Err(error) = self.purge(&name) {
                tracing::warn!(workflow = %name, %error, "its old state folder could not be removed; it is tried again");
                self.purge_within(LOOK);
            }
        }
    }

    /// What is old by now goes.
    pub(super) fn purge_due(&mut self, now: BootTime) {
        if self.purge_by.is_some_and(|at| at <= now) {
            self.purge_old();
        }
    }

    /// How long the folders of a removed workflow are still kept.
    fn left_of(&self, mark: &Path) -> Duration {
        // What cannot be read was removed just now.
        let since = read(mark).map_or(i64::MAX, |mark| mark.since);
        let age = u64::try_from(clock::wall().0.saturating_sub(since)).unwrap_or(0);
        self.settings
            .keep_state
            .saturating_sub(Duration::from_millis(age))
    }

    fn purge_within(&mut self, wait: Duration) {
        let at = clock::now() + wait.min(LOOK);
        self.purge_by = Some(self.purge_by.map_or(at, |before| before.min(at)));
    }
}
