//! What of the file system a process sees: paths come in, a list of mounts comes out. Pure but for [`Eyes`], which asks the disk.
//!
//! A process that runs as its own user must reach the few paths that were granted, at their real names, even where a folder above them
//! may not be passed by it (`/tmp/x` of mode 0700), and must not see what lies beside them. So what is hidden, what is private, and
//! the topmost impassable folder above a wanted path are *covered* with a small tmpfs; the chain of folders down to each wanted path is
//! made again in it, and the path itself is bound there.

use super::launch::Ids;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

/// A path that the process must see under its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Want {
    pub path: PathBuf,
    pub writable: bool,
    pub is_folder: bool,
    /// The file that stands there instead of the real one.
    pub instead: Option<PathBuf>,
}

/// Something to lay over a folder so that nothing of it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cover {
    /// Empty and passable.
    Blank,
    /// A /tmp of its own.
    Tmp,
}

/// One step, in the order in which they are done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A new tmpfs.
    Cover(PathBuf, Cover),
    /// An empty folder in a cover.
    Folder(PathBuf),
    /// An empty file in a cover, to bind onto.
    File(PathBuf),
    /// The real path (opened before anything was covered) onto its own name.
    Bind {
        /// Which.
        path: PathBuf,
        /// What is bound there: itself, or what stands in for it.
        from: PathBuf,
        /// Else read-only.
        writable: bool,
    },
}

impl Mount {
    /// Where it is done.
    pub fn at(&self) -> &Path {
        match self {
            Self::Cover(path, _)
            | Self::Folder(path)
            | Self::File(path)
            | Self::Bind { path, .. } => path,
        }
    }
}

enum Item {
    Cover(Cover),
    Want {
        writable: bool,
        is_folder: bool,
        instead: Option<PathBuf>,
    },
}

/// Orders it all. `covers` are what is hidden or private anyway; `passable` says whether the process's user may walk through a folder.
/// `bind_all`: bind also what nothing covers (because all else is made read-only).
pub fn plan(
    wants: &[Want],
    covers: &[(PathBuf, Cover)],
    passable: &dyn Fn(&Path) -> bool,
    bind_all: bool,
) -> Vec<Mount> {
    let items = items(wants, covers, passable);
    let mut steps = Vec::new();
    let mut made: Vec<&Path> = Vec::new();
    // Sorted by components: whatever encloses a path stands before it.
    for (path, item) in &items {
        let around = path
            .ancestors()
            .skip(1)
            .find_map(|above| items.get_key_value(above));
        match item {
            Item::Cover(cover) => steps.push(Mount::Cover(path.clone(), *cover)),
            Item::Want {
                writable,
                is_folder,
                instead,
            } => match around {
                Some((root, Item::Cover(_))) => {
                    let chain: Vec<&Path> = path
                        .ancestors()
                        .skip(1)
                        .take_while(|above| above != root)
                        .collect();
                    for folder in chain
                        .into_iter()
                        .rev()
                        .filter(|folder| !made.contains(folder))
                        .collect::<Vec<_>>()
                    {
                        steps.push(Mount::Folder(folder.to_owned()));
                        made.push(folder);
                    }
                    steps.push(if *is_folder {
                        Mount::Folder(path.clone())
                    } else {
                        Mount::File(path.clone())
                    });
                    steps.push(bind(path, instead.as_ref(), *writable));
                }
                Some((
                    _,
                    Item::Want {
                        writable: outer, ..
                    },
                )) if outer == writable && instead.is_none() => {}
                None if !(bind_all && *writable) && instead.is_none() => {}
                _ => steps.push(bind(path, instead.as_ref(), *writable)),
            },
        }
    }
    steps
}

fn bind(path: &Path, instead: Option<&PathBuf>, writable: bool) -> Mount {
    Mount::Bind {
        path: path.to_owned(),
        from: instead.map_or_else(|| path.to_owned(), Clone::clone),
        writable,
    }
}

/// Everything by its path; a wanted path is not covered itself, and is writable if anybody wants it so.
fn items(
    wants: &[Want],
    covers: &[(PathBuf, Cover)],
    passable: &dyn Fn(&Path) -> bool,
) -> BTreeMap<PathBuf, Item> {
    let mut items = BTreeMap::new();
    for (path, cover) in covers {
        items.insert(path.clone(), Item::Cover(*cover));
    }
    for want in wants {
        let above: Vec<&Path> = want.path.ancestors().skip(1).collect();
        if let Some(blocked) = above.into_iter().rev().find(|folder| !passable(folder)) {
            items
                .entry(blocked.to_owned())
                .or_insert(Item::Cover(Cover::Blank));
        }
    }
    for want in wants {
        let writable = want.writable
            || wants
                .iter()
                .any(|other| other.writable && other.path == want.path);
        items.insert(
            want.path.clone(),
            Item::Want {
                writable,
                is_folder: want.is_folder,
                instead: want.instead.clone(),
            },
        );
    }
    let kept = items
        .keys()
        .filter(|path| !is_needless(path, &items))
        .cloned()
        .collect::<std::collections::BTreeSet<_>>();
    items.retain(|path, _| kept.contains(path));
    items
}

/// A cover inside a cover: nothing is left there to be hidden.
fn is_needless(path: &Path, items: &BTreeMap<PathBuf, Item>) -> bool {
    let around = path.ancestors().skip(1).find_map(|above| items.get(above));
    matches!(
        (&items[path], around),
        (Item::Cover(_), Some(Item::Cover(_)))
    )
}

/// Looks at the disk for one plan: each folder once.
#[derive(Debug)]
pub struct Eyes<'a> {
    ids: Option<&'a Ids>,
    seen: std::cell::RefCell<BTreeMap<PathBuf, bool>>,
}

impl<'a> Eyes<'a> {
    /// For this user; None: ourselves, who pass where we pass.
    pub fn of(ids: Option<&'a Ids>) -> Self {
        Self {
            ids,
            seen: std::cell::RefCell::default(),
        }
    }

    /// Whether the user may walk through this folder.
    pub fn passable(&self, folder: &Path) -> bool {
        let Some(ids) = self.ids else { return true };
        if let Some(&known) = self.seen.borrow().get(folder) {
            return known;
        }
        let passable = folder
            .metadata()
            .is_ok_and(|meta| may_pass(ids, meta.uid(), meta.gid(), meta.mode()));
        self.seen.borrow_mut().insert(folder.to_owned(), passable);
        passable
    }

    /// A wanted path as it really is: without links.
    pub fn want(path: &Path, writable: bool) -> io::Result<Want> {
        let (path, is_folder) = real_path(path)?;
        Ok(Want {
            path,
            writable,
            is_folder,
            instead: None,
        })
    }
}

/// Where a path really leads, and whether that is a folder: the kernel goes there once and says where it came.
pub fn real_path(path: &Path) -> io::Result<(PathBuf, bool)> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)?;
    let is_folder = file.metadata()?.is_dir();
    let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    Ok((real, is_folder))
}

/// As in `path_resolution(7)`: the owner's, the group's or the others' bit, the first that applies.
fn may_pass(ids: &Ids, uid: u32, gid: u32, mode: u32) -> bool {
    let bit = if ids.uid == uid {
        0o100
    } else if ids.gid == gid || ids.groups.contains(&gid) {
        0o010
    } else {
        0o001
    };
    mode & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(path: &str, writable: bool) -> Want {
        Want {
            path: path.into(),
            writable,
            is_folder: true,
            instead: None,
        }
    }

    fn show(steps: &[Mount]) -> Vec<String> {
        let line = |step: &Mount| match step {
            Mount::Cover(path, Cover::Blank) => format!("cover {}", path.display()),
            Mount::Cover(path, Cover::Tmp) => format!("tmp {}", path.display()),
            Mount::Folder(path) => format!("folder {}", path.display()),
            Mount::File(path) => format!("file {}", path.display()),
            Mount::Bind {
                path,
                writable: true,
                ..
            } => format!("write {}", path.display()),
            Mount::Bind {
                path,
                writable: false,
                ..
            } => format!("read {}", path.display()),
        };
        steps.iter().map(line).collect()
    }

    fn tmp() -> (PathBuf, Cover) {
        ("/tmp".into(), Cover::Tmp)
    }

    #[test]
    fn what_is_granted_stays_at_its_name_below_what_is_hidden() {
        let wants = [
            want("/var/lib/swarm/workflows/a/0", true),
            want("/var/lib/swarm/store/x/tree", false),
        ];
        let hidden = [tmp(), ("/var/lib/swarm".into(), Cover::Blank)];
        assert_eq!(
            show(&plan(&wants, &hidden, &|_| true, true)),
            [
                "tmp /tmp",
                "cover /var/lib/swarm",
                "folder /var/lib/swarm/store",
                "folder /var/lib/swarm/store/x",
                "folder /var/lib/swarm/store/x/tree",
                "read /var/lib/swarm/store/x/tree",
                "folder /var/lib/swarm/workflows",
                "folder /var/lib/swarm/workflows/a",
                "folder /var/lib/swarm/workflows/a/0",
                "write /var/lib/swarm/workflows/a/0",
            ]
        );
    }

    #[test]
    fn one_cover_suffices_where_covers_nest() {
        let wants = [want("/tmp/t/state/w", true)];
        let hidden = [tmp(), ("/tmp/t/state".into(), Cover::Blank)];
        let steps = plan(&wants, &hidden, &|path| path != Path::new("/tmp/t"), true);
        assert_eq!(
            show(&steps),
            [
                "tmp /tmp",
                "folder /tmp/t",
                "folder /tmp/t/state",
                "folder /tmp/t/state/w",
                "write /tmp/t/state/w"
            ]
        );
    }

    #[test]
    fn the_topmost_impassable_folder_is_covered_and_no_other() {
        let wants = [
            want("/root/a/b/state", true),
            Want {
                is_folder: false,
                ..want("/root/a/agent.toml", false)
            },
        ];
        let blocked = ["/root", "/root/a/b"];
        let steps = plan(
            &wants,
            &[],
            &|path| !blocked.iter().any(|&name| path == Path::new(name)),
            false,
        );
        assert_eq!(
            show(&steps),
            [
                "cover /root",
                "folder /root/a",
                "file /root/a/agent.toml",
                "read /root/a/agent.toml",
                "folder /root/a/b",
                "folder /root/a/b/state",
                "write /root/a/b/state",
            ]
        );
    }

    #[test]
    fn a_granted_folder_is_granted_without_what_is_hidden_in_it() {
        let wants = [
            want("/srv", true),
            want("/srv/swarm/w/0", true),
            want("/srv/data", true),
            want("/srv/ro", false),
        ];
        let hidden = [("/srv/swarm".into(), Cover::Blank)];
        assert_eq!(
            show(&plan(&wants, &hidden, &|_| true, true)),
            [
                "write /srv",
                "read /srv/ro",
                "cover /srv/swarm",
                "folder /srv/swarm/w",
                "folder /srv/swarm/w/0",
                "write /srv/swarm/w/0"
            ]
        );
    }

    #[test]
    fn a_granted_tmp_is_the_real_one() {
        assert_eq!(
            show(&plan(&[want("/tmp", true)], &[tmp()], &|_| true, true)),
            ["write /tmp"]
        );
    }

    #[test]
    fn nothing_is_mounted_for_the_agent_where_it_may_pass_anyway() {
        assert!(
            plan(
                &[want("/srv/git", false), want("/var/lib/swarm", true)],
                &[],
                &|_| true,
                false
            )
            .is_empty()
        );
    }

    #[test]
    fn the_first_class_that_applies_decides() {
        let ids = Ids {
            uid: 5,
            gid: 6,
            groups: vec![7],
        };
        assert!(may_pass(&ids, 0, 0, 0o711));
        assert!(!may_pass(&ids, 0, 0, 0o710));
        assert!(may_pass(&ids, 0, 7, 0o710));
        assert!(
            !may_pass(&ids, 5, 0, 0o677),
            "the owner is not among the others"
        );
    }
}
