//! What an instance prints: bytes come in, lines with their time go to bounded files that people can read with `less`:
//! `<dir>/<instance>.log` and, before it, `<instance>.log.1`; a line is `2026-11-23T10:21:34.007Z o text`, where `o` is stdout, `e` stderr
//! and `s` a remark of ours. The bytes of a line are kept as they were printed. `read` reads them.

pub use super::read::{Position, follow, remove, seek, tail};
use super::{
    budget::Budget,
    read::{old_of, path},
    spool::Place,
};
use crate::{
    protocol::Stream,
    time::{BootTime, Wall},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_manifests::units::ByteSize;

/// What `limits.log` is if nobody says.
pub const DEFAULT_MAX: ByteSize = ByteSize(16 << 20);
/// The longest piece of a line; longer ones come as several.
pub const MAX_LINE: usize = 64 << 10;
/// How long a line waits for its end.
const PATIENCE: Duration = Duration::from_millis(500);
/// The least that a file may hold, however small the limit.
const MIN_FILE: u64 = 4 << 10;

/// The log of one instance, being written. Small: a thousand of them cost a few hundred KB.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    file: File,
    size: u64,
    max_file: u64,
    stdout: Partial,
    stderr: Partial,
    budget: Budget,
    /// What was written and is to go elsewhere too; none: it stays here.
    copy: Option<Vec<u8>>,
}

/// A line without its end.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    since: Option<BootTime>,
    /// What came before these bytes is in the log already: an end right here ends that, and is no empty line.
    continues: bool,
}

/// What the log waits for the rest of.
#[derive(Debug, Clone, Copy)]
pub struct Rest<'a> {
    /// What is not in the log yet.
    pub bytes: &'a [u8],
    /// Whether something of the same line is in the log already.
    pub continues: bool,
}

impl LogWriter {
    /// Opens (or makes) `<dir>/<instance>.log`; all its files together stay below `max` (default 16M).
    pub fn open(dir: &Path, instance: u16, max: Option<ByteSize>) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = path(dir, instance);
        let mut file = open_file(&path)?;
        let mut size = file.metadata()?.len();
        if size > 0 {
            // A line that was cut off by a crash ends here, so that the next one begins on its own.
            let mut last = [0];
            file.seek(SeekFrom::Start(size - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                size += 1;
            }
        }
        let max_file = (max.unwrap_or(DEFAULT_MAX).0 / 2).max(MIN_FILE);
        Ok(Self {
            path,
            file,
            size,
            max_file,
            stdout: Partial::default(),
            stderr: Partial::default(),
            budget: Budget::full(),
            copy: None,
        })
    }

    /// Takes bytes as they were read from a pipe. Each whole line is also given to `see` (for `[ready] log`), without its newline.
    ///
    /// An error means that lines could not be written: they are counted as lost, and the next that can be written says so. Go on.
    pub fn feed(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        now: BootTime,
        wall: Wall,
        see: &mut dyn FnMut(Stream, &str),
    ) -> io::Result<()> {
        self.budget.refill(now);
        let mut out = Vec::new();
        let head = head(wall, stream);
        let mut partial = std::mem::take(self.partial(stream));
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            partial.bytes.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            if !(partial.continues && partial.bytes.is_empty()) {
                self.take_line(&mut out, &head, &partial.bytes, stream, now, see);
            }
            partial.bytes.clear();
            partial.continues = false;
        }
        partial.bytes.extend_from_slice(rest);
        while partial.bytes.len() >= MAX_LINE {
            let piece: Vec<u8> = partial.bytes.drain(..MAX_LINE).collect();
            self.take_line(&mut out, &head, &piece, stream, now, see);
            partial.continues = true;
        }
        // Most of the time nothing waits, and then nothing is kept for it.
        partial.bytes.shrink_to_fit();
        partial.since = (!partial.bytes.is_empty()).then_some(now);
        *self.partial(stream) = partial;
        self.write(&out, now)
    }

    /// From now on [`LogWriter::take_copy`] has what was written.
    #[must_use]
    pub fn copied(self) -> Self {
        Self {
            copy: Some(Vec::new()),
            ..self
        }
    }

    /// The lines that were written, or were to be, since this was asked last.
    pub fn take_copy(&mut self) -> Vec<u8> {
        self.copy.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// How many lines were dropped since it was opened, and of how many bytes.
    pub fn dropped(&self) -> (u64, u64) {
        self.budget.lost_in_all
    }

    /// The file before this one.
    fn old(&self) -> PathBuf {
        old_of(&self.path)
    }

    /// Where the log ends now.
    pub fn place(&self) -> io::Result<Place> {
        let inode = self.file.metadata()?.ino();
        Ok(Place {
            inode,
            size: self.size,
        })
    }

    /// So many bytes, however they break into lines, begin a new file once at most.
    pub fn portion(&self) -> usize {
        // An empty line has one byte, and 28 with its time.
        usize::try_from(self.max_file / 32).unwrap_or(usize::MAX)
    }

    /// Takes back what was written after `place`, a rotation included.
    pub fn rewind(&mut self, place: Place) -> io::Result<()> {
        let mut keep = place.size;
        if self.file.metadata()?.ino() != place.inode {
            keep = 0;
            match OpenOptions::new()
                .write(true)
                .custom_flags(libc::O_NOFOLLOW)
                .open(self.old())
            {
                Ok(old) if old.metadata()?.ino() == place.inode => old.set_len(place.size)?,
                // Somebody else was at these files: nothing in them is surely what was meant.
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.size > keep {
            self.file.set_len(keep)?;
            self.size = keep;
        }
        Ok(())
    }

    /// The line of a stream that has no end yet; none: it had one.
    pub fn rest(&self, stream: Stream) -> Option<Rest<'_>> {
        let partial = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr | Stream::Swarm => &self.stderr,
        };
        let is_something = partial.continues || !partial.bytes.is_empty();
        is_something.then_some(Rest {
            bytes: &partial.bytes,
            continues: partial.continues,
        })
    }

    /// Such a line as a former life of ours kept it.
    pub fn set_rest(&mut self, stream: Stream, bytes: Vec<u8>, continues: bool, now: BootTime) {
        let since = (!bytes.is_empty()).then_some(now);
        *self.partial(stream) = Partial {
            bytes,
            since,
            continues,
        };
    }

    /// Whether it prints more than is kept.
    pub fn is_flooded(&mut self, now: BootTime) -> bool {
        self.budget.refill(now);
        self.budget.has_less_than(MAX_LINE)
    }

    /// A remark of ours; it is never dropped for its rate.
    pub fn remark(&mut self, text: &str, now: BootTime, wall: Wall) -> io::Result<()> {
        let mut out = Vec::new();
        put(
            &mut out,
            &head(wall, Stream::Swarm),
            text.replace('\n', " ").as_bytes(),
        );
        self.write(&out, now)
    }

    /// When [`LogWriter::cut`] or [`LogWriter::tell_losses`] is due: a line without its end, or a count of what was lost, waits. None:
    /// nothing waits.
    pub fn deadline(&self) -> Option<BootTime> {
        let waiting = [self.stdout.since, self.stderr.since, self.budget.since];
        waiting
            .into_iter()
            .flatten()
            .min()
            .map(|since| since + PATIENCE)
    }

    /// Whether a line of this stream has waited for its end long enough.
    pub fn is_overdue(&self, stream: Stream, now: BootTime) -> bool {
        let partial = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr | Stream::Swarm => &self.stderr,
        };
        partial.since.is_some_and(|since| since + PATIENCE <= now)
    }

    /// Writes what there is of a line as it is: when it has waited, and when the process has ended.
    pub fn cut(
        &mut self,
        stream: Stream,
        now: BootTime,
        wall: Wall,
        see: &mut dyn FnMut(Stream, &str),
    ) -> io::Result<()> {
        self.budget.refill(now);
        let partial = std::mem::take(self.partial(stream));
        if partial.bytes.is_empty() {
            self.partial(stream).continues = partial.continues;
            return Ok(());
        }
        let mut out = Vec::new();
        let head = head(wall, stream);
        self.take_line(&mut out, &head, &partial.bytes, stream, now, see);
        self.partial(stream).continues = true;
        self.write(&out, now)
    }

    /// Writes how much was dropped, if anything was since it was written last.
    pub fn tell_losses(&mut self, now: BootTime, wall: Wall) -> io::Result<()> {
        let Some(text) = self.budget.take_loss() else {
            return Ok(());
        };
        self.remark(&text, now, wall)
    }

    fn partial(&mut self, stream: Stream) -> &mut Partial {
        if stream == Stream::Stdout {
            &mut self.stdout
        } else {
            &mut self.stderr
        }
    }

    fn take_line(
        &mut self,
        out: &mut Vec<u8>,
        head: &str,
        line: &[u8],
        stream: Stream,
        now: BootTime,
        see: &mut dyn FnMut(Stream, &str),
    ) {
        let mut rest = line;
        // A whole line may be longer than a piece, too.
        loop {
            let (piece, more) = rest.split_at(rest.len().min(MAX_LINE));
            see(stream, &String::from_utf8_lossy(piece));
            if self.budget.takes(head.len(), piece.len() + 1, now) {
                put(out, head, piece);
            }
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
    }

    /// Writes whole lines, into the next file where this one is full.
    fn write(&mut self, lines: &[u8], now: BootTime) -> io::Result<()> {
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(lines);
        }
        let mut rest = lines;
        while !rest.is_empty() {
            let room =
                usize::try_from(self.max_file.saturating_sub(self.size)).unwrap_or(usize::MAX);
            let fits = if rest.len() <= room {
                rest.len()
            } else {
                rest[..room]
                    .iter()
                    .rposition(|&byte| byte == b'\n')
                    .map_or(0, |at| at + 1)
            };
            // A line that no file of this size could hold stands alone in one.
            let alone = || {
                rest.iter()
                    .position(|&byte| byte == b'\n')
                    .map_or(rest.len(), |at| at + 1)
            };
            let part = if fits == 0 && self.size == 0 {
                alone()
            } else {
                fits
            };
            if let Err(error) = self.write_part(&rest[..part], part == 0) {
                let lost = rest.split(|&byte| byte == b'\n').count() - 1;
                let heads = lost * head(Wall::default(), Stream::Swarm).len();
                let printed = rest.len().saturating_sub(heads);
                self.budget.lose(lost as u64, printed as u64, now);
                return Err(error);
            }
            rest = &rest[part..];
        }
        Ok(())
    }

    fn write_part(&mut self, part: &[u8], is_full: bool) -> io::Result<()> {
        if is_full {
            // Not in one step: a file system that replaces a file makes sure first that the new one is on the disk, and everybody waits.
            if self.path.exists() {
                match fs::remove_file(self.old()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => fs::rename(&self.path, self.old())?,
                }
            }
            self.file = open_file(&self.path)?;
            self.size = 0;
            return Ok(());
        }
        self.file.write_all(part)?;
        self.size += part.len() as u64;
        Ok(())
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn head(wall: Wall, stream: Stream) -> String {
    let letter = match stream {
        Stream::Stdout => 'o',
        Stream::Stderr => 'e',
        Stream::Swarm => 's',
    };
    format!("{wall} {letter} ")
}

fn put(out: &mut Vec<u8>, head: &str, text: &[u8]) {
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::read::{follow, tail};
    use super::*;

    const WALL: Wall = Wall(1_795_429_294_007);

    fn at(ms: u64) -> BootTime {
        BootTime(Duration::from_millis(ms))
    }

    fn nobody() -> impl FnMut(Stream, &str) {
        |_, _| {}
    }

    fn texts(dir: &Path) -> Vec<String> {
        tail(dir, 0, None, None)
            .expect("tail")
            .0
            .into_iter()
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn lines_are_whole_however_they_are_cut() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut log = LogWriter::open(dir.path(), 0, None).expect("open");
        let mut seen = Vec::new();
        for part in ["he", "llo\nwor", "ld\n\n"] {
            log.feed(
                Stream::Stdout,
                part.as_bytes(),
                at(1),
                WALL,
                &mut |_, line| seen.push(line.to_owned()),
            )
            .expect("fed");
            log.feed(Stream::Stderr, b"x", at(1), WALL, &mut nobody())
                .expect("fed");
        }
        assert_eq!(seen, ["hello", "world", ""]);
        assert_eq!(log.deadline(), Some(at(501)));
        assert!(log.is_overdue(Stream::Stderr, at(501)));
        log.cut(Stream::Stderr, at(501), WALL, &mut |_, line| {
            seen.push(line.to_owned());
        })
        .expect("cut");
        assert_eq!(seen.last().map(String::as_str), Some("xxx"));
        assert_eq!(log.deadline(), None);
        let text = fs::read_to_string(dir.path().join("0.log")).expect("the file");
        assert!(
            text.starts_with(
                "2026-11-23T10:21:34.007Z o hello\n2026-11-23T10:21:34.007Z o world\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_end_of_a_line_that_was_cut_is_no_empty_line() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut log = LogWriter::open(dir.path(), 0, None).expect("open");
        let feed = |log: &mut LogWriter, text: &str| {
            log.feed(Stream::Stdout, text.as_bytes(), at(1), WALL, &mut nobody())
                .expect("fed");
        };
        let cut = |log: &mut LogWriter| {
            log.cut(Stream::Stdout, at(501), WALL, &mut nobody())
                .expect("cut");
        };
        feed(&mut log, "begun");
        cut(&mut log);
        feed(&mut log, " and");
        cut(&mut log);
        cut(&mut log);
        assert!(log.rest(Stream::Stdout).is_some_and(|rest| rest.continues));
        feed(&mut log, "\n\nnext\n");
        let long = "a".repeat(MAX_LINE);
        feed(&mut log, &format!("{long}\nlast\n"));
        assert_eq!(
            texts(dir.path()),
            ["begun", " and", "", "next", &long, "last"]
        );
    }

    #[test]
    fn files_together_stay_below_the_limit_and_the_newest_is_kept() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut log = LogWriter::open(dir.path(), 0, Some(ByteSize(16 << 10))).expect("open");
        for number in 0..5000 {
            log.feed(
                Stream::Stdout,
                format!("line {number}\n").as_bytes(),
                at(1),
                WALL,
                &mut nobody(),
            )
            .expect("fed");
        }
        let size: u64 = fs::read_dir(dir.path())
            .expect("dir")
            .flatten()
            .map(|entry| entry.metadata().expect("meta").len())
            .sum();
        assert!(size <= 16 << 10, "{size}");
        let lines = texts(dir.path());
        assert_eq!(lines.last().map(String::as_str), Some("line 4999"));
        assert!(lines.len() > 200, "two files' worth: {}", lines.len());
    }

    #[test]
    fn a_log_that_somebody_removed_begins_anew_and_keeps_the_older_file() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut log = LogWriter::open(dir.path(), 0, Some(ByteSize(16 << 10))).expect("open");
        let mut print = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                let line = format!("line {number}\n");
                log.feed(Stream::Stdout, line.as_bytes(), at(1), WALL, &mut nobody())
                    .expect("fed");
            }
        };
        print(0..500);
        fs::remove_file(path(dir.path(), 0)).expect("it is there");
        let older = fs::read(old_of(&path(dir.path(), 0))).expect("it was rotated");
        print(500..501 + 8192 / 32);
        assert!(fs::read(old_of(&path(dir.path(), 0))).is_ok_and(|now| now == older));
        assert!(texts(dir.path()).len() > 10);
    }

    #[test]
    fn a_line_longer_than_a_piece_comes_in_pieces_and_loses_nothing() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut log = LogWriter::open(dir.path(), 0, None).expect("open");
        let endless = vec![b'a'; 3 * MAX_LINE + 5];
        log.feed(Stream::Stdout, &endless, at(1), WALL, &mut nobody())
            .expect("fed");
        log.feed(Stream::Stdout, b"\n", at(1), WALL, &mut nobody())
            .expect("fed");
        let lengths: Vec<usize> = texts(dir.path()).iter().map(String::len).collect();
        assert_eq!(lengths, [MAX_LINE, MAX_LINE, MAX_LINE, 5]);
    }

    #[test]
    fn what_comes_too_fast_is_dropped_counted_and_told() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut log = LogWriter::open(dir.path(), 0, None).expect("open");
        let block = "0123456789\n".repeat(6000);
        let fed = 1000;
        let mut seen = 0_u64;
        for _ in 0..fed {
            log.feed(
                Stream::Stdout,
                block.as_bytes(),
                at(1),
                WALL,
                &mut |_, _| seen += 1,
            )
            .expect("fed");
        }
        assert_eq!(
            seen,
            fed * 6000,
            "whoever waits for a line sees all of them"
        );
        log.tell_losses(log.deadline().expect("a loss is told"), WALL)
            .expect("told");
        let last = texts(dir.path()).pop().expect("a line");
        assert!(
            last.starts_with("dropped ") && last.contains(" lines"),
            "{last}"
        );
        let (lines, bytes) = log.dropped();
        assert!(
            last.contains(&format!("{lines} lines ({bytes} bytes)")),
            "{last}"
        );
        assert_eq!(log.take_copy(), b"", "nobody wants a copy");
        log.feed(Stream::Stdout, b"later\n", at(5000), WALL, &mut nobody())
            .expect("fed");
        assert_eq!(texts(dir.path()).pop().as_deref(), Some("later"));
        assert_eq!(log.dropped(), (lines, bytes), "told, and still known");
    }

    #[test]
    fn a_line_cut_off_by_a_crash_does_not_swallow_the_next() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::write(dir.path().join("0.log"), "2026-11-23T10:21:34.007Z o half").expect("written");
        let mut log = LogWriter::open(dir.path(), 0, None).expect("open");
        log.feed(Stream::Stdout, b"next\n", at(1), WALL, &mut nobody())
            .expect("fed");
        assert_eq!(texts(dir.path()), ["half", "next"]);
    }

    #[test]
    fn a_follower_loses_nothing_when_the_file_is_rotated() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut log = LogWriter::open(dir.path(), 0, Some(ByteSize(16 << 10))).expect("open");
        let (mut got, mut from) = (Vec::new(), None);
        for number in 0..3000 {
            log.feed(
                Stream::Stdout,
                format!("line {number}\n").as_bytes(),
                at(1),
                WALL,
                &mut nobody(),
            )
            .expect("fed");
            if number % 50 == 0 {
                let (lines, to) = follow(dir.path(), 0, from, 1000).expect("followed");
                got.extend(lines.into_iter().map(|line| line.text));
                from = to;
            }
        }
        got.extend(
            follow(dir.path(), 0, from, 1000)
                .expect("followed")
                .0
                .into_iter()
                .map(|line| line.text),
        );
        let wanted: Vec<String> = (0..3000).map(|number| format!("line {number}")).collect();
        assert_eq!(got, wanted);
    }

    #[test]
    fn a_remark_stands_among_the_lines_as_ours() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut log = LogWriter::open(dir.path(), 0, None).expect("open");
        log.remark("started\nforged", at(1), WALL).expect("written");
        let (lines, _) = tail(dir.path(), 0, None, None).expect("tail");
        assert_eq!(
            (lines[0].stream, lines[0].text.as_str()),
            (Stream::Swarm, "started forged")
        );
    }

    #[test]
    fn what_was_written_after_a_place_is_taken_back_also_over_rotations() {
        for lines in [1, 60] {
            let dir = tempfile::tempdir().expect("tempdir");
            let mut log = LogWriter::open(dir.path(), 0, Some(ByteSize(1))).expect("open");
            let write = |log: &mut LogWriter, text: &str, many: usize| {
                let bytes = format!("{text}\n").repeat(many);
                log.feed(
                    Stream::Stdout,
                    bytes.as_bytes(),
                    BootTime(Duration::from_secs(1)),
                    Wall(0),
                    &mut |_, _| {},
                )
                .expect("written");
            };
            write(&mut log, "before", 2);
            let place = log.place().expect("a place");
            write(&mut log, "after after after after after", lines);
            log.rewind(place).expect("taken back");
            write(&mut log, "again", 1);
            let (kept, _) = tail(dir.path(), 0, None, None).expect("read");
            let texts: Vec<_> = kept.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(texts, ["before", "before", "again"], "{lines}");
        }
    }
}
