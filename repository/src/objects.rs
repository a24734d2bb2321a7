//! The object store: raw objects by id, with limits. In: ids. Out: bytes that hash to them.
//!
//! Touches the object folders of one repository, and nothing else of it: no ref, no configuration of anybody,
//! no replace ref, no working tree. libgit2 hashes what it reads and compares it with the id that was asked for.

use crate::tree::Tree;
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use swarm_manifests::{
    id::Oid,
    rules::{Rule, remote::OBJECT_FORMAT},
};

/// The largest commit that is read, in bytes.
pub const MAX_COMMIT: u64 = 1 << 20;
/// The largest single tree that is read, in bytes: a folder of some 800,000 entries.
pub const MAX_TREE: u64 = 32 << 20;
/// How many repositories deep `objects/info/alternates` is followed.
const MAX_ALTERNATES: usize = 5;
/// Trees of so many entries are remembered: reading them again (inflating, hashing, checking) is what a crowded repository costs.
const LARGE: usize = 64;
/// So many entries are remembered in all; then it begins anew.
const REMEMBERED: usize = 1 << 16;

/// Objects of one repository.
pub struct Objects {
    odb: git2::Odb<'static>,
    git_dir: PathBuf,
    large_trees: Mutex<HashMap<Oid, Arc<Tree>>>,
}

/// Why an object could not be had.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ObjectError {
    #[error("object {0} is not there")]
    Missing(Oid),
    #[error("object {id} has {size} bytes, more than {limit}")]
    TooLarge { id: Oid, size: u64, limit: u64 },
    #[error("object {id} is a {found}, not a {wanted}")]
    Kind {
        id: Oid,
        found: String,
        wanted: &'static str,
    },
    #[error("object {id} is malformed: {what}")]
    Malformed { id: Oid, what: String },
    #[error("{0} is no git repository")]
    NoRepository(PathBuf),
    #[error(
        "{0} is a SHA-256 repository, which is not built yet; make one with git init --object-format=sha1"
    )]
    Sha256(PathBuf),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("git: {0}")]
    Git(#[from] git2::Error),
}

impl ObjectError {
    /// The rule that it breaks, where it breaks one.
    pub fn rule(&self) -> Option<&'static Rule> {
        match self {
            Self::Sha256(_) => Some(&OBJECT_FORMAT),
            _ => None,
        }
    }
}

/// What kind of object an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    /// As git writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    fn of(kind: git2::ObjectType) -> Option<Self> {
        Some(match kind {
            git2::ObjectType::Commit => Self::Commit,
            git2::ObjectType::Tree => Self::Tree,
            git2::ObjectType::Blob => Self::Blob,
            git2::ObjectType::Tag => Self::Tag,
            git2::ObjectType::Any => return None,
        })
    }
}

impl Objects {
    /// Opens the repository at `path` (bare mirror, or a person's clone), or makes a bare one where there is nothing and `create`.
    pub fn open(path: &Path, create: bool) -> Result<Self, ObjectError> {
        // One that was killed while it made the folder left half of it: that is made whole.
        if create && git_dir(path).is_none() && !path.join(".git").exists() {
            make_bare(path).map_err(|source| ObjectError::Io {
                path: path.into(),
                source,
            })?;
        }
        let git_dir = git_dir(path).ok_or_else(|| ObjectError::NoRepository(path.into()))?;
        if is_sha256(&git_dir) {
            return Err(ObjectError::Sha256(path.into()));
        }
        let mut folders = vec![git_dir.join("objects")];
        follow_alternates(&mut folders);
        Self::of_folders(git_dir, &folders)
    }

    /// The same folders read anew: after packs were taken away.
    pub fn reopen(&self) -> Result<Self, ObjectError> {
        let anew = Self::open(&self.git_dir, false)?;
        *anew.remembered() = std::mem::take(&mut *self.remembered());
        Ok(anew)
    }

    /// Adds a folder of objects, such as the quarantine of a pre-receive hook.
    pub fn add_folder(&self, folder: &Path) -> Result<(), ObjectError> {
        add(&self.odb, folder)
    }

    fn of_folders(git_dir: PathBuf, folders: &[PathBuf]) -> Result<Self, ObjectError> {
        let odb = git2::Odb::new()?;
        for folder in folders {
            add(&odb, folder)?;
        }
        Ok(Self {
            odb,
            git_dir,
            large_trees: Mutex::default(),
        })
    }

    /// The repository's own folder: where HEAD and objects are.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Whether the object is there.
    pub fn has(&self, id: Oid) -> bool {
        self.odb.exists(theirs(id))
    }

    /// Whether the object is there, by what is known of the packs so far.
    pub(crate) fn has_without_looking_again(&self, id: Oid) -> bool {
        self.odb
            .exists_ext(theirs(id), git2::OdbLookupFlags::NO_REFRESH)
    }

    /// Those of `ids` that are not there, each once, in the order given; looks at the folders once, however many there are.
    pub fn missing(&self, ids: impl IntoIterator<Item = Oid>) -> Result<Vec<Oid>, ObjectError> {
        self.odb.refresh()?;
        let mut seen = std::collections::HashSet::new();
        let gone = |id: &Oid| !self.has_without_looking_again(*id);
        Ok(ids
            .into_iter()
            .filter(|id| seen.insert(*id))
            .filter(gone)
            .collect())
    }

    /// Kind and size, without reading it.
    pub fn header(&self, id: Oid) -> Result<(Kind, u64), ObjectError> {
        let (size, kind) = self
            .odb
            .read_header(theirs(id))
            .map_err(|error| of_git(id, error))?;
        let kind = Kind::of(kind).ok_or_else(|| ObjectError::Malformed {
            id,
            what: "of no kind that git has".into(),
        })?;
        Ok((kind, size as u64))
    }

    /// The raw bytes of a blob of at most `limit` bytes.
    pub fn blob(&self, id: Oid, limit: u64) -> Result<Vec<u8>, ObjectError> {
        self.read(id, Kind::Blob, limit, <[u8]>::to_vec)
    }

    /// The raw bytes of a commit.
    pub fn commit(&self, id: Oid) -> Result<Vec<u8>, ObjectError> {
        self.read(id, Kind::Commit, MAX_COMMIT, <[u8]>::to_vec)
    }

    /// A tree, strictly read. What an id stands for never changes, so a large one is read once.
    pub fn tree(&self, id: Oid) -> Result<Arc<Tree>, ObjectError> {
        if let Some(known) = self.remembered().get(&id) {
            return Ok(known.clone());
        }
        let parsed = self.read(id, Kind::Tree, MAX_TREE, Tree::parse)?;
        let tree = parsed
            .map(Arc::new)
            .map_err(|what| ObjectError::Malformed {
                id,
                what: what.to_string(),
            })?;
        if tree.entries().len() >= LARGE {
            let mut known = self.remembered();
            let entries: usize = known.values().map(|tree| tree.entries().len()).sum();
            if entries + tree.entries().len() > REMEMBERED {
                known.clear();
            }
            known.insert(id, tree.clone());
        }
        Ok(tree)
    }

    /// Nobody leaves it half changed, so a panic elsewhere means nothing.
    fn remembered(&self) -> MutexGuard<'_, HashMap<Oid, Arc<Tree>>> {
        self.large_trees
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        id: Oid,
        wanted: Kind,
        limit: u64,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, ObjectError> {
        let (kind, size) = self.header(id)?;
        if kind != wanted {
            return Err(ObjectError::Kind {
                id,
                found: kind.as_str().into(),
                wanted: wanted.as_str(),
            });
        }
        if size > limit {
            return Err(ObjectError::TooLarge { id, size, limit });
        }
        let object = self
            .odb
            .read(theirs(id))
            .map_err(|error| of_git(id, error))?;
        // A header may lie (a damaged index); the bytes that were hashed do not.
        if object.data().len() as u64 > limit || Kind::of(object.kind()) != Some(wanted) {
            return Err(ObjectError::Malformed {
                id,
                what: "it is not what its header says".into(),
            });
        }
        Ok(take(object.data()))
    }
}

/// The folder with HEAD and objects that belongs to `path`: itself, its `.git`, or what its `.git` file names.
pub fn git_dir(path: &Path) -> Option<PathBuf> {
    let dot_git = path.join(".git");
    let inner = match fs::metadata(&dot_git) {
        Ok(found) if found.is_file() => {
            let text = fs::read_to_string(&dot_git).ok()?;
            path.join(text.strip_prefix("gitdir:")?.trim())
        }
        Ok(_) => dot_git,
        Err(_) => path.to_path_buf(),
    };
    // A linked worktree has its objects in the main one.
    let inner = match fs::read_to_string(inner.join("commondir")) {
        Ok(common) => inner.join(common.trim()),
        Err(_) => inner,
    };
    (inner.join("objects").is_dir() && inner.join("HEAD").symlink_metadata().is_ok())
        .then_some(inner)
}

/// HEAD comes last: where it is, everything is.
fn make_bare(path: &Path) -> io::Result<()> {
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        fs::create_dir_all(path.join(folder))?;
    }
    fs::write(
        path.join("config"),
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
    )?;
    fs::write(path.join("HEAD"), "ref: refs/heads/main\n")
}

fn is_sha256(git_dir: &Path) -> bool {
    let format = git2::Config::open(&git_dir.join("config"))
        .and_then(|config| config.get_string("extensions.objectformat"));
    format.is_ok_and(|format| format.eq_ignore_ascii_case("sha256"))
}

fn follow_alternates(folders: &mut Vec<PathBuf>) {
    let mut at = 0;
    while at < folders.len() && folders.len() <= MAX_ALTERNATES {
        let text = fs::read_to_string(folders[at].join("info/alternates")).unwrap_or_default();
        let named = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let next: Vec<PathBuf> = named
            .map(|line| folders[at].join(line))
            .filter(|folder| folder.is_dir())
            .collect();
        folders.extend(next);
        at += 1;
    }
}

fn add(odb: &git2::Odb<'_>, folder: &Path) -> Result<(), ObjectError> {
    let text = folder
        .to_str()
        .ok_or_else(|| ObjectError::NoRepository(folder.into()))?;
    Ok(odb.add_disk_alternate(text)?)
}

fn of_git(id: Oid, error: git2::Error) -> ObjectError {
    match error.code() {
        git2::ErrorCode::NotFound => ObjectError::Missing(id),
        _ => ObjectError::Git(error),
    }
}

/// git2's spelling of an id.
pub(crate) fn theirs(id: Oid) -> git2::Oid {
    git2::Oid::from_bytes(&id.0).expect("twenty bytes are an id")
}
