//! Events on their way to the map: a bounded file, so that an outage of the map, or our own death, loses none before the bound.
//!
//! Touches `outbox.jsonl`: a line an event, in the journal's order. Delivered lines are cut off when all are delivered, and sent
//! again after a crash: the map knows them by their numbers.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use swarm_manifests::report::Event;

/// The most events that are kept.
const MOST: usize = 10_000;
/// How many go when there are more, so that it does not happen at each.
const DROP: usize = 1_000;
/// The most events of one report, and their bytes.
const BATCH: usize = 200;
const BATCH_BYTES: usize = 256 << 10;
/// A line longer than this is not ours.
const MAX_LINE: u64 = 64 << 10;

/// The outbox.
pub struct Outbox {
    file: File,
    path: PathBuf,
    /// Where the first undelivered line begins.
    start: u64,
    waiting: usize,
    /// The number of the newest event that was taken.
    newest: u64,
    dropped: u64,
}

/// Some events, and what it takes to cut them off.
pub struct Batch {
    /// Oldest first.
    pub events: Vec<Event>,
    end: u64,
    lines: usize,
}

impl Outbox {
    /// Opens it; a line that was cut off by a power loss is dropped, and counted.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join("outbox.jsonl");
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        let dropped = std::fs::read_to_string(folder.join("outbox.dropped"))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        let mut outbox = Self {
            file,
            path,
            start: 0,
            waiting: 0,
            newest: 0,
            dropped,
        };
        let (mut newest, mut waiting, mut sound) = (0, 0, 0);
        outbox.each_line(0, |line, end| {
            let Ok(event) = serde_json::from_slice::<Event>(line) else {
                return false;
            };
            (newest, waiting, sound) = (event.sequence, waiting + 1, end);
            true
        })?;
        (outbox.newest, outbox.waiting) = (newest, waiting);
        if sound < outbox.file.metadata()?.len() {
            outbox.file.set_len(sound)?;
            outbox.count_dropped(1);
        }
        Ok(outbox)
    }

    /// Takes an event; one that is there already counts once.
    pub fn push(&mut self, event: &Event) -> io::Result<()> {
        if event.sequence <= self.newest && event.sequence != 0 {
            return Ok(());
        }
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        if line.len() as u64 > MAX_LINE {
            self.count_dropped(1);
            return Ok(());
        }
        if self.waiting >= MOST {
            self.shorten()?;
        }
        self.file.write_all(&line)?;
        self.newest = event.sequence;
        self.waiting += 1;
        Ok(())
    }

    /// The oldest events.
    pub fn batch(&self) -> io::Result<Batch> {
        let mut batch = Batch {
            events: Vec::new(),
            end: self.start,
            lines: 0,
        };
        let start = self.start;
        self.each_line(start, |line, end| {
            if batch.events.len() >= BATCH
                || usize::try_from(end - start).unwrap_or(usize::MAX) > BATCH_BYTES
            {
                return false;
            }
            batch.events.extend(serde_json::from_slice::<Event>(line));
            (batch.end, batch.lines) = (end, batch.lines + 1);
            true
        })?;
        Ok(batch)
    }

    /// The map has them.
    pub fn delivered(&mut self, batch: &Batch) -> io::Result<()> {
        self.start = batch.end;
        self.waiting = self.waiting.saturating_sub(batch.lines);
        if self.start >= self.file.metadata()?.len() {
            self.file.set_len(0)?;
            self.start = 0;
        }
        Ok(())
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many had to be dropped, ever.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Drops the oldest to make room.
    fn shorten(&mut self) -> io::Result<()> {
        let mut keep_from = self.start;
        let mut lines = 0;
        self.each_line(self.start, |_, end| {
            (keep_from, lines) = (end, lines + 1);
            lines < DROP
        })?;
        let mut rest = Vec::new();
        let mut file = &self.file;
        file.seek(SeekFrom::Start(keep_from))?;
        file.read_to_end(&mut rest)?;
        crate::trust::replace(&self.path, &rest)?;
        self.file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&self.path)?;
        self.start = 0;
        self.waiting = self.waiting.saturating_sub(lines);
        self.count_dropped(lines as u64);
        Ok(())
    }

    fn count_dropped(&mut self, more: u64) {
        self.dropped += more;
        tracing::warn!(
            dropped = self.dropped,
            "the map is away for so long that events were dropped; the journal has them"
        );
        if let Err(error) = crate::trust::replace(
            &self.path.with_extension("dropped"),
            self.dropped.to_string().as_bytes(),
        ) {
            tracing::warn!(%error, "cannot keep the count of dropped events");
        }
    }

    /// Calls for each whole line from `start` on, with where it ends, until it is told to stop.
    fn each_line(&self, start: u64, mut line_at: impl FnMut(&[u8], u64) -> bool) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(start))?;
        let mut reader = BufReader::with_capacity(16 << 10, file);
        let mut end = start;
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = reader
                .by_ref()
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)?;
            end += length as u64;
            if length == 0 || line.last() != Some(&b'\n') || !line_at(&line, end) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64) -> Event {
        Event {
            sequence,
            ..Event::new("start")
        }
    }

    fn numbers(outbox: &Outbox) -> Vec<u64> {
        outbox
            .batch()
            .expect("read")
            .events
            .iter()
            .map(|event| event.sequence)
            .collect()
    }

    #[test]
    fn what_was_not_delivered_is_there_after_a_crash() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut outbox = Outbox::open(dir.path()).expect("opened");
        (1..=5).for_each(|n| outbox.push(&event(n)).expect("pushed"));
        drop(outbox);
        let mut outbox = Outbox::open(dir.path()).expect("opened");
        assert_eq!(
            (numbers(&outbox), outbox.waiting()),
            (vec![1, 2, 3, 4, 5], 5)
        );
        let batch = outbox.batch().expect("read");
        outbox.push(&event(6)).expect("pushed");
        outbox.delivered(&batch).expect("cut");
        assert_eq!(numbers(&outbox), [6]);
        let batch = outbox.batch().expect("read");
        outbox.delivered(&batch).expect("cut");
        assert_eq!((numbers(&outbox), outbox.waiting()), (vec![], 0));
    }

    #[test]
    fn an_event_counts_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut outbox = Outbox::open(dir.path()).expect("opened");
        for n in [1, 2, 2, 1, 3] {
            outbox.push(&event(n)).expect("pushed");
        }
        assert_eq!(numbers(&outbox), [1, 2, 3]);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_and_are_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut outbox = Outbox::open(dir.path()).expect("opened");
        (1..=MOST as u64 + 1).for_each(|n| outbox.push(&event(n)).expect("pushed"));
        assert_eq!(
            (outbox.waiting(), outbox.dropped()),
            (MOST + 1 - DROP, DROP as u64)
        );
        assert_eq!(numbers(&outbox).first(), Some(&(DROP as u64 + 1)));
        drop(outbox);
        assert_eq!(
            Outbox::open(dir.path()).expect("opened").dropped(),
            DROP as u64
        );
    }

    #[test]
    fn a_torn_line_is_dropped_and_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut outbox = Outbox::open(dir.path()).expect("opened");
        outbox.push(&event(1)).expect("pushed");
        outbox
            .file
            .write_all(b"{\"sequence\": 2, \"ti")
            .expect("written");
        drop(outbox);
        let mut outbox = Outbox::open(dir.path()).expect("opened");
        outbox.push(&event(3)).expect("pushed");
        assert_eq!((numbers(&outbox), outbox.dropped()), (vec![1, 3], 1));
    }
}
