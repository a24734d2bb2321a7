//! One change of policy.toml, written as a careful person would: in: its text and what is wanted; out: the new text, with
//! comments, order and layout kept, and the version one more than the committed one. Pure.

use crate::{
    edit::{append, parse_with, set, table},
    failure::{Exit, Failure, Finding, Outcome},
};
use std::collections::BTreeSet;
use swarm_manifests::{
    name::{Name, Pattern},
    policy::{self, Moment, Policy, Right},
};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TableLike, Value, value};

const FILE: &str = "policy.toml";

/// What is wanted of the policy.
#[derive(Debug, Clone)]
pub enum Edit {
    /// A new person.
    AddPerson {
        /// Who.
        name: Name,
        /// Their public keys, a line each.
        keys: Vec<String>,
        /// Whether they may approve policies.
        admin: bool,
    },
    /// A person leaves, out of every grant and team too.
    RemovePerson(Name),
    /// One more key of somebody who is there.
    AddKey {
        /// Whose.
        name: Name,
        /// The public key, as a line.
        key: String,
    },
    /// Somebody becomes an admin, or is one no longer.
    Admin {
        /// Who.
        name: Name,
        /// Which of both.
        is: bool,
    },
    /// A new `[[grant]]`.
    Grant(Grant),
    /// Keys that count no longer; they are taken from their people too.
    Revoke {
        /// `SHA256:…`
        keys: Vec<String>,
        /// From when on.
        from: Moment,
        /// Why.
        reason: Option<String>,
    },
    /// How many admins must approve the next policy.
    Threshold(u32),
    /// A team's members; a team that is not there is made, one that is empty goes.
    Team {
        /// Its name.
        name: Name,
        /// Who comes.
        add: Vec<Name>,
        /// Who goes.
        remove: Vec<Name>,
    },
}

/// A `[[grant]]` as it is to be written.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Grant {
    /// People and teams.
    pub people: Vec<Name>,
    pub may: BTreeSet<Right>,
    pub workflows: Vec<Pattern>,
    pub boxes: Option<Vec<Pattern>>,
    pub approvals: Option<u32>,
}

/// The text with the edit in it, checked by the real reader; its version is one more than `committed`'s.
pub fn apply(text: &str, committed: Option<&Policy>, edit: &Edit) -> Outcome<String> {
    let mut document = parse_with(FILE, text, |text| policy::read(FILE, text).1)?;
    match edit {
        Edit::AddPerson { name, keys, admin } => add_person(&mut document, name, keys, *admin)?,
        Edit::RemovePerson(name) => remove_person(&mut document, name)?,
        Edit::AddKey { name, key } => add_key(&mut document, name, key)?,
        Edit::Admin { name, is } => {
            let person = person(&mut document, name)?;
            if *is {
                set(person, "admin", true.into());
            } else {
                person.remove("admin");
            }
        }
        Edit::Grant(grant) => tables(&mut document, "grant")?.push(grant.table()),
        Edit::Revoke { keys, from, reason } => {
            for key in keys {
                revoke(&mut document, key, from, reason.as_deref())?;
            }
        }
        Edit::Threshold(count) => {
            set(
                document.as_table_mut(),
                "threshold",
                i64::from(*count).into(),
            );
        }
        Edit::Team { name, add, remove } => team(&mut document, name, add, remove)?,
    }
    let edited = document.to_string();
    if edited == text {
        return Ok(edited);
    }
    checked(&raise(&edited, committed)?)
}

/// The text with the version that must follow the committed one; any other change is left to its author.
pub fn raise(text: &str, committed: Option<&Policy>) -> Outcome<String> {
    let mut document = parse_with(FILE, text, |text| policy::read(FILE, text).1)?;
    if let Some(next) = committed.and_then(|policy| i64::try_from(policy.version + 1).ok()) {
        set(document.as_table_mut(), "version", next.into());
    }
    Ok(document.to_string())
}

fn checked(text: &str) -> Outcome<String> {
    match policy::read(FILE, text.as_bytes()) {
        (Some(_), _) => Ok(text.into()),
        (None, problems) => Err(Failure::findings(Finding::of(problems, text.as_bytes()))),
    }
}

fn add_person(document: &mut DocumentMut, name: &Name, keys: &[String], admin: bool) -> Outcome {
    let people = table(document, FILE, "people")?;
    if people.contains_key(name.as_str()) {
        return Err(
            Failure::new(format!("{name} is in the policy already")).hint(format!(
                "swarm-pack policy add-key {name} KEY  gives them another key"
            )),
        );
    }
    let mut person = Table::new();
    person.insert("keys", value(keys.iter().collect::<Array>()));
    if admin {
        person.insert("admin", value(true));
    }
    people.insert(name.as_str(), Item::Table(person));
    Ok(())
}

fn remove_person(document: &mut DocumentMut, name: &Name) -> Outcome {
    person(document, name)?;
    table(document, FILE, "people")?.remove(name.as_str());
    let teams: Vec<String> = document
        .get("teams")
        .and_then(Item::as_table_like)
        .map(|teams| teams.iter().map(|(team, _)| team.to_string()).collect())
        .unwrap_or_default();
    for team in teams {
        if let Some(members) = table(document, FILE, "teams")?
            .get_mut(&team)
            .and_then(Item::as_array_mut)
        {
            members.retain(|member| member.as_str() != Some(name.as_str()));
        }
    }
    if document.contains_key("grant") {
        let grants = tables(document, "grant")?;
        for grant in grants.iter_mut() {
            if let Some(people) = grant.get_mut("people").and_then(Item::as_array_mut) {
                people.retain(|person| person.as_str() != Some(name.as_str()));
            }
        }
        grants.retain(|grant| {
            grant
                .get("people")
                .and_then(Item::as_array)
                .is_none_or(|people| !people.is_empty())
        });
    }
    Ok(())
}

fn add_key(document: &mut DocumentMut, name: &Name, key: &str) -> Outcome {
    let person = person(document, name)?;
    match person.get_mut("keys").and_then(Item::as_array_mut) {
        Some(keys) => append(keys, key),
        None => set(person, "keys", Value::Array(std::iter::once(key).collect())),
    }
    Ok(())
}

fn person<'a>(document: &'a mut DocumentMut, name: &Name) -> Outcome<&'a mut dyn TableLike> {
    table(document, FILE, "people")?
        .get_mut(name.as_str())
        .and_then(Item::as_table_like_mut)
        .ok_or_else(|| {
            Failure::new(format!("there is no person {name} in the policy"))
                .exit(Exit::Unknown)
                .hint(format!("swarm-pack policy add-person {name} --key KEY"))
        })
}

fn revoke(document: &mut DocumentMut, key: &str, from: &Moment, reason: Option<&str>) -> Outcome {
    let names: Vec<String> = table(document, FILE, "people")?
        .iter()
        .map(|(name, _)| name.to_string())
        .collect();
    for name in names {
        let keys = table(document, FILE, "people")?
            .get_mut(&name)
            .and_then(Item::as_table_like_mut)
            .and_then(|person| person.get_mut("keys"))
            .and_then(Item::as_array_mut);
        if let Some(keys) = keys {
            keys.retain(|line| {
                fingerprint(line.as_str().unwrap_or_default()).as_deref() != Some(key)
            });
        }
    }
    let mut entry = Table::new();
    entry.insert("key", value(key));
    entry.insert(
        "from",
        match from {
            Moment::Position(position) => value(i64::try_from(*position).unwrap_or(i64::MAX)),
            Moment::Commit(commit) => value(commit.to_string()),
        },
    );
    if let Some(reason) = reason {
        entry.insert("reason", value(reason));
    }
    tables(document, "revoked")?.push(entry);
    Ok(())
}

/// The fingerprint of a public key's line; none where it is no key.
pub fn fingerprint(line: &str) -> Option<String> {
    let key = swarm_manifests::key::read(line.trim()).ok()?;
    Some(key.fingerprint(ssh_key::HashAlg::Sha256).to_string())
}

fn team(document: &mut DocumentMut, name: &Name, add: &[Name], remove: &[Name]) -> Outcome {
    let teams = table(document, FILE, "teams")?;
    let is_new = !teams.contains_key(name.as_str());
    if is_new {
        teams.insert(name.as_str(), value(Array::new()));
    }
    let members = teams
        .get_mut(name.as_str())
        .and_then(Item::as_array_mut)
        .ok_or_else(|| Failure::new(format!("{FILE}: teams.{name} is not a list")))?;
    for person in remove {
        if !members
            .iter()
            .any(|member| member.as_str() == Some(person.as_str()))
        {
            return Err(
                Failure::new(format!("{person} is not in the team {name}")).exit(Exit::Unknown)
            );
        }
        members.retain(|member| member.as_str() != Some(person.as_str()));
    }
    for person in add {
        if !members
            .iter()
            .any(|member| member.as_str() == Some(person.as_str()))
        {
            append(members, person.as_str());
        }
    }
    Ok(())
}

fn tables<'a>(document: &'a mut DocumentMut, name: &str) -> Outcome<&'a mut ArrayOfTables> {
    document
        .entry(name)
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or_else(|| {
            Failure::new(format!("{FILE}: {name} is not written as [[{name}]]"))
                .hint(format!("write each entry as a [[{name}]] of its own"))
        })
}

impl Grant {
    fn table(&self) -> Table {
        let mut table = Table::new();
        let list = |items: Vec<&str>| value(items.into_iter().collect::<Array>());
        table.insert(
            "people",
            list(self.people.iter().map(Name::as_str).collect()),
        );
        table.insert(
            "may",
            list(self.may.iter().map(|right| right.as_str()).collect()),
        );
        table.insert(
            "workflows",
            list(self.workflows.iter().map(Pattern::as_str).collect()),
        );
        if let Some(boxes) = &self.boxes {
            table.insert("boxes", list(boxes.iter().map(Pattern::as_str).collect()));
        }
        if let Some(approvals) = self.approvals {
            table.insert("approvals", value(i64::from(approvals)));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti ann@laptop";
    const BOB: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDFqv6+Y5aKQnEHJ5WPyZu0VAsaIXbLuNFMUmwTqj1Zc bob@laptop";

    fn text() -> String {
        format!(
            "# the lab's policy\nformat = 1\nrepository = \"00112233445566778899aabbccddeeff\"\nversion = 4   # raised by hand so far\n\n[people.ann]   # runs the lab\nkeys = [\n    \"{ANN}\", # laptop\n]\nadmin = true\n\n# who may do what\n[[grant]]\npeople = [\"ann\"] # for now\nmay = [\"publish\", \"deploy\"]\nworkflows = [\"*\"]\n"
        )
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn committed() -> Policy {
        policy::read(FILE, text().as_bytes()).0.expect("it is well")
    }

    fn edited(text: &str, edit: &Edit) -> String {
        apply(text, Some(&committed()), edit).expect("it is well")
    }

    /// Lines of `after` that `before` lacks, and the other way round.
    fn difference(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
        let lacks = |a: &str, b: &str| {
            a.lines()
                .filter(|line| !b.lines().any(|other| other == *line))
                .map(ToString::to_string)
                .collect()
        };
        (lacks(after, before), lacks(before, after))
    }

    #[test]
    fn a_new_person_changes_nothing_but_their_lines_and_the_version() {
        let bob = Edit::AddPerson {
            name: name("bob"),
            keys: vec![BOB.into()],
            admin: false,
        };
        let made = edited(&text(), &bob);
        let (new, gone) = difference(&text(), &made);
        assert_eq!(
            new,
            [
                "version = 5   # raised by hand so far",
                "[people.bob]",
                &format!("keys = [\"{BOB}\"]")
            ]
        );
        assert_eq!(gone, ["version = 4   # raised by hand so far"]);
        assert!(
            made.find("[people.bob]") < made.find("# who may do what"),
            "{made}"
        );
    }

    #[test]
    fn several_edits_of_one_change_raise_the_version_once() {
        let bob = Edit::AddPerson {
            name: name("bob"),
            keys: vec![BOB.into()],
            admin: true,
        };
        let made = edited(&edited(&text(), &bob), &Edit::Threshold(2));
        assert!(
            made.contains("version = 5 ") && made.contains("threshold = 2"),
            "{made}"
        );
    }

    #[test]
    fn a_key_comes_under_the_one_before_with_its_indentation() {
        let made = edited(
            &text(),
            &Edit::AddKey {
                name: name("ann"),
                key: BOB.into(),
            },
        );
        let (new, _) = difference(&text(), &made);
        assert_eq!(new[1], format!("    \"{BOB}\","), "{made}");
        assert!(made.contains("# laptop"), "{made}");
    }

    #[test]
    fn a_policy_that_locks_everybody_out_is_not_written() {
        assert!(apply(&text(), Some(&committed()), &Edit::Threshold(2)).is_err());
        let key = fingerprint(ANN).expect("a key");
        let revoke = Edit::Revoke {
            keys: vec![key],
            from: Moment::Position(7),
            reason: None,
        };
        assert!(apply(&text(), Some(&committed()), &revoke).is_err());
    }

    #[test]
    fn a_revoked_key_is_taken_from_its_person_too() {
        let both = edited(
            &text(),
            &Edit::AddKey {
                name: name("ann"),
                key: BOB.into(),
            },
        );
        let key = fingerprint(BOB).expect("a key");
        let revoke = Edit::Revoke {
            keys: vec![key.clone()],
            from: Moment::Position(7),
            reason: Some("lost".into()),
        };
        let made = edited(&both, &revoke);
        assert!(!made.contains(BOB), "{made}");
        assert!(
            made.ends_with(&format!(
                "\n[[revoked]]\nkey = \"{key}\"\nfrom = 7\nreason = \"lost\"\n"
            )),
            "{made}"
        );
    }

    #[test]
    fn who_leaves_leaves_teams_and_grants_too() {
        let bob = Edit::AddPerson {
            name: name("bob"),
            keys: vec![BOB.into()],
            admin: false,
        };
        let team = Edit::Team {
            name: name("lab"),
            add: vec![name("bob"), name("ann")],
            remove: vec![],
        };
        let grant = Edit::Grant(Grant {
            people: vec![name("bob")],
            may: [Right::Operate].into(),
            workflows: vec![Pattern::new("ramp").expect("a pattern")],
            boxes: None,
            approvals: None,
        });
        let made = [bob, team, grant]
            .iter()
            .fold(text(), |text, edit| edited(&text, edit));
        assert!(
            made.contains("lab = [\"bob\", \"ann\"]") && made.contains("[\"operate\"]"),
            "{made}"
        );
        let made = edited(&made, &Edit::RemovePerson(name("bob")));
        assert!(!made.contains("bob") && !made.contains("operate"), "{made}");
    }

    #[test]
    fn somebody_whom_the_policy_does_not_know_gets_no_grant() {
        let grant = Edit::Grant(Grant {
            people: vec![name("eve")],
            may: [Right::Deploy].into(),
            workflows: vec![Pattern::new("*").expect("a pattern")],
            boxes: None,
            approvals: None,
        });
        let failure = apply(&text(), Some(&committed()), &grant).expect_err("nobody knows eve");
        assert!(
            failure.findings[0].problem.message.contains("eve"),
            "{failure:?}"
        );
    }
}
