//! Finding a process tree without cgroups: what the kernel says of every process comes in, the members come out. Reads /proc.
//!
//! A member is the main process, whatever descends from a member, whoever has the instance's mark in its environment, and, where the
//! instance has a user id to itself, whoever has that. Who clears the environment, leaves its parents and shares a user escapes this;
//! a cgroup is what holds everybody.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
};

/// How a tree's processes are known where there is no cgroup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// An entry of the environment that no other instance has: `SWARM_STATE=/var/lib/swarm/workflows/ramp/0`.
    pub env: Vec<u8>,
    /// A user id that nobody else has: of a workflow with one instance.
    pub uid: Option<u32>,
    /// The main process, whose descendants belong to it too.
    pub main: Option<i32>,
}

/// What is known of one process.
#[derive(Debug, Clone, Default)]
struct Process {
    parent: i32,
    is_zombie: bool,
    is_marked: bool,
}

/// All processes that belong to these marks, without zombies and without ourselves.
pub fn members(marks: &Marks) -> Vec<i32> {
    close(&look(marks), marks.main)
}

/// Pure: everything marked, and everything below it.
fn close(all: &BTreeMap<i32, Process>, main: Option<i32>) -> Vec<i32> {
    let mut members: BTreeSet<i32> = all
        .iter()
        .filter(|(_, process)| process.is_marked)
        .map(|(&pid, _)| pid)
        .collect();
    members.extend(main.filter(|pid| all.contains_key(pid)));
    loop {
        let below = all
            .iter()
            .filter(|(pid, process)| members.contains(&process.parent) && !members.contains(pid));
        let below: Vec<i32> = below.map(|(&pid, _)| pid).collect();
        if below.is_empty() {
            break;
        }
        members.extend(below);
    }
    members
        .into_iter()
        .filter(|pid| !all[pid].is_zombie)
        .collect()
}

fn look(marks: &Marks) -> BTreeMap<i32, Process> {
    let own = std::process::id().cast_signed();
    let names = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    names
        .filter(|&pid: &i32| pid != own && pid != 1)
        .filter_map(|pid| Some((pid, look_at(pid, marks)?)))
        .collect()
}

fn look_at(pid: i32, marks: &Marks) -> Option<Process> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(&text[end + 1..])
        .ok()?
        .split_ascii_whitespace();
    let is_zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let has_uid =
        || fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| Some(meta.uid()) == marks.uid);
    let has_env = || {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        !marks.env.is_empty()
            && environ
                .split(|&byte| byte == 0)
                .any(|entry| entry == marks.env)
    };
    let is_marked = !is_zombie && ((marks.uid.is_some() && has_uid()) || has_env());
    Some(Process {
        parent,
        is_zombie,
        is_marked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(table: &[(i32, i32, bool, bool)]) -> BTreeMap<i32, Process> {
        let process = |&(pid, parent, is_zombie, is_marked): &_| {
            (
                pid,
                Process {
                    parent,
                    is_zombie,
                    is_marked,
                },
            )
        };
        table.iter().map(process).collect()
    }

    #[test]
    fn descendants_belong_to_the_tree_also_of_those_that_left_it() {
        let table = all(&[
            (10, 2, false, false),
            (11, 10, false, false),
            (12, 11, false, false),
            (20, 1, false, true),
            (21, 20, false, false),
            (30, 1, false, false),
        ]);
        assert_eq!(close(&table, Some(10)), [10, 11, 12, 20, 21]);
    }

    #[test]
    fn zombies_do_not_count_and_their_children_do() {
        let table = all(&[(10, 2, true, false), (11, 10, false, false)]);
        assert_eq!(close(&table, Some(10)), [11]);
        assert!(close(&table, Some(99)).is_empty());
    }
}
