//! What nobody needs any more goes: bundles from the store, small packs from the mirror.
//!
//! Touches both. The packs are joined by a thread, beside the walk, which has to open the mirror again only when that is done.

use super::Walk;
use crate::picture::Picture;
use std::{collections::BTreeSet, rc::Rc};
use swarm_manifests::id::Digest;
use swarm_repository::{
    compact::{self, Joined},
    objects::ObjectError,
    trust_file,
};
use tokio::task::JoinHandle;

impl Walk {
    /// Removes bundles, and closes secrets, that nobody needs.
    ///
    /// Who says what is needed may have seen an older picture: what was stored for the present one stays.
    pub fn tidy(&mut self, needed: BTreeSet<Digest>) {
        let picture = self.out.picture.borrow().clone();
        let Some(keep) = picture.stays(needed) else {
            return;
        };
        if let Some(secrets) = self.opener.retire(&picture.secrets, &keep) {
            let secrets = Rc::new(secrets);
            self.out.picture.send_modify(|shown| {
                *shown = Rc::new(Picture {
                    secrets,
                    ..Picture::clone(shown)
                });
            });
        }
        let gone = self.store.collect(&keep);
        if gone > 0 {
            tracing::info!(
                gone,
                "bundles that nobody needs were removed from the store"
            );
        }
    }

    /// Writes down in one place where the trust stands.
    pub fn settle_trust(&self) {
        if let Err(error) = trust_file::settle(&self.config.own()) {
            tracing::warn!(%error, "trust.json stays behind its ledger");
        }
    }

    /// Joins small packs of the mirror, where there are many. What comes of it is for [`Walk::joined`].
    pub fn join_packs(&self) -> JoinHandle<Result<Option<Joined>, ObjectError>> {
        let mirror = self.objects.git_dir().to_path_buf();
        tokio::task::spawn_blocking(move || compact::join(&mirror))
    }

    /// Takes away the packs that were joined, and opens the mirror anew.
    pub fn joined(&mut self, joined: Result<Option<Joined>, ObjectError>) {
        match joined.and_then(|joined| joined.map(Joined::retire).transpose()) {
            Ok(None) => return,
            Ok(Some(packs)) => tracing::info!(packs, "small packs were joined"),
            Err(error) => tracing::warn!(%error, "small packs could not be joined"),
        }
        match self.objects.reopen() {
            Ok(objects) => self.objects = objects,
            Err(error) => tracing::warn!(%error, "the mirror could not be opened again"),
        }
    }
}
