//! What instances use, as the map knows it: measures come in, those that moved go out. Pure.

use std::{collections::BTreeMap, time::Duration};
use swarm_manifests::report::Measure;
use tokio::time::Instant;

/// Not more often than this, however often is reported.
const EVERY: Duration = Duration::from_secs(5);
/// So many go with one report; the others with the next.
const MOST: usize = 1000;
/// What moved by less is not told, nor what moved by a tenth of itself or less: bytes, and seconds of processor time.
const LEAST: (u64, f64) = (64 << 10, 1.0);

/// What was told, by main process, and when it was measured last.
#[derive(Debug, Default)]
pub struct Measured {
    told: BTreeMap<i32, Measure>,
    at: Option<Instant>,
}

impl Measured {
    /// Whether it is time to measure.
    pub fn is_due(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| now.duration_since(at) >= EVERY)
    }

    /// Those that the map does not know, or not as they are; processes that are gone are forgotten.
    pub fn news(&mut self, mut measures: Vec<Measure>, now: Instant) -> Vec<Measure> {
        self.at = Some(now);
        let before = std::mem::take(&mut self.told);
        let known = measures
            .iter()
            .filter_map(|one| Some((one.pid, *before.get(&one.pid)?)));
        self.told = known.collect();
        measures.retain(|one| self.told.get(&one.pid).is_none_or(|was| moved(was, one)));
        measures.truncate(MOST);
        measures
    }

    /// The map has these.
    pub fn delivered(&mut self, measures: &[Measure]) {
        self.told.extend(measures.iter().map(|one| (one.pid, *one)));
    }

    /// The map knows nothing any more: everything is news with the next report.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

fn moved(was: &Measure, is: &Measure) -> bool {
    let bytes = was.memory_bytes.abs_diff(is.memory_bytes);
    let seconds = (is.cpu_s - was.cpu_s).abs();
    (bytes >= LEAST.0 && bytes > was.memory_bytes / 10)
        || (seconds >= LEAST.1 && seconds > was.cpu_s / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(pid: i32, kilobytes: u64, cpu_s: f64) -> Measure {
        Measure {
            pid,
            memory_bytes: kilobytes << 10,
            cpu_s,
        }
    }

    #[test]
    fn only_what_moved_by_more_than_a_tenth_is_told_again() {
        let mut measured = Measured::default();
        let now = Instant::now();
        let first = vec![measure(1, 10_000, 0.1), measure(2, 20, 50.0)];
        assert_eq!(measured.news(first.clone(), now), first);
        measured.delivered(&first);
        for (pid, kilobytes, cpu_s, is_news) in [
            (1, 10_000, 0.1, false),
            (1, 11_000, 0.1, false),
            (1, 11_001, 0.1, true),
            (1, 8_999, 0.1, true),
            (1, 10_000, 1.0, false),
            (1, 10_000, 1.2, true),
            // Little is not worth a word, however much of itself it is.
            (2, 60, 50.0, false),
            (2, 20, 55.0, false),
            (2, 20, 55.1, true),
            (3, 10_000, 0.1, true),
        ] {
            let now_is = measure(pid, kilobytes, cpu_s);
            let mut other = Measured {
                told: measured.told.clone(),
                at: None,
            };
            assert_eq!(
                !other.news(vec![now_is], now).is_empty(),
                is_news,
                "{now_is:?}"
            );
        }
    }

    #[test]
    fn what_did_not_arrive_and_what_was_too_much_is_told_with_the_next_report() {
        let mut measured = Measured::default();
        let now = Instant::now();
        let many: Vec<_> = (0..1500).map(|pid| measure(pid, 100, 0.0)).collect();
        assert_eq!(measured.news(many.clone(), now).len(), MOST);
        let first = measured.news(many.clone(), now);
        assert_eq!(first.len(), MOST, "they did not arrive");
        measured.delivered(&first);
        assert_eq!(measured.news(many.clone(), now).len(), 500);
        measured.forget();
        assert!(measured.is_due(now));
        assert_eq!(measured.news(many, now).len(), MOST);
        assert!(!measured.is_due(now) && measured.is_due(now + EVERY));
    }

    #[test]
    fn another_process_with_the_id_of_one_that_went_is_news() {
        let mut measured = Measured::default();
        let now = Instant::now();
        let one = vec![measure(1, 100, 0.0)];
        measured.delivered(&one);
        assert!(measured.news(Vec::new(), now).is_empty());
        assert_eq!(measured.news(one.clone(), now), one);
    }
}
