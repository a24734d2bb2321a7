//! What each box said last: the record that the fleet is folded from, and how a report changes it. Touches the database it is given.

use super::{StoreError, audit};
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use swarm_manifests::{
    name::Name,
    report::{BoxStatus, Measure, Report},
    status::Row,
};

/// What the map knows of one enrolled box.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Record {
    pub name: Name,
    /// The fingerprint of its key.
    pub key: String,
    pub enrolled: Timestamp,
    pub last_seen: Option<Timestamp>,
    /// Since when it reports without a gap.
    pub contact_since: Option<Timestamp>,
    /// Since when its remote's branch is somewhere else than what it trusts.
    pub behind_since: Option<Timestamp>,
    pub boot: String,
    pub sequence: u64,
    pub agent_version: String,
    pub status: Option<Arc<BoxStatus>>,
    pub rows: Option<Arc<Vec<Row>>>,
    /// When these rows came. None: before this map was started.
    pub rows_at: Option<Timestamp>,
    pub dropped: u64,
}

/// Every box that the map knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reports {
    /// Those that enrolled.
    pub boxes: BTreeMap<Name, Arc<Record>>,
    /// Those that a token was made for, and that have not come yet: since when they may.
    pub pending: BTreeMap<Name, Timestamp>,
}

/// What a report brought.
#[derive(Debug)]
pub struct Taken {
    /// The box as it is now known.
    pub record: Record,
    /// New rows of the audit.
    pub entries: Vec<audit::Entry>,
    /// Something of its state is missing here.
    pub resend: bool,
}

impl Record {
    /// Whether this very report was taken before.
    fn has_taken(&self, report: &Report) -> bool {
        self.boot == report.boot && report.sequence <= self.sequence
    }

    /// Whether a report between the last one and this one is missing, and with it perhaps a change.
    fn misses_one_before(&self, report: &Report) -> bool {
        if self.boot == report.boot {
            report.sequence > self.sequence + 1
        } else {
            true
        }
    }
}

/// Takes a report: once, and in one transaction with its audit rows.
pub fn take(
    db: &mut Connection,
    old: &Record,
    report: Report,
    gap: jiff::SignedDuration,
    now: Timestamp,
) -> Result<Taken, StoreError> {
    let mut record = old.clone();
    let unbroken = old
        .last_seen
        .is_some_and(|seen| now.duration_since(seen) < gap);
    record.contact_since = record.contact_since.filter(|_| unbroken).or(Some(now));
    record.last_seen = Some(now);
    let mut entries = Vec::new();
    let mut resend = false;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !old.has_taken(&report) {
        let whole = report.status.is_some() && report.rows.is_some();
        resend = !whole
            && (old.misses_one_before(&report) || old.status.is_none() || old.rows.is_none());
        let received = now.to_string();
        for event in report.events {
            let body = audit::Body {
                received: received.clone(),
                source: audit::Source::Box,
                box_name: old.name.clone(),
                event,
            };
            entries.extend(audit::append(&tx, body)?);
        }
        record.boot = report.boot;
        record.sequence = report.sequence;
        record.agent_version = report.agent_version;
        record.dropped = report.dropped;
        record.status = report.status.map(Arc::new).or(record.status);
        if let Some(mut rows) = report.rows {
            let known = record.rows.iter().flat_map(|rows| rows.iter());
            // A row of an agent that says by itself what it uses keeps that.
            let silent = rows.iter_mut().filter(|row| row.memory_bytes.is_none());
            measure(silent, known.filter_map(measured));
            record.rows = Some(Arc::new(rows));
            record.rows_at = Some(now);
        }
        if let Some(rows) = record.rows.as_mut().filter(|_| !report.measures.is_empty()) {
            measure(Arc::make_mut(rows).iter_mut(), report.measures);
        }
        let behind = record.status.as_ref().is_some_and(|status| {
            status.remote_head.is_some() && status.remote_head != status.commit
        });
        record.behind_since = if behind {
            record.behind_since.or(Some(now))
        } else {
            None
        };
    }
    keep(&tx, old, &record)?;
    tx.commit()?;
    Ok(Taken {
        record,
        entries,
        resend,
    })
}

/// What was said last of what an instance uses.
fn measured(row: &Row) -> Option<Measure> {
    Some(Measure {
        pid: row.pid?,
        memory_bytes: row.memory_bytes?,
        cpu_s: row.cpu_s?,
    })
}

/// Each measure belongs to the row with its process.
fn measure<'a>(
    rows: impl Iterator<Item = &'a mut Row>,
    measures: impl IntoIterator<Item = Measure>,
) {
    let measures = measures.into_iter().map(|one| (one.pid, one));
    let measures: HashMap<i32, Measure> = measures.collect();
    for row in rows {
        if let Some(measure) = row.pid.and_then(|pid| measures.get(&pid)) {
            row.memory_bytes = Some(measure.memory_bytes);
            row.cpu_s = Some(measure.cpu_s);
        }
    }
}

fn keep(db: &Connection, old: &Record, new: &Record) -> Result<(), StoreError> {
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millisecond);
    db.prepare_cached(
        "UPDATE box SET last_seen = ?2, contact_since = ?3, behind_since = ?4, boot = ?5, sequence = ?6, agent_version = ?7, dropped = ?8
         WHERE name = ?1",
    )?
    .execute(params![
        new.name.as_str(),
        millis(new.last_seen),
        millis(new.contact_since),
        millis(new.behind_since),
        new.boot,
        i64::try_from(new.sequence).unwrap_or(i64::MAX),
        new.agent_version,
        i64::try_from(new.dropped).unwrap_or(i64::MAX),
    ])?;
    if new.status != old.status {
        let text = new
            .status
            .as_ref()
            .map(|status| serde_json::to_string(&**status))
            .transpose()?;
        db.prepare_cached("UPDATE box SET status = ?2 WHERE name = ?1")?
            .execute(params![new.name.as_str(), text])?;
    }
    if new.rows != old.rows {
        let text = new
            .rows
            .as_ref()
            .map(|rows| serde_json::to_string(&**rows))
            .transpose()?;
        db.prepare_cached("UPDATE box SET rows = ?2 WHERE name = ?1")?
            .execute(params![new.name.as_str(), text])?;
    }
    Ok(())
}

/// Reads everything back, as after a restart.
pub fn load(db: &Connection, now: Timestamp) -> Result<Reports, StoreError> {
    let mut query = db.prepare(
        "SELECT name, fingerprint, enrolled, last_seen, contact_since, behind_since, boot, sequence, agent_version, status, rows, dropped FROM box",
    )?;
    let mut rows = query.query([])?;
    let mut boxes = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let record = record(row)?;
        boxes.insert(record.name.clone(), Arc::new(record));
    }
    let pending = pending(db, now)?;
    Ok(Reports { boxes, pending })
}

fn record(row: &rusqlite::Row<'_>) -> Result<Record, StoreError> {
    let time = |at: usize| -> Result<Option<Timestamp>, StoreError> {
        let millis: Option<i64> = row.get(at)?;
        Ok(millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()))
    };
    let name: String = row.get(0)?;
    let (status, list): (Option<String>, Option<String>) = (row.get(9)?, row.get(10)?);
    Ok(Record {
        name: Name::new(&name)
            .map_err(|_| StoreError::Corrupt(format!("the name of box {name:?}")))?,
        key: row.get(1)?,
        enrolled: time(2)?.unwrap_or(Timestamp::UNIX_EPOCH),
        last_seen: time(3)?,
        contact_since: time(4)?,
        behind_since: time(5)?,
        boot: row.get(6)?,
        sequence: row.get(7)?,
        agent_version: row.get(8)?,
        // A status that a newer or older map wrote and that is not understood is asked for again.
        status: status
            .and_then(|text| serde_json::from_str(&text).ok())
            .map(Arc::new),
        rows: list
            .and_then(|text| serde_json::from_str(&text).ok())
            .map(Arc::new),
        rows_at: None,
        dropped: row.get(11)?,
    })
}

/// Boxes that a token waits for.
pub fn pending(db: &Connection, now: Timestamp) -> Result<BTreeMap<Name, Timestamp>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT box, max(expires) FROM token WHERE used_by IS NULL AND expires > ?1 AND box NOT IN (SELECT name FROM box) GROUP BY box",
    )?;
    let rows = query.query_map([now.as_millisecond()], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    let mut pending = BTreeMap::new();
    for row in rows {
        let (name, expires) = row?;
        let name = Name::new(&name)
            .map_err(|_| StoreError::Corrupt(format!("the name of box {name:?}")))?;
        pending.insert(name, Timestamp::from_millisecond(expires).unwrap_or(now));
    }
    Ok(pending)
}
