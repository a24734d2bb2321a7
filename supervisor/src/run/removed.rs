//! State folders and logs of removed workflows: kept for a while, then purged. Touches `<state>/supervisor/removed/`.

use super::Supervisor;
use crate::os::{clock, folders};
use std::{fs, io, path::PathBuf, time::Duration};
use swarm_manifests::name::Name;

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

    /// Purges what was kept long enough; a clock that was set forwards may do that early, one that was set back late.
    pub(super) fn purge_old(&mut self) {
        let Ok(marks) = fs::read_dir(self.settings.state.join("supervisor/removed")) else {
            return;
        };
        for mark in marks.flatten() {
            let Some(name) = mark
                .file_name()
                .to_str()
                .and_then(|name| Name::new(name).ok())
            else {
                continue;
            };
            if self.workflows.contains_key(&name) {
                let _ = fs::remove_file(mark.path());
                continue;
            }
            let since: i64 = fs::read_to_string(mark.path())
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(i64::MAX);
            let age = Duration::from_millis(
                u64::try_from(clock::wall().0.saturating_sub(since)).unwrap_or(0),
            );
            if age >= self.settings.keep_state
                && let Err(error) = self.purge(&name)
            {
                tracing::warn!(workflow = %name, %error, "its old state folder could not be removed");
            }
        }
    }
}
