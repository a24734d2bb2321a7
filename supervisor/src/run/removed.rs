//! State folders and logs of removed workflows: kept for a while, then purged. Touches `<state>/supervisor/removed/`.

use super::Supervisor;
use crate::{
    os::{clock, folders},
    time::BootTime,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_manifests::name::Name;

/// Looked at again after so long at the latest: their age is told by a clock that people set.
const LOOK: Duration = Duration::from_secs(3600);

impl Supervisor {
    fn removed_mark(&self, name: &Name) -> PathBuf {
        self.settings
            .state
            .join("supervisor/removed")
            .join(name.as_str())
    }

    /// From now on its folders are kept for [`crate::settings::Settings::keep_state`].
    pub(super) fn note_removal(&mut self, name: &Name) {
        let mark = self.removed_mark(name);
        let noted = fs::create_dir_all(mark.parent().unwrap_or(&mark))
            .and_then(|()| fs::write(&mark, clock::wall().0.to_string()));
        if let Err(error) = noted {
            tracing::warn!(workflow = %name, %error, "when it was removed could not be noted; its folders stay until purged");
        }
        self.purge_within(self.settings.keep_state);
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
            if self.workflows.contains_key(&name) {
                let _ = fs::remove_file(mark.path());
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
        let text = fs::read_to_string(mark).unwrap_or_default();
        // What cannot be read was removed just now.
        let since: i64 = text.trim().parse().unwrap_or(i64::MAX);
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
