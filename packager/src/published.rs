//! What is published already: versions on the trunk, whose bytes never change again. Asks git, reads objects.

use crate::{
    audit::trunk,
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    git::Git,
    pack::Packed,
};
use anyhow::Context;
use semver::Version;
use swarm_manifests::{
    id::{Digest, Oid},
    lock::Lock,
    name::Name,
    rules::bundle::{IMMUTABLE, MISSING},
    signature::Signature,
};
use swarm_repository::{objects::Objects, tree::Mode};

/// The longest bundle.lock that is read.
const MAX_LOCK: u64 = 64 << 20;

/// How a packed bundle stands to what is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has published this version.
    New,
    /// These very bytes are there, signed by this key.
    Equal {
        /// `SHA256:…`
        key: String,
    },
    /// Other bytes are there, or were once.
    Other(Digest),
}

/// One published version.
#[derive(Debug, Clone)]
pub struct PublishedVersion {
    /// The bundle.
    pub bundle: String,
    /// Its version.
    pub version: String,
    /// Its lock, where it can be read.
    pub lock: Option<Lock>,
    /// Its signature, where it can be read.
    pub signature: Option<Signature>,
}

/// The tree of HEAD, read by object id: no process for each file of ten thousand bundles.
pub struct Head {
    objects: Objects,
    root: Option<Oid>,
}

impl Head {
    /// Where HEAD is now.
    pub fn of(git: &Git) -> Outcome<Self> {
        let root = git.ask(["rev-parse", "-q", "--verify", "HEAD^{tree}"])?;
        let root = root
            .map(|root| root.parse())
            .transpose()
            .context("repositories with SHA-256 are not taken")?;
        Ok(Self {
            objects: trunk::objects(git)?,
            root,
        })
    }

    fn entry(&self, path: &str) -> Outcome<Option<(Mode, Oid)>> {
        let mut at = self.root.map(|root| (Mode::Folder, root));
        for name in path.split('/') {
            let Some((Mode::Folder, folder)) = at else {
                return Ok(None);
            };
            at = self
                .objects
                .tree(folder)?
                .get(name.as_bytes())
                .map(|entry| (entry.mode, entry.id));
        }
        Ok(at)
    }

    /// The bytes of a plain file.
    pub fn file(&self, path: &str) -> Outcome<Option<Vec<u8>>> {
        match self.entry(path)? {
            Some((Mode::File | Mode::Executable, blob)) => {
                Ok(Some(self.objects.blob(blob, MAX_LOCK)?))
            }
            _ => Ok(None),
        }
    }

    fn folders(&self, path: &str) -> Outcome<Vec<String>> {
        let Some((Mode::Folder, folder)) = self.entry(path)? else {
            return Ok(Vec::new());
        };
        let tree = self.objects.tree(folder)?;
        let folders = tree.entries().filter(|entry| entry.mode == Mode::Folder);
        Ok(folders
            .map(|entry| String::from_utf8_lossy(entry.name).into_owned())
            .collect())
    }

    /// The versions of a bundle, lowest first.
    pub fn versions(&self, bundle: &str) -> Outcome<Vec<String>> {
        let mut versions = self.folders(&format!("bundles/{bundle}"))?;
        versions.sort_by_key(|text| (Version::parse(text).ok(), text.clone()));
        Ok(versions)
    }

    fn lock(&self, folder: &str) -> Outcome<Option<Lock>> {
        Ok(self
            .file(&format!("{folder}/bundle.lock"))?
            .and_then(|text| Lock::parse(&text).ok()))
    }

    fn signature(&self, folder: &str) -> Outcome<Option<Signature>> {
        Ok(self
            .file(&format!("{folder}/bundle.lock.sig"))?
            .and_then(|armour| Signature::parse(&armour).ok()))
    }

    /// Every version of every bundle.
    pub fn all(&self) -> Outcome<Vec<PublishedVersion>> {
        let mut all = Vec::new();
        for bundle in self.folders("bundles")? {
            for version in self.versions(&bundle)? {
                let folder = format!("bundles/{bundle}/{version}");
                let (lock, signature) = (self.lock(&folder)?, self.signature(&folder)?);
                all.push(PublishedVersion {
                    bundle: bundle.clone(),
                    version,
                    lock,
                    signature,
                });
            }
        }
        Ok(all)
    }

    /// Refuses a version that is not there, and says which are.
    pub fn need(&self, bundle: &Name, version: &Version) -> Outcome {
        if self
            .entry(&format!("bundles/{bundle}/{version}/bundle.lock"))?
            .is_some()
        {
            return Ok(());
        }
        let there = self.versions(bundle.as_str())?;
        let there = if there.is_empty() {
            format!("no version of {bundle} is published")
        } else {
            format!("there are {}", there.join(", "))
        };
        let message = format!("{bundle} {version} is not published here; {there}");
        Err(Failure::rule(&MISSING, message)
            .hint("publish it with swarm-pack publish DIR, or name a version that is there"))
    }
}

/// How a packed bundle stands to the versions on HEAD and in its past.
pub fn standing(repository: &DeployRepository, packed: &Packed) -> Outcome<Standing> {
    let folder = format!("bundles/{}/{}", packed.bundle.name, packed.bundle.version);
    let head = Head::of(&repository.git)?;
    if head.root.is_none() {
        return Ok(Standing::New);
    }
    let ours = packed.lock.digest();
    if let Some(text) = head.file(&format!("{folder}/bundle.lock"))? {
        let theirs = Digest::of(&text);
        if theirs != ours {
            return Ok(Standing::Other(theirs));
        }
        let signature = head.signature(&folder)?;
        return Ok(
            signature.map_or(Standing::New, |signature| Standing::Equal {
                key: signature.fingerprint(),
            }),
        );
    }
    let once = first_lock(&repository.git, &folder)?;
    Ok(once
        .filter(|once| *once != ours)
        .map_or(Standing::New, Standing::Other))
}

/// Every version that a bundle ever had on this branch, also those whose folder is gone.
pub fn ever(git: &Git, bundle: &Name) -> Outcome<Vec<Version>> {
    let folder = format!("bundles/{bundle}");
    let log = git.ask([
        "log",
        "--first-parent",
        "-m",
        "--format=",
        "--name-only",
        "--diff-filter=A",
        "HEAD",
        "--",
        &folder,
    ])?;
    let versions = log
        .iter()
        .flat_map(|log| log.lines())
        .filter_map(|path| path.split('/').nth(2));
    Ok(versions
        .filter_map(|text| Version::parse(text).ok())
        .collect())
}

/// The digest of the lock that this folder had when it was first brought, though the folder is gone since.
fn first_lock(git: &Git, folder: &str) -> Outcome<Option<Digest>> {
    let path = format!("{folder}/bundle.lock");
    let log = git.line([
        "log",
        "--first-parent",
        "-m",
        "--format=%H",
        "--diff-filter=A",
        "HEAD",
        "--",
        &path,
    ])?;
    let Some(commit) = log.lines().last() else {
        return Ok(None);
    };
    Ok(git.file(commit, &path)?.map(|text| Digest::of(&text)))
}

/// The error for other bytes under a version that exists.
pub fn immutable(packed: &Packed, found: &Digest) -> Failure {
    let version = &packed.bundle.version;
    let message = format!(
        "{} is published already, with other bytes: {found}, and this folder has {}",
        packed.title(),
        packed.lock.digest()
    );
    Failure::rule(&IMMUTABLE, message).hint(format!("a version never changes: raise it in bundle.toml, to {} say (swarm-pack up does that itself)", next(version)))
}

/// The version after this one.
pub fn next(version: &Version) -> Version {
    let mut next = Version::new(version.major, version.minor, version.patch);
    if version.pre.is_empty() {
        next.patch += 1;
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_version_is_one_patch_higher_and_a_release_follows_its_candidate() {
        let next_of = |text: &str| next(&Version::parse(text).expect("SemVer")).to_string();
        assert_eq!(next_of("1.2.9"), "1.2.10");
        assert_eq!(next_of("1.3.0-rc.1"), "1.3.0");
        assert_eq!(next_of("1.3.0+build5"), "1.3.1");
    }
}
