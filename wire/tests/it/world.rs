//! A repository with two commits, small and large blobs, and what fetches of it must bring.

use crate::support::repository::{bare, commit, index, noise, objects, oid};
use std::{path::PathBuf, time::Duration};
use swarm_manifests::id::Oid;
use swarm_wire::remote::{Blobs, Bounds, Remote};
use tempfile::TempDir;

pub struct World {
    pub dir: TempDir,
    pub repository: PathBuf,
    pub first: Oid,
    pub second: Oid,
}

pub const BOUNDS: Bounds = Bounds {
    bytes: 100 << 20,
    time: Duration::from_secs(60),
    idle: Duration::from_secs(30),
};

impl World {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let repository = bare(dir.path(), "deploy.git");
        let first = commit(
            &repository,
            &[
                ("policy.toml", b"format = 1\n"),
                ("bundles/a/1.0.0/big", &noise(1, 300_000)),
                ("bundles/b/1.0.0/big", &noise(2, 300_000)),
            ],
        );
        let second = commit(
            &repository,
            &[("manifests/a.toml", b"version = \"1.0.0\"\n")],
        );
        Self {
            dir,
            repository,
            first,
            second,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The walk of an agent over one remote: look, metadata, one bundle's blobs, then one more commit.
    pub async fn walk(&self, remote: &mut Remote, filters: bool) {
        assert_eq!(remote.look("main").await.unwrap(), Some(self.second));
        assert_eq!(remote.look("mai").await.unwrap(), None);
        let mirror = bare(self.dir.path(), "mirror.git");
        let mut pack = Vec::new();
        let length = remote
            .fetch(self.second, &[], Blobs::Below(64 << 10), &mut pack, &BOUNDS)
            .await
            .unwrap();
        assert_eq!(length, pack.len() as u64);
        index(&mirror, &pack);
        let big = oid(&self.repository, "main:bundles/a/1.0.0/big");
        let there = objects(&mirror);
        assert!(there.contains_key(&self.first) && there.contains_key(&self.second));
        assert!(
            there.contains_key(&oid(&self.repository, "main:policy.toml")),
            "small blobs come with the metadata"
        );
        assert_eq!(
            there.contains_key(&big),
            !filters,
            "large blobs come only where nothing is filtered"
        );

        let mut pack = Vec::new();
        remote
            .fetch_blobs(&[big], &mut pack, &BOUNDS)
            .await
            .unwrap();
        let single = bare(self.dir.path(), "single.git");
        index(&single, &pack);
        assert_eq!(
            objects(&single).into_keys().collect::<Vec<_>>(),
            [big],
            "exactly what was asked for"
        );

        let third = commit(
            &self.repository,
            &[("manifests/a.toml", b"version = \"2.0.0\"\n")],
        );
        assert_eq!(
            remote.look("main").await.unwrap(),
            Some(third),
            "each look sees the branch as it is now"
        );
        let mut pack = Vec::new();
        remote
            .fetch(
                third,
                &[self.second],
                Blobs::Below(64 << 10),
                &mut pack,
                &BOUNDS,
            )
            .await
            .unwrap();
        assert!(
            pack.len() < 5000,
            "an update of one file is small: {}",
            pack.len()
        );
        index(&mirror, &pack);
        assert!(objects(&mirror).contains_key(&third));
    }
}

/// The rule of a refusal that must come.
pub fn rule<T: std::fmt::Debug>(
    result: Result<T, swarm_manifests::problem::Refusal>,
) -> (&'static str, String) {
    let refusal = result.expect_err("should have been refused");
    (refusal.rule.id, refusal.to_string())
}
