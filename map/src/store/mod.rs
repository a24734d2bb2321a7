//! The store: one thread that alone has the database and the boxes' records; others ask it, or watch the records.
//!
//! Questions come in over a bounded queue, answers go out by `oneshot`; each new set of records is published.

pub mod audit;
pub mod noted;
pub mod people;
pub mod reports;
pub mod requests;
pub mod schema;
pub mod seal;
pub mod sessions;
pub mod tokens;

use crate::feed::{Change, Feed};
use jiff::{SignedDuration, Timestamp};
use reports::Reports;
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};
use swarm_manifests::{
    name::Name,
    policy::SignedBy,
    report::Report,
    request::{Request, Signed},
};
use tokio::sync::{mpsc, oneshot, watch};

/// How many questions may wait for the store.
const QUEUE: usize = 256;

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum StoreError {
    #[error("{} is not there; swarm-map serve or swarm-map token makes it", .0.display())]
    Absent(PathBuf),
    #[error("{}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    #[error("the database has version {found}, this program knows {known}")]
    Version { found: i64, known: i64 },
    #[error("the database")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a value could not be written as JSON or read back")]
    Json(#[from] serde_json::Error),
    #[error("{0} in the database is not understood")]
    Corrupt(String),
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("the store has ended")]
    Gone,
}

/// The one owner of the database and of what boxes said.
pub struct Ledger {
    /// The database.
    pub db: Connection,
    reports: Arc<Reports>,
    published: watch::Sender<Arc<Reports>>,
    feed: Feed,
    gap: SignedDuration,
}

type Question = Box<dyn FnOnce(&mut Ledger) + Send>;

/// What [`Store::open`] gives: the way to ask, the records to watch, the thread to wait for at the end.
pub type Opened = (Store, watch::Receiver<Arc<Reports>>, JoinHandle<()>);

/// A way to ask the store.
#[derive(Clone)]
pub struct Store {
    questions: mpsc::Sender<Question>,
}

impl Store {
    /// Opens the database and starts its thread. A box that was silent for `gap` begins a new contact.
    pub fn open(path: &Path, gap: SignedDuration, feed: Feed) -> Result<Opened, StoreError> {
        let db = schema::open_or_create(path)?;
        let reports = Arc::new(reports::load(&db, Timestamp::now())?);
        let (published, watching) = watch::channel(Arc::clone(&reports));
        let mut ledger = Ledger {
            db,
            reports,
            published,
            feed,
            gap,
        };
        let (questions, mut asked) = mpsc::channel::<Question>(QUEUE);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                while let Some(question) = asked.blocking_recv() {
                    question(&mut ledger);
                }
            })
            .map_err(|_| StoreError::Gone)?;
        Ok((Self { questions }, watching, thread))
    }

    /// Has the store do something, and waits for what comes of it.
    pub async fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |ledger| {
            // Whoever asked may be gone: then nobody misses the answer.
            let _ = answer.send(what(ledger));
        });
        self.questions
            .send(question)
            .await
            .map_err(|_| StoreError::Gone)?;
        answered.await.map_err(|_| StoreError::Gone)?
    }
}

impl Ledger {
    /// Takes a box's report. None: the box is not enrolled (any more).
    pub fn take(
        &mut self,
        name: &Name,
        report: Report,
        now: Timestamp,
    ) -> Result<Option<bool>, StoreError> {
        let Some(old) = self.reports.boxes.get(name).cloned() else {
            return Ok(None);
        };
        let taken = reports::take(&mut self.db, &old, report, self.gap, now)?;
        let mut reports = Reports::clone(&self.reports);
        reports.boxes.insert(name.clone(), Arc::new(taken.record));
        self.publish(reports);
        for entry in taken.entries {
            self.feed.push(Change::Audit(Box::new(entry)));
        }
        Ok(Some(taken.resend))
    }

    /// Takes a person's request, which was verified.
    pub fn take_request(
        &mut self,
        request: &Request,
        signed: &Signed,
        by: &SignedBy,
        now: Timestamp,
    ) -> Result<requests::Taken, StoreError> {
        let mut taken = requests::put(&mut self.db, (request, signed, by), now)?;
        if let requests::Taken::Yes(entries) = &mut taken {
            for entry in entries.drain(..) {
                self.feed.push(Change::Audit(Box::new(entry)));
            }
        }
        Ok(taken)
    }

    /// Takes a box's key, where its token says so.
    pub fn enrol(
        &mut self,
        name: &Name,
        token: &str,
        key: &ssh_key::PublicKey,
        now: Timestamp,
    ) -> Result<tokens::Redeemed, StoreError> {
        let redeemed = tokens::redeem(&mut self.db, name, token, key, now)?;
        if let tokens::Redeemed::Enrolled(entry) = &redeemed {
            self.feed.push(Change::Audit(entry.clone()));
            let reports = reports::load(&self.db, now)?;
            self.publish(reports);
        }
        Ok(redeemed)
    }

    /// Looks again for which boxes tokens wait: another process makes those.
    pub fn refresh_pending(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let pending = reports::pending(&self.db, now)?;
        if pending != self.reports.pending {
            self.publish(Reports {
                pending,
                ..Reports::clone(&self.reports)
            });
        }
        Ok(())
    }

    fn publish(&mut self, reports: Reports) {
        self.reports = Arc::new(reports);
        self.published.send_replace(Arc::clone(&self.reports));
    }
}
