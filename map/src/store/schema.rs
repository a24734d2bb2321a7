//! The tables of the map's database, and how it is opened. Touches one `SQLite` file.

use super::{StoreError, requests, seal};
use rusqlite::{Connection, ErrorCode};
use std::{
    fs::{self, OpenOptions, Permissions},
    io::ErrorKind,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

/// What `PRAGMA user_version` says of a database that this program understands.
const VERSION: i64 = 4;

/// How long another process may hold the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// What version 2 added.
const SECOND: &str = "
CREATE TABLE person_session (
    hash BLOB PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    kind TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
PRAGMA user_version = 2;
";

const TABLES: &str = "
CREATE TABLE box (
    name TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,
    enrolled INTEGER NOT NULL,
    last_seen INTEGER,
    contact_since INTEGER,
    behind_since INTEGER,
    boot TEXT NOT NULL DEFAULT '',
    sequence INTEGER NOT NULL DEFAULT 0,
    agent_version TEXT NOT NULL DEFAULT '',
    status TEXT,
    rows TEXT,
    dropped INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE token (
    hash BLOB PRIMARY KEY,
    box TEXT NOT NULL,
    may_replace INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used_by TEXT
) STRICT;
CREATE TABLE session (
    hash BLOB PRIMARY KEY,
    box TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE nonce (
    nonce TEXT PRIMARY KEY,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL,
    event BLOB UNIQUE,
    body TEXT NOT NULL,
    box TEXT GENERATED ALWAYS AS (json_extract(body, '$.box')) VIRTUAL,
    workflow TEXT GENERATED ALWAYS AS (json_extract(body, '$.workflow')) VIRTUAL,
    action TEXT GENERATED ALWAYS AS (json_extract(body, '$.action')) VIRTUAL,
    actor TEXT GENERATED ALWAYS AS (json_extract(body, '$.by')) VIRTUAL
) STRICT;
CREATE INDEX audit_box ON audit (box, id);
CREATE INDEX audit_workflow ON audit (workflow, id);
CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
INSERT INTO audit_head VALUES (1, 0, zeroblob(32));
PRAGMA user_version = 1;
";

/// Opens the database, and makes it where there is none yet.
pub fn open_or_create(path: &Path) -> Result<Connection, StoreError> {
    keep_private(path)?;
    prepare(Connection::open(path)?)
}

/// Makes the file where there is none, for nobody but us; one that everybody could read is closed. It has every name of the
/// fleet in it. `SQLite` gives the files beside it the same mode.
pub fn keep_private(path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::File(path.to_owned(), error);
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let is_open = fs::metadata(&name).is_ok_and(|about| about.mode() & 0o007 != 0);
        if is_open {
            fs::set_permissions(&name, Permissions::from_mode(0o600)).map_err(failed)?;
        }
    }
    Ok(())
}

/// Opens a database that is there already.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Absent(path.to_owned()));
    }
    open_or_create(path)
}

fn prepare(mut db: Connection) -> Result<Connection, StoreError> {
    db.busy_timeout(PATIENCE)?;
    write_ahead(&db)?;
    // In WAL mode NORMAL may lose the last transactions in a power cut, never tear the file. A box sends again what
    // was not answered, and an answer may at worst be forgotten together with what it answered.
    db.pragma_update(None, "synchronous", "normal")?;
    db.pragma_update(None, "trusted_schema", false)?;
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let steps = [TABLES, SECOND, requests::TABLES, seal::TABLES];
    let done = usize::try_from(found)
        .ok()
        .filter(|done| *done <= steps.len());
    let Some(done) = done else {
        let known = VERSION;
        return Err(StoreError::Version { found, known });
    };
    for step in &steps[done..] {
        tx.execute_batch(step)?;
    }
    tx.commit()?;
    Ok(db)
}

/// Switches to write-ahead logging. `SQLite` does not wait by itself where two processes open a new database at the same
/// moment (`swarm-map serve` and `swarm-map token`): one of them is told "busy" at once.
fn write_ahead(db: &Connection) -> Result<(), StoreError> {
    let begin = Instant::now();
    loop {
        match db.pragma_update(None, "journal_mode", "wal") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begin.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return Ok(done?),
        }
    }
}
