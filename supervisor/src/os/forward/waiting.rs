//! Lines that wait to be handed on: bounded, each instance in its turn, and what finds no room is counted. Pure.

use super::Whose;
use std::collections::{BTreeMap, VecDeque};

/// So many bytes of one instance wait at most; a single line may be longer.
const OF_ONE: usize = 512 << 10;
/// So many of all together: who has most gives way.
const OF_ALL: usize = 2 << 20;

/// What waits, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queues: BTreeMap<Whose, Queue>,
    turns: VecDeque<Whose>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether one of at least this size may be put at the end of its queue.
    pub(super) fn has_room(&self, whose: &Whose, size: usize) -> bool {
        let own = self.queues.get(whose).map_or(0, |queue| queue.bytes);
        own == 0 || own + size <= OF_ONE
    }

    /// Puts an entry at the end of its queue. Whose entries found no room, one for each.
    pub(super) fn push(&mut self, whose: &Whose, entry: Vec<u8>) -> Vec<Whose> {
        let size = entry.len();
        if !self.has_room(whose, size) {
            return vec![whose.clone()];
        }
        let mut dropped = Vec::new();
        while self.bytes > 0 && self.bytes + size > OF_ALL {
            let most = self.queues.iter().max_by_key(|(_, queue)| queue.bytes);
            let Some(most) = most.map(|(whose, _)| whose.clone()) else {
                break;
            };
            self.take(&most);
            dropped.push(most);
        }
        let queue = self.queues.entry(whose.clone()).or_default();
        if queue.entries.is_empty() {
            self.turns.push_back(whose.clone());
        }
        queue.entries.push_back(entry);
        queue.bytes += size;
        self.bytes += size;
        dropped
    }

    /// The entry whose turn it is.
    pub(super) fn next(&self) -> Option<(&Whose, &[u8])> {
        let whose = self.turns.front()?;
        let entry = self.queues.get(whose)?.entries.front()?;
        Some((whose, entry))
    }

    /// That entry is done with: the next instance has its turn.
    pub(super) fn done(&mut self) {
        if let Some(whose) = self.turns.front().cloned() {
            self.take(&whose);
            if self.turns.front() == Some(&whose) {
                self.turns.rotate_left(1);
            }
        }
    }

    /// Takes an instance's oldest entry.
    fn take(&mut self, whose: &Whose) {
        let Some(queue) = self.queues.get_mut(whose) else {
            return;
        };
        let size = queue.entries.pop_front().map_or(0, |entry| entry.len());
        queue.bytes -= size;
        self.bytes -= size;
        if queue.entries.is_empty() {
            self.queues.remove(whose);
            self.turns.retain(|other| other != whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(instance: u16) -> Whose {
        Whose {
            workflow: "ramp".parse().expect("a name"),
            instance,
        }
    }

    fn order(waiting: &mut Waiting) -> Vec<(u16, u8)> {
        std::iter::from_fn(|| {
            let (whose, entry) = waiting.next()?;
            let next = (whose.instance, entry[0]);
            waiting.done();
            Some(next)
        })
        .collect()
    }

    #[test]
    fn each_has_its_turn_and_keeps_its_order() {
        let mut waiting = Waiting::default();
        for (instance, text) in [(0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (1, 6)] {
            assert!(waiting.push(&whose(instance), vec![text]).is_empty());
        }
        let wanted = [(0, 1), (1, 4), (2, 5), (0, 2), (1, 6), (0, 3)];
        assert_eq!(order(&mut waiting), wanted);
        assert!(waiting.is_empty());
        assert_eq!(waiting.bytes, 0);
    }

    #[test]
    fn one_that_prints_too_much_loses_its_own_newest_lines() {
        let mut waiting = Waiting::default();
        assert!(waiting.push(&whose(1), vec![9; 3]).is_empty());
        let mut lost = 0;
        for _ in 0..1000 {
            for whose in waiting.push(&whose(0), vec![1; 1024]) {
                assert_eq!(whose.instance, 0);
                lost += 1;
            }
        }
        assert_eq!(lost, 1000 - OF_ONE / 1024);
        assert_eq!(order(&mut waiting).len(), OF_ONE / 1024 + 1);
        // The longest line that a log has is taken where nothing else waits.
        assert!(waiting.push(&whose(0), vec![1; 2 * OF_ONE]).is_empty());
    }

    #[test]
    fn where_all_is_full_who_has_most_gives_way() {
        let mut waiting = Waiting::default();
        for instance in 0..4 {
            assert!(
                waiting
                    .push(&whose(instance), vec![1; OF_ONE - 1])
                    .is_empty()
            );
        }
        let quiet = whose(99);
        let dropped = waiting.push(&quiet, vec![7; 100]);
        assert_eq!(dropped.len(), 1);
        assert_ne!(dropped[0], quiet);
        assert!(waiting.bytes <= OF_ALL);
    }
}
