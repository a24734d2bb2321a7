//! `Allow-mass-removal: N` in trunk commits (SPEC §3.3). Reads commits that were verified; decides nothing.

use swarm_manifests::id::Oid;
use swarm_repository::{commit::Commit, objects::Objects};

/// The furthest that is looked back, in commits.
const FURTHEST: u64 = 10_000;

/// The trailers of the trunk commits after position `floor` up to `head`, with their positions.
pub fn read(objects: &Objects, head: Oid, position: u64, floor: u64) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    let mut next = Some(head);
    let mut at = position;
    while let Some(id) = next.filter(|_| at > floor && position - at < FURTHEST) {
        let Ok(raw) = objects.commit(id) else { break };
        let Ok(commit) = Commit::parse(&raw) else {
            break;
        };
        if let Some(number) = trailer(&String::from_utf8_lossy(&commit.message)) {
            found.push((at, number));
        }
        next = commit.parents.first().copied();
        at -= 1;
    }
    found
}

/// The number in the last paragraph of a message, as git reads trailers.
fn trailer(message: &str) -> Option<u32> {
    let last = message.trim_end().rsplit("\n\n").next()?;
    let value = last
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(key, _)| key.eq_ignore_ascii_case("allow-mass-removal"));
    value
        .filter_map(|(_, number)| number.trim().parse().ok())
        .max()
}

#[cfg(test)]
mod tests {
    use super::trailer;

    #[test]
    fn the_trailer_stands_in_the_last_paragraph() {
        for (message, wanted) in [
            ("clear lab 3\n\nAllow-mass-removal: 4\n", Some(4)),
            ("clear\n\nSigned-off-by: a\nallow-mass-removal:12", Some(12)),
            ("Allow-mass-removal: 4\n\nand more words\n", None),
            ("clear\n\nAllow-mass-removal: many\n", None),
            ("clear\n\nAllow-mass-removal: -1\n", None),
            ("", None),
        ] {
            assert_eq!(trailer(message), wanted, "{message:?}");
        }
    }
}
