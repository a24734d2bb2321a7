//! What a process sees: the paths of a [`Launch`] come in, every one as it really is, its mounts and its program come out. Asks the disk.

use super::{
    expose::{self, Cover, Eyes, Mount, Want, real_path},
    launch::{Launch, Profile},
    spawn::SpawnError,
};
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Where programs are looked for if `env` has no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What it sees, with every path as it really is.
pub(super) struct View {
    pub read: Vec<PathBuf>,
    pub write: Vec<PathBuf>,
    /// None: no mount namespace of its own.
    pub mounts: Option<Vec<Mount>>,
    /// The program, where it can be told before.
    pub program: Option<PathBuf>,
}

impl View {
    pub fn of(launch: &Launch, is_root: bool) -> Result<Self, SpawnError> {
        let wants =
            |paths: &[PathBuf], more: &[String], writable| -> Result<Vec<Want>, SpawnError> {
                let more = more.iter().map(Path::new);
                let all = paths.iter().map(PathBuf::as_path).chain(more);
                all.map(|path| {
                    Eyes::want(path, writable)
                        .map_err(|error| SpawnError::io(format!("see {}", path.display()), &error))
                })
                .collect()
            };
        let read = wants(&launch.read, &launch.sandbox.read, false)?;
        let write = wants(&launch.write, &launch.sandbox.write, true)?;
        let stand_ins = launch.stand_ins.iter().map(|(at, instead)| {
            let want = Eyes::want(at, false)
                .map_err(|error| SpawnError::io(format!("see {}", at.display()), &error))?;
            Ok(Want {
                instead: Some(instead.clone()),
                ..want
            })
        });
        let stand_ins = stand_ins.collect::<Result<Vec<_>, SpawnError>>()?;
        let paths = |wants: &[Want]| wants.iter().map(|want| want.path.clone()).collect();
        let (read_paths, write_paths) = (paths(&read), paths(&write));
        let mounts = (is_root && launch.join.is_none()).then(|| {
            let eyes = Eyes::of(launch.user.as_ref());
            let workflow = launch.profile == Profile::Workflow;
            let mut covers: Vec<(PathBuf, Cover)> = Vec::new();
            if workflow {
                let private = ["/tmp", "/dev/shm"]
                    .into_iter()
                    .map(PathBuf::from)
                    .filter(|path| path.is_dir());
                covers.extend(private.map(|path| (path, Cover::Tmp)));
            }
            covers.extend(
                launch
                    .hide
                    .iter()
                    .filter_map(|path| Some((real_path(path).ok()?.0, Cover::Blank))),
            );
            let wants: Vec<Want> = read.into_iter().chain(write).chain(stand_ins).collect();
            expose::plan(&wants, &covers, &|folder| eyes.passable(folder), workflow)
        });
        Ok(Self {
            read: read_paths,
            write: write_paths,
            mounts,
            program: program(launch),
        })
    }
}

fn program(launch: &Launch) -> Option<PathBuf> {
    let name = Path::new(launch.argv.first()?);
    let found = if name.is_absolute() {
        Some(name.to_owned())
    } else {
        candidates(launch).find(|path| path.is_file())
    };
    real_path(&found?).ok().map(|(path, _)| path)
}

/// Where the program may be, in the order of PATH.
pub(super) fn candidates(launch: &Launch) -> impl Iterator<Item = PathBuf> {
    let name = launch.argv.first().cloned().unwrap_or_default();
    let path = launch
        .env
        .get(OsStr::new("PATH"))
        .cloned()
        .unwrap_or_else(|| OsString::from(PATH));
    let folders: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        // Relative to the working directory, where the child will be.
        vec![PathBuf::new()]
    } else {
        std::env::split_paths(&path).collect()
    };
    folders.into_iter().map(move |folder| folder.join(&name))
}
