//! Work on many things at once, by as many threads as there are cores. Pure, but for the threads.

use std::{
    num::NonZero,
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// More threads than this wait for the disk, not for a core.
const MOST: usize = 8;

/// What `work` makes of each item, in the order of the items.
///
/// # Errors
/// One of those that `work` gave; each thread ends with its first.
pub fn on_every_core<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(MOST)
        .min(items.len());
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else {
                return Ok(done);
            };
            done.push((at, work(item)?));
        }
    };
    let parts = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect::<Result<Vec<_>, E>>()
    })?;
    let mut done: Vec<(usize, R)> = parts.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, made)| made).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_stands_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..1_000).collect();
        let made = on_every_core(&items, |item| Ok::<_, ()>(item * 2));
        assert_eq!(made, Ok(items.iter().map(|item| item * 2).collect()));
        assert_eq!(
            on_every_core(&[], |item: &u64| Ok::<_, ()>(*item)),
            Ok(Vec::new())
        );
    }

    #[test]
    fn an_error_is_given_back() {
        let items: Vec<u64> = (0..1_000).collect();
        let made = on_every_core(
            &items,
            |item| if *item == 700 { Err(*item) } else { Ok(()) },
        );
        assert_eq!(made, Err(700));
    }
}
