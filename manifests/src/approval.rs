//! Approvals of manifests (SPEC §4 rule 7): the text that is signed, and who stands behind a manifest. Pure.
//!
//! Signatures come in with the policy that judges each of them; a [`Tally`] goes out, and why a file does not count.

use crate::{
    id::{Digest, Oid},
    manifest::{Manifest, NAMESPACE},
    name::Name,
    policy::{Policy, Side, SignedBy},
    problem::Refusal,
    rules::trunk::APPROVALS,
    signature::Signature,
};
use std::collections::BTreeSet;

/// How many people must stand behind something, who does, and who could.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Tally {
    pub needed: u32,
    pub by: BTreeSet<Name>,
    /// Everybody whose approval would count, those of `by` among them.
    pub could: BTreeSet<Name>,
}

impl Tally {
    /// How many are missing; zero: enough.
    pub fn missing(&self) -> u32 {
        self.needed
            .saturating_sub(u32::try_from(self.by.len()).unwrap_or(u32::MAX))
    }

    /// Those who could still approve.
    pub fn others(&self) -> impl Iterator<Item = &Name> {
        self.could.difference(&self.by)
    }

    /// `2 people must stand behind it, alice does: 1 missing, bob could`
    pub fn sentence(&self, people: &str) -> String {
        let list = |names: Vec<&str>| match names[..] {
            [] => "nobody".to_string(),
            _ => names.join(", "),
        };
        let by: Vec<&str> = self.by.iter().map(Name::as_str).collect();
        let others: Vec<&str> = self.others().map(Name::as_str).collect();
        let verb = if by.len() > 1 { "do" } else { "does" };
        let who = if others.is_empty() {
            "nobody else has the right to".into()
        } else {
            format!("{} could", list(others))
        };
        format!(
            "{} {people} must stand behind it, {} {verb}: {} missing, {who}",
            self.needed,
            list(by),
            self.missing()
        )
    }
}

/// What an approval of a manifest is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Subject<'a> {
    /// The repository's id, from policy.toml.
    pub repository: &'a str,
    pub workflow: &'a Name,
    /// SHA-256 of the manifest's bytes.
    pub manifest: Digest,
    /// SHA-256 of bundle.lock.
    pub bundle: Digest,
    /// The trunk commit that last changed the manifest.
    pub commit: Oid,
}

impl Subject<'_> {
    /// The bytes that are signed, in the namespace [`NAMESPACE`].
    pub fn statement(&self) -> String {
        format!(
            "swarm-manifest-v1\nrepository {}\nworkflow {}\nmanifest sha256:{}\nbundle sha256:{}\ncommit {}\n",
            self.repository,
            self.workflow,
            self.manifest.hex(),
            self.bundle.hex(),
            self.commit
        )
    }
}

/// Whose signature a file of approval holds, or why it does not count. `person` is the stem of the file's name, `policy` the one
/// that judged the commit that brought it.
pub fn approver(
    policy: &Policy,
    person: &str,
    armour: &[u8],
    statement: &str,
    manifest: &Manifest,
) -> Result<SignedBy, String> {
    let signature = Signature::parse(armour).map_err(|error| error.to_string())?;
    let signed = policy
        .signed_by(&signature, NAMESPACE, statement.as_bytes())
        .map_err(|error| error.to_string())?;
    if signed.name.as_str() != person {
        return Err(format!("it is signed by {}, not by {person}", signed.name));
    }
    let workflow = manifest.workflow.as_str();
    policy
        .may_deploy(&signed.name, workflow, Side::Absent, Side::Parsed(manifest))
        .map_err(|why| why.reason)?;
    Ok(signed)
}

/// Whether enough people stand behind the manifest at `path`.
pub fn enough(tally: &Tally, path: &str) -> Result<(), Refusal> {
    if tally.missing() == 0 {
        return Ok(());
    }
    Err(Refusal::new(&APPROVALS, tally.sentence("people"))
        .hint(format!("swarm-pack approve {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_is_to_the_byte_what_the_contract_says() {
        let workflow = Name::new("ramp").expect("a name");
        let subject = Subject {
            repository: "b1f0c2",
            workflow: &workflow,
            manifest: Digest([1; 32]),
            bundle: Digest([2; 32]),
            commit: Oid([3; 20]),
        };
        let wanted = format!(
            "swarm-manifest-v1\nrepository b1f0c2\nworkflow ramp\nmanifest sha256:{}\nbundle sha256:{}\ncommit {}\n",
            "01".repeat(32),
            "02".repeat(32),
            "03".repeat(20)
        );
        assert_eq!(subject.statement(), wanted);
    }

    #[test]
    fn a_tally_says_who_is_missing_and_never_less_than_none() {
        let name = |name| Name::new(name).expect("a name");
        let mut tally = Tally {
            needed: 2,
            by: [name("alice")].into(),
            could: [name("alice"), name("bob")].into(),
        };
        assert_eq!(tally.missing(), 1);
        assert_eq!(
            tally.sentence("people"),
            "2 people must stand behind it, alice does: 1 missing, bob could"
        );
        tally.by.extend([name("bob"), name("ci")]);
        assert_eq!(tally.missing(), 0);
    }
}
