//! How a new head relates to the head trusted last (SPEC §4 rule 5). In: two commit ids. Out: the commits between them,
//! oldest first, or in which way the branch went astray.
//!
//! Touches the object store. Only parents are read here, leniently: a commit of odd form must be found to be refused.

use crate::{
    objects::{ObjectError, Objects},
    trusted::Trusted,
};
use std::collections::{HashSet, VecDeque};
use swarm_manifests::{
    id::Oid,
    problem::Refusal,
    rules::trunk::{MALFORMED, NO_BRANCH, REWOUND, SIDELINED, UNRELATED},
};

/// The longest way from the trusted head to a new one, in commits.
pub const MAX_WAY: usize = 1_000_000;
/// How many commits are looked at to find the trusted head on a side.
const MAX_SEARCH: usize = 100_000;

/// From the trusted head to a new one.
#[derive(Debug, PartialEq)]
pub(crate) enum Way {
    /// These commits, oldest first; the first one's first parent is the trusted head.
    Ahead(Vec<Oid>),
    /// There is none.
    Astray(Refusal),
}

/// Finds the way.
pub(crate) fn way(objects: &Objects, trusted: &Trusted, head: Oid) -> Result<Way, ObjectError> {
    let mut ahead = Vec::new();
    let mut at = head;
    while at != trusted.head {
        if at == trusted.introduction || ahead.len() == MAX_WAY {
            return astray(objects, trusted, head);
        }
        let parents = match parents(objects, at) {
            Ok(parents) => parents,
            Err(ObjectError::Kind { found, .. }) if at == head => {
                return Ok(no_branch(head, &found));
            }
            Err(ObjectError::TooLarge { size, .. }) => return Ok(too_large(at, size)),
            Err(ObjectError::Kind { .. } | ObjectError::Malformed { .. }) => {
                return astray(objects, trusted, head);
            }
            Err(other) => return Err(other),
        };
        ahead.push(at);
        match parents.first() {
            Some(parent) => at = *parent,
            None => return astray(objects, trusted, head),
        }
    }
    ahead.reverse();
    Ok(Way::Ahead(ahead))
}

fn astray(objects: &Objects, trusted: &Trusted, head: Oid) -> Result<Way, ObjectError> {
    let (new, old) = (head.short(), trusted.head.short());
    Ok(Way::Astray(if was_trusted(objects, trusted, head)? {
        let reason = format!(
            "rewound: the branch was set back to {new}, which is older than {old}, the head trusted last"
        );
        Refusal::new(&REWOUND, reason).hint(format!("git push origin {}:main brings it forward again; to undo a change, push a git revert of it", trusted.head))
    } else if is_reachable(objects, trusted.head, head)? {
        let reason =
            format!("sidelined: in {new} the head trusted last, {old}, became a second parent");
        Refusal::new(&SIDELINED, reason).hint(format!(
            "git reset --hard {} && git merge {}, sign and push it; and set pull.rebase = true",
            trusted.head, head
        ))
    } else {
        let reason = format!(
            "unrelated: the first-parent history of {new} does not contain {old}, the head trusted last"
        );
        Refusal::new(&UNRELATED, reason).hint(format!("git push --force origin {}:main restores the trusted history; a repository made anew needs a new [trust] on each box", trusted.head))
    }))
}

/// Whether `head` is in the first-parent history of the trusted head.
fn was_trusted(objects: &Objects, trusted: &Trusted, head: Oid) -> Result<bool, ObjectError> {
    let mut at = trusted.head;
    for _ in 0..MAX_WAY {
        if at == head {
            return Ok(true);
        }
        // Also what is older than the introduction is older, as far as it is there.
        match present(parents(objects, at))?.first() {
            Some(parent) => at = *parent,
            None => return Ok(false),
        }
    }
    Ok(false)
}

/// Whether `wanted` can be reached from `head` by any parents, as far as they are there.
fn is_reachable(objects: &Objects, wanted: Oid, head: Oid) -> Result<bool, ObjectError> {
    let mut seen = HashSet::from([head]);
    let mut queue = VecDeque::from([head]);
    while let Some(at) = queue.pop_front() {
        for parent in present(parents(objects, at))? {
            if parent == wanted {
                return Ok(true);
            }
            if seen.len() < MAX_SEARCH && seen.insert(parent) {
                queue.push_back(parent);
            }
        }
    }
    Ok(false)
}

fn present(parents: Result<Vec<Oid>, ObjectError>) -> Result<Vec<Oid>, ObjectError> {
    match parents {
        Err(ObjectError::Git(error)) => Err(ObjectError::Git(error)),
        other => Ok(other.unwrap_or_default()),
    }
}

/// The first parents behind `head`, the nearest first, as many as `steps`; fewer where the history ends or is not there.
pub fn behind(objects: &Objects, head: Oid, steps: usize) -> Result<Vec<Oid>, ObjectError> {
    let mut found = Vec::new();
    let mut at = head;
    while found.len() < steps {
        let Some(parent) = present(parents(objects, at))?.first().copied() else {
            break;
        };
        found.push(parent);
        at = parent;
    }
    Ok(found)
}

/// The `parent` headers, wherever the rest of the commit leads.
pub(crate) fn parents(objects: &Objects, id: Oid) -> Result<Vec<Oid>, ObjectError> {
    let raw = objects.commit(id)?;
    let lines = raw.split(|&b| b == b'\n').skip(1);
    let ids = lines.map_while(|line| {
        std::str::from_utf8(line.strip_prefix(b"parent ")?)
            .ok()?
            .parse()
            .ok()
    });
    Ok(ids.collect())
}

fn no_branch(head: Oid, found: &str) -> Way {
    Way::Astray(Refusal::new(
        &NO_BRANCH,
        format!(
            "the branch is at {}, which is a {found}, not a commit",
            head.short()
        ),
    ))
}

fn too_large(id: Oid, size: u64) -> Way {
    Way::Astray(Refusal::new(
        &MALFORMED,
        format!(
            "commit {} has {size} bytes, more than any commit may have",
            id.short()
        ),
    ))
}
