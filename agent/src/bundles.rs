//! The bundles that this box needs: looked at, fetched where files are missing, stored. Each comes to an [`Offer`].
//!
//! Touches the object store, the remote and the store. One bundle that fails leaves the others alone.

use crate::{
    fetch::Fetch,
    resolve::{BundleKey, Cleared, Offer},
    store::{Parcel, Store, StoreError},
};
use std::collections::{BTreeMap, BTreeSet};
use swarm_manifests::{
    bundle,
    id::{Digest, Oid},
    lock::Lock,
    policy::Policy,
    problem::Refusal,
    rules,
    signature::{MAX_ARMOUR, Signature},
};
use swarm_repository::{
    bundle::{Looked, VerifiedBundle},
    commit::Commit,
    objects::{ObjectError, Objects},
    revoked::Void,
    trunk::MAX_LOCK,
    trusted::Trusted,
    verifier::Verifier,
};

/// A bundle's lock, signature and bundle.toml, then its files, then again where links of trees were missing: more rounds are not needed.
const ROUNDS: usize = 4;

/// Where bundles are looked for.
#[allow(missing_docs)]
pub struct Shelf<'a> {
    pub objects: &'a Objects,
    pub verifier: &'a mut Verifier,
    pub trusted: &'a Trusted,
    pub policy: &'a Policy,
    pub void: &'a Void,
    pub store: &'a Store,
}

/// Looks at each bundle without the network. Gives what is missing of those that are on their way, too.
pub fn survey(
    shelf: &mut Shelf<'_>,
    needed: &BTreeSet<BundleKey>,
) -> (BTreeMap<BundleKey, Offer>, Vec<Oid>) {
    let mut missing = BTreeSet::new();
    let offers = needed
        .iter()
        .map(|key| {
            let offer = match one(shelf, key) {
                Ok(Seen::Offer(offer)) => offer,
                Ok(Seen::Missing(blobs)) => {
                    missing.extend(blobs);
                    Offer::Fetching
                }
                Err(error) => Offer::Blocked(damaged(key, &error)),
            };
            (key.clone(), offer)
        })
        .collect();
    (offers, missing.into_iter().collect())
}

/// Fetches what is missing until nothing is. `progress` sees the offers after each round.
pub async fn gather(
    shelf: &mut Shelf<'_>,
    needed: &BTreeSet<BundleKey>,
    fetch: &mut Fetch,
    mut progress: impl FnMut(&BTreeMap<BundleKey, Offer>),
) -> (BTreeMap<BundleKey, Offer>, Option<Refusal>) {
    let (mut offers, mut missing) = survey(shelf, needed);
    progress(&offers);
    for _ in 0..ROUNDS {
        if missing.is_empty() {
            return (offers, None);
        }
        if let Err(refusal) = fetch.blobs(&missing).await {
            return (offers, Some(refusal));
        }
        let asked = missing;
        (offers, missing) = survey(shelf, needed);
        progress(&offers);
        if missing == asked {
            break;
        }
    }
    let refusal = (!missing.is_empty()).then(|| {
        Refusal::new(
            &rules::remote::PACK,
            format!(
                "the remote did not send {} of the objects that were asked for",
                missing.len()
            ),
        )
    });
    (offers, refusal)
}

enum Seen {
    Offer(Offer),
    Missing(Vec<Oid>),
}

fn one(shelf: &mut Shelf<'_>, key: &BundleKey) -> Result<Seen, ObjectError> {
    let (name, version) = key;
    Ok(
        match shelf
            .verifier
            .look(shelf.objects, shelf.trusted, name, version)?
        {
            Looked::Need(blobs) => Seen::Missing(blobs),
            Looked::Refused(refusal) if refusal.rule == &rules::bundle::MISSING => Seen::Offer(
                stored(shelf, key).map_or(Offer::Refused(refusal), |cleared| {
                    Offer::Cleared(Box::new(cleared))
                }),
            ),
            Looked::Refused(refusal) => Seen::Offer(Offer::Refused(refusal)),
            Looked::Verified(bundle, missing) => {
                if missing.is_empty() || shelf.store.has(bundle.lock().digest()) {
                    Seen::Offer(put(shelf, key, &bundle))
                } else {
                    Seen::Missing(missing)
                }
            }
        },
    )
}

/// Stores a verified bundle whose blobs are here, unless it is stored.
fn put(shelf: &Shelf<'_>, key: &BundleKey, bundle: &VerifiedBundle) -> Offer {
    let mut file = |at: usize| {
        let entry = &bundle.lock().entries()[at];
        let differs = |what: &str| {
            let reason = format!(
                "{} of {} {} {what}",
                entry.path,
                bundle.lock().name(),
                bundle.lock().version()
            );
            StoreError::Refused(Refusal::new(&rules::bundle::FILE_DIFFERS, reason))
        };
        let blob = bundle
            .files()
            .get(at)
            .ok_or_else(|| differs("is not in the repository"))?;
        shelf
            .objects
            .blob(*blob, entry.size)
            .map_err(|error| match error {
                ObjectError::TooLarge { size, .. } => differs(&format!(
                    "has {size} bytes, bundle.lock says {}",
                    entry.size
                )),
                ObjectError::Kind { .. } | ObjectError::Malformed { .. } => {
                    differs(&format!("cannot be read: {error}"))
                }
                _ => StoreError::Blocked(Refusal::new(
                    &rules::remote::PACK,
                    format!("{}: {error}", entry.path),
                )),
            })
    };
    let signature = match armour(shelf, key) {
        Ok(signature) => signature,
        Err(error) => return Offer::Blocked(damaged(key, &error)),
    };
    let parcel = Parcel {
        lock: bundle.lock(),
        text: bundle.lock_text(),
        signature: signature.as_deref(),
        file: &mut file,
    };
    match shelf.store.put(parcel) {
        Ok(_) => Offer::Cleared(Box::new(Cleared::verified(bundle))),
        Err(StoreError::Refused(refusal)) => Offer::Refused(refusal),
        Err(StoreError::Blocked(refusal)) => Offer::Blocked(refusal),
    }
}

/// bundle.lock.sig at the trusted head; it was verified a moment ago.
fn armour(shelf: &Shelf<'_>, (name, version): &BundleKey) -> Result<Option<Vec<u8>>, ObjectError> {
    let head = shelf.trusted.head;
    let commit =
        Commit::parse(&shelf.objects.commit(head)?).map_err(|error| ObjectError::Malformed {
            id: head,
            what: error.to_string(),
        })?;
    let mut id = commit.tree;
    for part in [
        "bundles",
        name.as_str(),
        version.as_str(),
        "bundle.lock.sig",
    ] {
        let Some(entry) = shelf
            .objects
            .tree(id)?
            .get(part.as_bytes())
            .map(|entry| entry.id)
        else {
            return Ok(None);
        };
        id = entry;
    }
    shelf.objects.blob(id, MAX_ARMOUR as u64).map(Some)
}

/// What a sync would come to: a bundle that verifies counts as had, though its files are still to be fetched.
pub async fn foresee(
    shelf: &mut Shelf<'_>,
    needed: &BTreeSet<BundleKey>,
    fetch: &mut Fetch,
) -> Result<BTreeMap<BundleKey, Offer>, Refusal> {
    let mut unread = BTreeSet::new();
    for (name, version) in needed {
        if let Ok(Looked::Need(blobs)) =
            shelf
                .verifier
                .look(shelf.objects, shelf.trusted, name, version)
        {
            unread.extend(blobs);
        }
    }
    fetch.blobs(&unread.into_iter().collect::<Vec<_>>()).await?;
    Ok(needed
        .iter()
        .map(|key| (key.clone(), foreseen(shelf, key)))
        .collect())
}

fn foreseen(shelf: &mut Shelf<'_>, key: &BundleKey) -> Offer {
    let (name, version) = key;
    match shelf
        .verifier
        .look(shelf.objects, shelf.trusted, name, version)
    {
        Ok(Looked::Verified(bundle, _)) => Offer::Cleared(Box::new(Cleared::verified(&bundle))),
        Ok(Looked::Need(_)) => Offer::Fetching,
        Ok(Looked::Refused(refusal)) if refusal.rule == &rules::bundle::MISSING => {
            stored(shelf, key).map_or(Offer::Refused(refusal), |cleared| {
                Offer::Cleared(Box::new(cleared))
            })
        }
        Ok(Looked::Refused(refusal)) => Offer::Refused(refusal),
        Err(error) => Offer::Blocked(damaged(key, &error)),
    }
}

/// A bundle whose folder is gone from the repository: the store has it as it was verified then, under the digest that the trunk brought.
fn stored(shelf: &Shelf<'_>, (name, version): &BundleKey) -> Option<Cleared> {
    let brought = shelf
        .trusted
        .bundles
        .get(format!("{name}/{version}").as_str())?;
    // The lock of a bundle that nobody here needed when it was brought came later, if at all.
    let later = || shelf.objects.blob(brought.lock, MAX_LOCK).ok();
    let digest = brought.digest.or_else(|| Some(Digest::of(&later()?)))?;
    if shelf.void.strikes(None, Some(digest)).is_some() {
        return None;
    }
    let text = shelf.store.lock(digest)?;
    let lock = Lock::parse(&text)
        .ok()
        .filter(|lock| lock.name() == name && lock.version().to_string() == *version)?;
    // The signer's rights were judged when it was stored; here only whose signature it is counts.
    let signature = Signature::parse(&shelf.store.signature(digest)?).ok()?;
    signature
        .verify(swarm_manifests::lock::NAMESPACE, &text)
        .ok()?;
    let by = shelf.policy.person_of(&signature.key())?.clone();
    let (bundle, _) = bundle::read("bundle.toml", &shelf.store.file(digest, "bundle.toml")?);
    let bundle =
        bundle.filter(|bundle| bundle.name == *lock.name() && bundle.version == *lock.version())?;
    Some(Cleared {
        bundle,
        digest,
        signed: Some((by, signature.fingerprint())),
    })
}

fn damaged((name, version): &BundleKey, error: &ObjectError) -> Refusal {
    Refusal::new(
        &rules::remote::PACK,
        format!("bundle {name} {version} cannot be read: {error}"),
    )
    .hint("it is fetched again by itself")
}
