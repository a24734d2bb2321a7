//! The map's own mirror of the deploy repository: look, fetch, verify as a box does, tell the fleet, nudge the boxes.
//!
//! In: webhooks and the clock. Out: [`Trunk`] into a watch, nudges. Touches the network and its own folder. It has a thread of
//! its own: verifying a long trunk must keep no box waiting.

mod show;

use crate::{
    fleet::trunk::{Known, Trunk},
    key,
    nudge::Nudges,
    settings::Mirror as Settings,
};
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use ssh_key::PrivateKey;
use std::{fs, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc, thread::JoinHandle};
use swarm_manifests::{
    id::Oid,
    indexer::QUARANTINE,
    problem::Refusal,
    report::Trouble,
    rules::{remote::PACK, run::DISK},
};
use swarm_repository::{
    compact::compact,
    index,
    objects::{ObjectError, Objects},
    trunk::Advance,
    trust_file::{self, Loaded},
    trusted::Trusted,
    verifier::Verifier,
};
use swarm_wire::{
    fetch::Fetch,
    indexer::Quarantine,
    pace::{Outcome, Pace},
    remote::{Blobs, Options},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// What people write and sign comes along with the history; files of bundles mostly do not.
const SMALL: Blobs = Blobs::Below(64 << 10);

/// The mirror, with everything that only it may touch.
pub struct Mirror {
    settings: Settings,
    fetch: Fetch,
    objects: Objects,
    key: PrivateKey,
    verifier: Verifier,
    trusted: Option<Trusted>,
    /// The head that was judged last: it is not judged again at each look.
    judged: Option<Oid>,
    /// Objects were missing: the next fetch asks for everything.
    whole: bool,
    trunk: watch::Sender<Known>,
    nudges: Nudges,
    _lock: fs::File,
}

impl Mirror {
    /// Opens what an earlier map left in the folder. Nothing is asked of the network yet.
    pub fn open(settings: Settings, nudges: Nudges) -> Result<(Self, watch::Receiver<Known>)> {
        let lock = own_folder(&settings.folder)?;
        let fetch = fetch(&settings)?;
        let store = settings.folder.join("mirror");
        let objects =
            Objects::open(&store, true).context("the mirror's objects cannot be opened")?;
        let trusted = match trust_file::load(&settings.folder, &settings.trust) {
            Loaded::Kept(trusted) => Some(*trusted),
            Loaded::New => None,
            Loaded::Reintroduced(_) => {
                tracing::info!("[trust] was changed: the mirror begins anew at the introduction");
                None
            }
            Loaded::Lost(refusal) => {
                tracing::warn!(%refusal, "the mirror begins anew at the introduction");
                None
            }
        };
        let (trunk, known) = watch::channel(None);
        let mut mirror = Self {
            key: key::open(&settings.key)?,
            settings,
            fetch,
            objects,
            verifier: Verifier::new(),
            trusted,
            judged: None,
            whole: false,
            trunk,
            nudges,
            _lock: lock,
        };
        mirror.begin();
        Ok((mirror, known))
    }

    /// What is known before the first look: the head of the last run, since it was saved.
    fn begin(&mut self) {
        let saved = fs::metadata(self.settings.folder.join("trust.json"))
            .and_then(|about| about.modified())
            .ok()
            .and_then(|time| Timestamp::try_from(time).ok());
        let since = saved.unwrap_or_else(Timestamp::now);
        self.trunk.send_replace(Some(Arc::new(Trunk {
            repository: self.fetch.shown_url().to_owned(),
            branch: self.settings.branch.clone(),
            head: self.trusted.as_ref().map(|to| self.head(to, since)),
            remote_head: None,
            looked: None,
            trouble: None,
            failure: None,
            witness: None,
            chain: Arc::default(),
            policy: None,
        })));
        self.show_trusted();
    }

    /// Runs it in a thread of its own until told to stop.
    pub fn spawn(self, stop: CancellationToken) -> Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the mirror's runtime")?;
        std::thread::Builder::new()
            .name("mirror".into())
            .spawn(move || runtime.block_on(self.run(stop)))
            .context("the mirror's thread")
    }

    async fn run(mut self, stop: CancellationToken) {
        let begun = Instant::now();
        let mut pace = Pace::new(self.settings.poll);
        let mut level = self.nudges.subscribe();
        // Nudges that this mirror sent are no news to it.
        let mut own = 0;
        let mut heard = level.borrow_and_update().count;
        let mut is_hooked = false;
        loop {
            if is_hooked {
                pace.promised(begun.elapsed());
            }
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.look(is_hooked) => outcome,
            };
            pace.looked(begun.elapsed(), outcome);
            // After a webhook every box was nudged already, before this look.
            if outcome == Outcome::Moved && !is_hooked {
                self.nudges.nudge();
                own += 1;
            }
            let poll = Instant::now() + pace.until_poll(dice());
            is_hooked = tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(poll) => false,
                changed = level.wait_for(|level| level.count - own != heard) => match changed {
                    Ok(_) => true,
                    Err(_) => return,
                },
            };
            if is_hooked {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pace.until_nudged(begun.elapsed())) => {}
                }
            }
            heard = level.borrow_and_update().count - own;
        }
    }

    async fn look(&mut self, expects_news: bool) -> Outcome {
        let followed = self.follow(expects_news).await;
        self.fetch.rest();
        match followed {
            Ok(outcome) => {
                self.tell(|trunk| trunk.failure = None);
                outcome
            }
            Err(refusal) => {
                tracing::warn!(
                    rule = refusal.rule.id,
                    reason = refusal.reason,
                    "the mirror"
                );
                self.tell(|trunk| trunk.failure = Some(trouble(&refusal, None)));
                Outcome::Failed
            }
        }
    }

    async fn follow(&mut self, expects_news: bool) -> Result<Outcome, Refusal> {
        let branch = self.fetch.look(expects_news).await?;
        let url = self.fetch.shown_url().to_owned();
        self.tell(|trunk| {
            trunk.repository = url;
            trunk.remote_head = Some(branch.to_string());
            trunk.looked = Some(Timestamp::now());
        });
        if self.judged == Some(branch) {
            self.show_trusted();
            return Ok(Outcome::Same);
        }
        self.fetch_history(branch).await?;
        let before = self.trusted.as_ref().map(|trusted| trusted.head);
        let stopped = self.advance(branch)?;
        self.judged = Some(branch);
        if let Some(trouble) = &stopped {
            tracing::warn!(
                rule = trouble.rule,
                reason = trouble.reason,
                "the trunk stopped"
            );
        }
        let moved = self.trusted.as_ref().filter(|to| Some(to.head) != before);
        let head = moved.map(|to| self.head(to, Timestamp::now()));
        let outcome = if head.is_some() {
            Outcome::Moved
        } else {
            Outcome::Same
        };
        self.tell(|trunk| {
            trunk.trouble = stopped;
            if let Some(head) = head {
                tracing::info!(
                    head = head.commit,
                    position = head.position,
                    "the trunk moved"
                );
                trunk.head = Some(head);
            }
        });
        self.show_trusted();
        self.tidy();
        Ok(outcome)
    }

    async fn fetch_history(&mut self, head: Oid) -> Result<(), Refusal> {
        if self.objects.has(head) && !self.whole {
            return Ok(());
        }
        let known = self.trusted.iter().map(|trusted| trusted.head);
        let have: Vec<Oid> = known
            .chain(self.judged)
            .filter(|id| !self.whole && self.objects.has(*id))
            .collect();
        let indexed = self.fetch.history(head, &have, SMALL).await?;
        index::adopt(indexed.folder(), self.objects.git_dir())
            .map_err(|error| self.unreadable(&error))?;
        self.whole = false;
        if self.objects.has(head) {
            return Ok(());
        }
        let reason = format!("the remote did not send commit {}", head.short());
        Err(Refusal::new(&PACK, reason))
    }

    /// Moves the trust as far as it verifies, and saves it before anybody hears of it. Gives what stopped it.
    fn advance(&mut self, head: Oid) -> Result<Option<Trouble>, Refusal> {
        let from = match self.trusted.clone() {
            Some(trusted) => trusted,
            None => match self.verifier.introduce(&self.objects, &self.settings.trust) {
                Ok(Ok(trusted)) => trusted,
                Ok(Err(refusal)) => {
                    let introduction = self.settings.trust.introduction;
                    return Ok(Some(trouble(&refusal, Some(introduction))));
                }
                Err(error) => return Err(self.unreadable(&error)),
            },
        };
        let advance = self
            .verifier
            .advance(&self.objects, &from, head)
            .map_err(|error| self.unreadable(&error))?;
        let (to, stopped) = match advance {
            Advance::Moved(to) => (to, None),
            Advance::Same => (from, None),
            Advance::Stopped {
                at,
                commit,
                refusal,
            } => (at, Some(trouble(&refusal, Some(commit)))),
            Advance::Astray(refusal) => (from, Some(trouble(&refusal, Some(head)))),
        };
        if self.trusted.as_ref().map(|before| before.head) != Some(to.head) {
            trust_file::save(&self.settings.folder, self.trusted.as_ref(), &to).map_err(
                |error| {
                    Refusal::new(
                        &DISK,
                        format!("the mirror's trust cannot be saved: {error}"),
                    )
                },
            )?;
        }
        self.trusted = Some(to);
        Ok(stopped)
    }

    fn unreadable(&mut self, error: &ObjectError) -> Refusal {
        self.whole = true;
        Refusal::new(&PACK, format!("the mirror cannot be read: {error}"))
            .hint("it is fetched again by itself")
    }

    /// Joins small packs.
    fn tidy(&mut self) {
        let joined = compact(self.objects.git_dir());
        match joined.and_then(|packs| (packs > 0).then(|| self.objects.reopen()).transpose()) {
            Ok(Some(objects)) => self.objects = objects,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "small packs could not be joined"),
        }
    }
}

/// The branch at its remote, with an empty quarantine.
fn fetch(settings: &Settings) -> Result<Fetch> {
    let folder = settings.folder.join(QUARANTINE);
    index::clear(&folder, &settings.folder.join("mirror"))
        .with_context(|| format!("cannot clear {}", folder.display()))?;
    let options = Options {
        run_dir: Some(settings.folder.clone()),
        ..settings.options.clone()
    };
    Ok(Fetch::new(
        &settings.urls,
        &settings.branch,
        &options,
        Quarantine {
            folder,
            starter: None,
        },
    )?)
}

/// Makes the mirror's folder, for nobody else, and locks it: two maps in one would undo each other's work.
fn own_folder(folder: &Path) -> Result<fs::File> {
    let name = folder.display();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {name}"))?;
    let lock =
        fs::File::create(folder.join("lock")).with_context(|| format!("cannot write in {name}"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another map works in {name}"))?;
    Ok(lock)
}

fn trouble(refusal: &Refusal, commit: Option<Oid>) -> Trouble {
    let advice = || refusal.rule.remedy.to_owned();
    Trouble {
        rule: refusal.rule.id.into(),
        reason: refusal.reason.clone(),
        hint: Some(refusal.hint.clone().unwrap_or_else(advice)),
        commit: commit.map(|commit| commit.to_string()),
    }
}

/// From 0 to 1.
fn dice() -> f64 {
    let mut byte = [127];
    // Without randomness the polls are merely even.
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}
