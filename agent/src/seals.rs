//! The journal's seals: the number and hash of its newest record come in, a signed line of the agent's own file goes out.
//!
//! Touches that file. The journal is the supervisor's, the seals and the key are the agent's: neither alone can rewrite what happened.
//!
//! Where the box has a new key, the old one, kept as `box.key.old`, seals a record that names it, and goes.

use crate::{box_key::box_key, settings::Config, trust};
use anyhow::Context;
use ssh_key::{HashAlg, PrivateKey};
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt as _, OpenOptionsExt},
    path::PathBuf,
};
use swarm_manifests::{
    name::Name,
    report::Event,
    seal::{self, Seal},
    signature,
};

/// The action of the record that names a new key.
const KEY: &str = "key";
/// A longer file loses its older half, in bytes.
const MOST: u64 = 1 << 20;
/// A seal is shorter, in bytes.
const TAIL: u64 = 8 << 10;

/// Seals with the box's key.
pub struct Sealer {
    file: PathBuf,
    key_file: PathBuf,
    name: Name,
    /// The new key that a record is to name, and that record's number, once it is known.
    named: Option<(String, Option<u64>)>,
}

impl Sealer {
    /// For this box.
    pub fn new(config: &Config) -> Self {
        let own = config.own();
        Self {
            file: own.join(seal::FILE),
            key_file: own.join("box.key"),
            name: config.name.clone(),
            named: None,
        }
    }

    /// Seals a record. The key is read anew: it may have been replaced. What comes back is to be journaled.
    pub fn seal(&mut self, sequence: u64, hash: &str) -> anyhow::Result<Option<Event>> {
        let key = box_key(&self.key_file)?;
        let old_file = self.key_file.with_extension("key.old");
        if !old_file.exists() {
            self.named = None;
            self.write(&key, sequence, hash)?;
            return Ok(None);
        }
        let old = box_key(&old_file)?;
        self.write(&old, sequence, hash)?;
        let print = key.fingerprint(HashAlg::Sha256).to_string();
        match &self.named {
            Some((named, at)) if *named == print => {
                if at.is_some_and(|at| at <= sequence) {
                    // What it sealed last names the new one: nobody needs it any more.
                    fs::remove_file(&old_file)
                        .with_context(|| format!("cannot remove {}", old_file.display()))?;
                    self.named = None;
                }
                Ok(None)
            }
            _ => {
                self.named = Some((print.clone(), None));
                let old = old.fingerprint(HashAlg::Sha256);
                Ok(Some(Event {
                    key: Some(print),
                    reason: Some(format!("the box's key from now on, in place of {old}")),
                    ..Event::new(KEY)
                }))
            }
        }
    }

    /// A record was written: perhaps the one that names the new key.
    pub fn journaled(&mut self, event: &Event) {
        if let Some((named, at @ None)) = &mut self.named
            && event.action == KEY
            && event.key.as_ref() == Some(named)
        {
            *at = Some(event.sequence);
        }
    }

    fn write(&self, key: &PrivateKey, sequence: u64, hash: &str) -> anyhow::Result<()> {
        let statement = seal::statement(self.name.as_str(), sequence, hash);
        let seal = Seal {
            sequence,
            hash: hash.into(),
            time: jiff::Timestamp::now().to_string(),
            signature: signature::sign(key, seal::NAMESPACE, statement.as_bytes())?,
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
    use swarm_manifests::signature::Signature;

    #[test]
    fn the_old_key_seals_until_it_has_sealed_the_record_that_names_the_new_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut sealer = Sealer {
            file: path("seals"),
            key_file: path("box.key"),
            name: Name::new("lab-1").expect("a name"),
            named: None,
        };
        let by = || {
            let text = fs::read_to_string(path("seals")).expect("seals");
            let last: Seal =
                serde_json::from_str(text.lines().last().expect("a seal")).expect("one");
            Signature::parse(last.signature.as_bytes())
                .expect("a signature")
                .fingerprint()
        };
        let print = |file: &str| {
            let key = box_key(&path(file)).expect("a key");
            key.fingerprint(HashAlg::Sha256).to_string()
        };
        assert_eq!(sealer.seal(1, "aa").expect("sealed"), None);
        let old = print("box.key");
        assert_eq!(by(), old);
        fs::rename(path("box.key"), path("box.key.old")).expect("it is kept");
        let named = sealer.seal(2, "ab").expect("sealed").expect("a record");
        let new = print("box.key");
        assert_eq!((named.key.as_deref(), by()), (Some(&*new), old.clone()));
        // A seal on its way meanwhile does not hold the record.
        assert_eq!(sealer.seal(3, "ac").expect("sealed"), None);
        sealer.journaled(&Event {
            sequence: 4,
            ..named
        });
        assert_eq!(sealer.seal(3, "ac").expect("sealed"), None);
        assert!(path("box.key.old").exists());
        assert_eq!(sealer.seal(4, "ad").expect("sealed"), None);
        assert_eq!(by(), old);
        assert!(!path("box.key.old").exists());
        assert_eq!(sealer.seal(5, "ae").expect("sealed"), None);
        assert_eq!(by(), new);
    }

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
