//! What an encrypted secret says of itself: for which repository, workflow and name it was made. Pure.
//!
//! A secret is an age file (C2SP). Its header has, beside the stanzas of its recipients, one that age itself passes over:
//! `-> swarm-secret <repository> <workflow> <name>`. The header is authenticated with the file's key, which only recipients have: who may
//! change `secrets/` of another workflow on the same box cannot have this one's secret decrypted for it.

use crate::{name::Name, problem::Refusal, rules::run::SECRET};
use serde::{Deserialize, Serialize};

/// The tag of the stanza.
pub const TAG: &str = "swarm-secret";

/// What a secret is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Purpose {
    pub repository: String,
    pub workflow: Name,
    pub name: Name,
}

impl Purpose {
    /// `secrets/<workflow>/<name>.age`
    pub fn file(&self) -> String {
        format!("secrets/{}/{}.age", self.workflow, self.name)
    }

    /// The stanza's arguments.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            self.repository.clone(),
            self.workflow.to_string(),
            self.name.to_string(),
        ]
    }

    /// Whether the stanzas with [`TAG`] in a header say this and nothing else; `found` are the arguments of each.
    pub fn check(&self, found: &[&[String]]) -> Result<(), Refusal> {
        let wanted = self.arguments();
        let reason = match found {
            [one] if **one == wanted => return Ok(()),
            [] => "does not say for which workflow it was encrypted".to_string(),
            [other] if other.first() != wanted.first() => {
                "was encrypted for another repository".into()
            }
            [other] => format!("was encrypted as {}", other[1..].join("/")),
            _ => "says more than once what it is for".into(),
        };
        Err(self.refuse(&reason))
    }

    /// A refusal of this secret, with what to do.
    pub fn refuse(&self, reason: &str) -> Refusal {
        let (workflow, name) = (&self.workflow, &self.name);
        Refusal::new(&SECRET, format!("{} {reason}", self.file())).hint(format!(
            "swarm-pack encrypt {workflow} {name}, then commit and push"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_serves_the_purpose_that_it_was_made_for_and_no_other() {
        let name = |text: &str| Name::new(text).expect("a name");
        let purpose = Purpose {
            repository: "r1".into(),
            workflow: name("ramp"),
            name: name("db"),
        };
        let words = |text: &str| -> Vec<String> { text.split(' ').map(Into::into).collect() };
        let right = words("r1 ramp db");
        assert_eq!(purpose.check(&[&right]), Ok(()));
        for (found, says) in [
            (vec![], "does not say"),
            (vec!["r2 ramp db"], "another repository"),
            (vec!["r1 till db"], "as till/db"),
            (vec!["r1 ramp other"], "as ramp/other"),
            (vec!["r1"], "as "),
            (vec!["r1 ramp db", "r1 till db"], "more than once"),
        ] {
            let found: Vec<Vec<String>> = found.into_iter().map(words).collect();
            let found: Vec<&[String]> = found.iter().map(Vec::as_slice).collect();
            let refusal = purpose.check(&found).expect_err(says);
            assert!(refusal.reason.contains(says), "{refusal}");
            assert_eq!(refusal.rule.id, "S-RUN-12");
        }
    }
}
