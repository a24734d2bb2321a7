//! Which requests were used: each once, whatever a map brings again. A request comes in; whether it was used before goes out.
//!
//! Touches one small file, which is on the disk before anything is done. What has expired is forgotten behind a floor that only
//! rises: a clock that is set back brings nothing back.

use crate::trust;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io, path::PathBuf};
use swarm_manifests::request::{Outcome, Request};

/// So many are kept; with more that are good at a time, new ones are refused.
const MOST: usize = 4096;

/// What there is.
#[derive(Debug)]
pub struct Used {
    file: PathBuf,
    kept: Kept,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// What expired up to here is forgotten.
    floor: Option<Timestamp>,
    /// What was issued up to here may have been used: the list was lost then.
    #[serde(default)]
    lost: Option<Timestamp>,
    requests: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    expires: Timestamp,
    /// Without the lines of a log. None: under way, or nobody knows.
    outcome: Option<Outcome>,
    /// Whether an agent that is no more began it.
    #[serde(skip, default = "yes")]
    is_orphan: bool,
}

fn yes() -> bool {
    true
}

/// Whether a request was used.
#[derive(Debug, PartialEq, Eq)]
pub enum Before {
    /// It is from now on; or an agent that is no more may have handed it over, and the supervisor follows it at most once.
    Never,
    /// It is being followed.
    UnderWay,
    /// It was followed, and this is what became of it.
    Done(Outcome),
    /// It was, or cannot be; in words.
    Used(String),
    /// It cannot be used now, and may be later; in words.
    Later(String),
}

impl Used {
    /// Reads the file. One that makes no sense is put aside, and what was issued before `now` counts as used: it might have been.
    pub fn open(file: PathBuf, now: Timestamp) -> io::Result<Self> {
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let kept = Kept::default();
                return Ok(Self { file, kept });
            }
            Err(error) => return Err(error),
        };
        let kept = serde_json::from_slice(&text);
        let is_lost = kept.is_err();
        let mut used = Self {
            file,
            kept: kept.unwrap_or_default(),
        };
        if is_lost {
            let aside = used.file.with_extension("damaged");
            tracing::error!(file = %used.file.display(), aside = %aside.display(), "which requests were used cannot be read");
            std::fs::rename(&used.file, &aside)?;
            used.kept.lost = Some(now);
            used.save()?;
        }
        Ok(used)
    }

    /// Uses a request.
    pub fn take(&mut self, request: &Request, now: Timestamp) -> Before {
        if let Some(entry) = self.kept.requests.get_mut(&request.id) {
            return match &entry.outcome {
                Some(outcome) => Before::Done(outcome.clone()),
                // Nobody knows whether it was handed over: it is once more, and the supervisor knows what it did.
                None if std::mem::take(&mut entry.is_orphan) => Before::Never,
                None => Before::UnderWay,
            };
        }
        self.forget(now);
        if self
            .kept
            .floor
            .is_some_and(|floor| request.expires <= floor)
        {
            return Before::Used("it has expired by a clock that was set back since".into());
        }
        if self.kept.lost.is_some_and(|lost| request.issued <= lost) {
            return Before::Used(
                "this box has lost its list of used requests since it was issued; ask again".into(),
            );
        }
        if self.kept.requests.len() >= MOST {
            return Before::Later(format!("{MOST} requests are good at a time already"));
        }
        let entry = Entry {
            expires: request.expires,
            outcome: None,
            is_orphan: false,
        };
        self.kept.requests.insert(request.id.clone(), entry);
        match self.save() {
            Ok(()) => Before::Never,
            Err(error) => {
                self.kept.requests.remove(&request.id);
                Before::Later(format!("that it is used could not be noted: {error}"))
            }
        }
    }

    /// It was not used after all: nothing was done.
    pub fn release(&mut self, id: &str) {
        if self.kept.requests.remove(id).is_some()
            && let Err(error) = self.save()
        {
            tracing::warn!(%error, "that a request was not used could not be noted");
        }
    }

    /// What became of one that was used.
    pub fn done(&mut self, outcome: &Outcome) {
        let Some(entry) = self.kept.requests.get_mut(&outcome.id) else {
            return;
        };
        entry.outcome = Some(Outcome {
            lines: Vec::new(),
            ..outcome.clone()
        });
        if let Err(error) = self.save() {
            tracing::warn!(%error, "what became of a request could not be noted");
        }
    }

    fn forget(&mut self, now: Timestamp) {
        let old = self
            .kept
            .requests
            .values()
            .filter(|entry| entry.expires <= now);
        let newest = old.map(|entry| entry.expires).max();
        self.kept.floor = self.kept.floor.max(newest);
        self.kept.requests.retain(|_, entry| entry.expires > now);
    }

    fn save(&self) -> io::Result<()> {
        trust::replace(&self.file, &serde_json::to_vec(&self.kept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm_manifests::{name::Name, request::Action};

    fn request(id: u8, expires: i64) -> Request {
        let name = |text| Name::new(text).expect("a name");
        Request {
            repository: "r".into(),
            id: format!("{id:032x}"),
            action: Action::Start,
            workflow: name("ramp"),
            boxes: vec![name("lab-1")],
            issued: time(0),
            expires: time(expires),
            reason: None,
        }
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn used(before: &Before) -> bool {
        matches!(before, Before::Used(_))
    }

    #[test]
    fn a_request_is_used_once_also_after_a_restart_and_with_the_clock_set_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("requests.json");
        let mut first = Used::open(file.clone(), time(0)).expect("a file");
        assert_eq!(first.take(&request(1, 100), time(10)), Before::Never);
        assert_eq!(first.take(&request(1, 100), time(10)), Before::UnderWay);
        assert_eq!(first.take(&request(2, 100), time(10)), Before::Never);
        let outcome = Outcome {
            id: request(2, 100).id,
            exit: 0,
            message: "started".into(),
            rule: None,
            lines: vec![],
        };
        first.done(&outcome);
        let mut second = Used::open(file.clone(), time(0)).expect("a file");
        // The agent ended between noting it and handing it over: it is handed over by the next one, once.
        assert_eq!(second.take(&request(1, 100), time(20)), Before::Never);
        assert_eq!(second.take(&request(1, 100), time(20)), Before::UnderWay);
        assert_eq!(
            second.take(&request(2, 100), time(20)),
            Before::Done(outcome)
        );
        // One for which there was no room is as good as before, and used once all the same.
        assert_eq!(second.take(&request(4, 120), time(20)), Before::Never);
        second.release(&request(4, 120).id);
        let mut second = Used::open(file.clone(), time(0)).expect("a file");
        assert_eq!(second.take(&request(4, 120), time(20)), Before::Never);
        assert_eq!(second.take(&request(4, 120), time(20)), Before::UnderWay);
        // Expired and forgotten; then the clock is set back to when it was good.
        assert_eq!(second.take(&request(3, 300), time(150)), Before::Never);
        let mut third = Used::open(file.clone(), time(0)).expect("a file");
        assert!(used(&third.take(&request(1, 100), time(20))));
        assert!(used(&third.take(&request(2, 100), time(20))));
        std::fs::write(&file, "garbage").expect("a file");
        // Issued before the list was lost: it may have been used.
        for _ in 0..2 {
            let mut fourth = Used::open(file.clone(), time(30)).expect("a file");
            assert!(used(&fourth.take(&request(9, 300), time(40))));
        }
        let mut fifth = Used::open(file, time(50)).expect("a file");
        let later = Request {
            issued: time(31),
            ..request(9, 300)
        };
        assert_eq!(fifth.take(&later, time(60)), Before::Never);
    }
}
