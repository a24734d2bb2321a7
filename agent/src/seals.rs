//! The journal's seals: the number and hash of its newest record come in, a signed line of the agent's own file goes out.
//!
//! Touches that file. The journal is the supervisor's, the seals and the key are the agent's: neither alone can rewrite what happened.

use crate::{box_key::box_key, settings::Config, trust};
use anyhow::Context;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt as _, OpenOptionsExt},
    path::PathBuf,
};
use swarm_manifests::{
    name::Name,
    seal::{self, Seal},
    signature,
};

/// A longer file loses its older half, in bytes.
const MOST: u64 = 1 << 20;
/// A seal is shorter, in bytes.
const TAIL: u64 = 8 << 10;

/// Seals with the box's key.
pub struct Sealer {
    file: PathBuf,
    key_file: PathBuf,
    name: Name,
}

impl Sealer {
    /// For this box.
    pub fn new(config: &Config) -> Self {
        let own = config.own();
        Self {
            file: own.join(seal::FILE),
            key_file: own.join("box.key"),
            name: config.name.clone(),
        }
    }

    /// Seals a record. The key is read anew: it may have been replaced.
    pub fn seal(&self, sequence: u64, hash: &str) -> anyhow::Result<()> {
        let key = box_key(&self.key_file)?;
        let statement = seal::statement(self.name.as_str(), sequence, hash);
        let seal = Seal {
            sequence,
            hash: hash.into(),
            time: jiff::Timestamp::now().to_string(),
            signature: signature::sign(&key, seal::NAMESPACE, statement.as_bytes())?,
        };
        let mut line = serde_json::to_vec(&seal)?;
        line.push(b'\n');
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.file)
            .with_context(|| format!("cannot open {}", self.file.display()))?;
        if file.metadata()?.len() > MOST {
            return self.halve(&line);
        }
        mend(&file)?;
        file.write_all(&line)?;
        file.sync_data()?;
        Ok(())
    }

    fn halve(&self, line: &[u8]) -> anyhow::Result<()> {
        let text = fs::read(&self.file)?;
        let middle = text.len() / 2;
        let next = text[middle..].iter().position(|byte| *byte == b'\n');
        let from = next.map_or(text.len(), |at| middle + at + 1);
        let kept = [&text[from..], line].concat();
        trust::replace(&self.file, &kept)?;
        Ok(())
    }
}

/// A seal whose writing was cut off goes: the next one would stand on the same line, and be none.
fn mend(file: &fs::File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut tail = vec![0; usize::try_from(length.min(TAIL)).unwrap_or(0)];
    let begin = length - tail.len() as u64;
    file.read_exact_at(&mut tail, begin)?;
    let whole = tail.iter().rposition(|byte| *byte == b'\n');
    let whole = whole.map_or(begin, |at| begin + at as u64 + 1);
    if whole < length {
        file.set_len(whole)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_that_was_cut_off_goes_before_the_next_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("seals");
        for (before, after) in [
            ("", ""),
            ("one\n", "one\n"),
            ("one\ntw", "one\n"),
            ("tw", ""),
        ] {
            fs::write(&path, before).expect("a file");
            let file = OpenOptions::new().read(true).append(true).open(&path);
            mend(&file.expect("a file")).expect("it can be mended");
            assert_eq!(fs::read_to_string(&path).expect("a file"), after);
        }
    }
}
