//! What is published already: versions on the trunk, whose bytes never change again. Asks git.

use crate::{
    deploy_repository::DeployRepository,
    failure::{Failure, Outcome},
    git::Git,
    pack::Packed,
};
use semver::Version;
use swarm_manifests::{
    id::Digest,
    lock::Lock,
    name::Name,
    rules::bundle::{IMMUTABLE, MISSING},
    signature::Signature,
};

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

/// How a packed bundle stands to the versions on HEAD and in its past.
pub fn standing(repository: &DeployRepository, packed: &Packed) -> Outcome<Standing> {
    let folder = format!("bundles/{}/{}", packed.bundle.name, packed.bundle.version);
    let git = &repository.git;
    if git.head()?.is_none() {
        return Ok(Standing::New);
    }
    let ours = packed.lock.digest();
    if let Some(text) = git.file("HEAD", &format!("{folder}/bundle.lock"))? {
        let theirs = Digest::of(&text);
        if theirs != ours {
            return Ok(Standing::Other(theirs));
        }
        let signature = git
            .file("HEAD", &format!("{folder}/bundle.lock.sig"))?
            .and_then(|armour| Signature::parse(&armour).ok());
        return Ok(
            signature.map_or(Standing::New, |signature| Standing::Equal {
                key: signature.fingerprint(),
            }),
        );
    }
    let once = first_lock(git, &folder)?;
    Ok(once
        .filter(|once| *once != ours)
        .map_or(Standing::New, Standing::Other))
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

/// The versions of a bundle that HEAD has, lowest first.
pub fn versions(git: &Git, bundle: &str) -> Outcome<Vec<String>> {
    let names = git
        .ask([
            "ls-tree",
            "--name-only",
            "HEAD",
            &format!("bundles/{bundle}/"),
        ])?
        .unwrap_or_default();
    let mut versions: Vec<String> = names
        .lines()
        .filter_map(|line| line.rsplit('/').next())
        .map(str::to_string)
        .collect();
    versions.sort_by_key(|text| (Version::parse(text).ok(), text.clone()));
    Ok(versions)
}

/// Refuses a version that is not there, and says which are.
pub fn need(git: &Git, bundle: &Name, version: &Version) -> Outcome {
    if git
        .file("HEAD", &format!("bundles/{bundle}/{version}/bundle.lock"))?
        .is_some()
    {
        return Ok(());
    }
    let there = versions(git, bundle.as_str())?;
    let there = if there.is_empty() {
        format!("no version of {bundle} is published")
    } else {
        format!("there are {}", there.join(", "))
    };
    Err(Failure::rule(
        &MISSING,
        format!("{bundle} {version} is not published here; {there}"),
    )
    .hint("publish it with swarm-pack publish DIR, or name a version that is there"))
}

/// Every version that HEAD has, of one bundle or of all.
pub fn all(git: &Git, bundle: Option<&str>) -> Outcome<Vec<PublishedVersion>> {
    let bundles = if let Some(bundle) = bundle {
        vec![bundle.to_string()]
    } else {
        let names = git
            .ask(["ls-tree", "--name-only", "HEAD", "bundles/"])?
            .unwrap_or_default();
        names
            .lines()
            .filter_map(|line| line.rsplit('/').next())
            .map(str::to_string)
            .collect()
    };
    let mut all = Vec::new();
    for bundle in bundles {
        for version in versions(git, &bundle)? {
            let folder = format!("bundles/{bundle}/{version}");
            let lock = git
                .file("HEAD", &format!("{folder}/bundle.lock"))?
                .and_then(|text| Lock::parse(&text).ok());
            let signature = git
                .file("HEAD", &format!("{folder}/bundle.lock.sig"))?
                .and_then(|armour| Signature::parse(&armour).ok());
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
