//! Requests through a map (SPEC §4 rule 11): what a person signs, in one canonical text, and whether a box follows it. Pure.
//!
//! The text says everything: repository, a random id, action, workflow, boxes, from when until when, and why. A map hands it on as it
//! is; each box verifies it again by the policy that it trusts itself, and uses it once.

use crate::{
    name::Name,
    policy::{Policy, SignedBy},
    problem::Refusal,
    rules::remote::{REQUEST, REQUEST_RIGHT, REQUEST_TIME},
    signature::Signature,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

/// The namespace of its signature.
pub const NAMESPACE: &str = "swarm-request@v1";
/// How long a request may be good at most.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How far a box's clock may be behind that of who asks.
pub const SKEW: Duration = Duration::from_secs(300);
/// The longest statement, in bytes.
pub const MAX_STATEMENT: usize = 32 << 10;
/// The longest reason, in bytes.
pub const MAX_REASON: usize = 1000;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// End it, and keep it ended.
    Kill {
        /// Over new revisions, too.
        hold: bool,
    },
    /// Lift a kill, or run a finished one again.
    Start,
    /// Stop it first.
    Restart,
    /// Show the last lines that it printed.
    Logs {
        /// So many.
        lines: u16,
    },
}

impl Action {
    /// The command of this action.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Logs { .. } => "logs",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { hold: true } => write!(f, "kill hold"),
            Self::Logs { lines } => write!(f, "logs {lines}"),
            plain => write!(f, "{}", plain.verb()),
        }
    }
}

impl FromStr for Action {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "kill" => Self::Kill { hold: false },
            "kill hold" => Self::Kill { hold: true },
            "start" => Self::Start,
            "restart" => Self::Restart,
            logs => Self::Logs {
                lines: logs
                    .strip_prefix("logs ")
                    .ok_or(())?
                    .parse()
                    .map_err(drop)?,
            },
        })
    }
}

/// A request, read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Request {
    /// The repository's id, from policy.toml.
    pub repository: String,
    /// 32 hexadecimal digits, random.
    pub id: String,
    pub action: Action,
    pub workflow: Name,
    /// At least one.
    pub boxes: Vec<Name>,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub reason: Option<String>,
}

/// A request on its way: the text that was signed, and its armoured signature in [`NAMESPACE`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Signed {
    pub statement: String,
    pub signature: String,
}

/// What became of a request on one box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Outcome {
    /// The request's.
    pub id: String,
    /// As of the command on the box itself.
    pub exit: u8,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What `logs` asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

impl Request {
    /// The text that is signed.
    pub fn statement(&self) -> String {
        let boxes: Vec<&str> = self.boxes.iter().map(Name::as_str).collect();
        format!(
            "swarm-request-v1\nrepository {}\nid {}\naction {}\nworkflow {}\nboxes {}\nissued {}\nexpires {}\nreason {}\n",
            self.repository,
            self.id,
            self.action,
            self.workflow,
            boxes.join(" "),
            self.issued,
            self.expires,
            // As a text of JSON: it stays in its line.
            serde_json::Value::from(self.reason.clone()),
        )
    }

    /// Reads a statement: exactly the text that [`Request::statement`] writes, or it is none.
    pub fn parse(statement: &str) -> Result<Self, Refusal> {
        let read = || {
            let mut lines = statement.strip_prefix("swarm-request-v1\n")?.lines();
            let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
            Some(Self {
                repository: value("repository")?.to_owned(),
                id: value("id")?.to_owned(),
                action: value("action")?.parse().ok()?,
                workflow: Name::new(value("workflow")?).ok()?,
                boxes: value("boxes")?
                    .split(' ')
                    .map(|name| Name::new(name).ok())
                    .collect::<Option<_>>()?,
                issued: value("issued")?.parse().ok()?,
                expires: value("expires")?.parse().ok()?,
                reason: serde_json::from_str(value("reason")?).ok()?,
            })
        };
        let is_id = |id: &str| {
            id.len() == 32
                && id
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let small = |request: &Self| {
            let reason = request.reason.as_ref();
            is_id(&request.id) && reason.is_none_or(|reason| reason.len() <= MAX_REASON)
        };
        Some(statement)
            .filter(|statement| statement.len() <= MAX_STATEMENT)
            .and_then(|_| read())
            .filter(|request| small(request) && request.statement() == statement)
            .ok_or_else(|| Refusal::new(&REQUEST, "the request is not of the form that is signed"))
    }

    /// Whose it is, and whether they may: asked by the map for all boxes at once, and by each box for itself.
    pub fn check(
        &self,
        signed: &Signed,
        policy: &Policy,
        boxes: &[&Name],
        now: Timestamp,
    ) -> Result<SignedBy, Refusal> {
        let refuse = |reason: String| Refusal::new(&REQUEST, reason);
        let signature = Signature::parse(signed.signature.as_bytes())
            .map_err(|error| refuse(error.to_string()))?;
        let by = policy
            .signed_by(&signature, NAMESPACE, signed.statement.as_bytes())
            .map_err(|error| refuse(error.to_string()))?;
        if policy.revoked.iter().any(|revoked| revoked.key == by.key) {
            return Err(refuse(format!(
                "it is signed with {}, which is revoked",
                by.key
            )));
        }
        if self.repository != policy.repository {
            return Err(refuse("it is for another repository".into()));
        }
        self.check_time(now)?;
        for on in boxes {
            if !self.boxes.contains(on) {
                return Err(refuse(format!("it is not for {on}")));
            }
            if !policy.may_operate(&by.name, self.workflow.as_str(), on.as_str()) {
                let (name, workflow) = (&by.name, &self.workflow);
                let reason = format!("{name} may not operate {workflow} on {on}");
                return Err(Refusal::new(&REQUEST_RIGHT, reason));
            }
        }
        Ok(by)
    }

    /// Whether it is good now.
    fn check_time(&self, now: Timestamp) -> Result<(), Refusal> {
        let refuse = |reason: &str| Err(Refusal::new(&REQUEST_TIME, reason));
        let lasts = self.expires.duration_since(self.issued);
        if lasts.is_negative() || lasts.unsigned_abs() > LONGEST {
            return refuse("it is good for more than 24 hours, or for none");
        }
        if self.expires <= now {
            return refuse("it has expired");
        }
        if self.issued.duration_since(now)
            > jiff::SignedDuration::try_from(SKEW).unwrap_or_default()
        {
            return refuse("it is from the future: compare the clocks");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{policy, signature};
    use ssh_key::{PrivateKey, private::Ed25519Keypair};

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    /// alice may operate everything; bob ramp on lab boxes; eve has a revoked key; carl may deploy only.
    fn policy() -> Policy {
        let line = |seed| key(seed).public_key().to_openssh().expect("a key");
        let revoked = key(3).fingerprint(ssh_key::HashAlg::Sha256);
        let text = format!(
            "format = 1\nrepository = \"b1f0c2d3e4f5\"\nversion = 1\nthreshold = 1\n\
             [people.alice]\nkeys = [{:?}]\nadmin = true\n[people.bob]\nkeys = [{:?}]\n\
             [people.eve]\nkeys = [{:?}]\n[people.carl]\nkeys = [{:?}]\n\
             [[grant]]\npeople = [\"alice\", \"eve\"]\nmay = [\"operate\"]\nworkflows = [\"*\"]\n\
             [[grant]]\npeople = [\"bob\"]\nmay = [\"operate\"]\nworkflows = [\"ramp\"]\nboxes = [\"lab-*\"]\n\
             [[grant]]\npeople = [\"carl\"]\nmay = [\"deploy\"]\nworkflows = [\"*\"]\n\
             [[revoked]]\nkey = \"{revoked}\"\nfrom = 1\n",
            line(1),
            line(2),
            line(3),
            line(4),
        );
        let (policy, problems) = policy::read("policy.toml", text.as_bytes());
        policy.unwrap_or_else(|| panic!("{problems:?}"))
    }

    fn request() -> Request {
        Request {
            repository: "b1f0c2d3e4f5".into(),
            id: "0123456789abcdef0123456789abcdef".into(),
            action: Action::Kill { hold: false },
            workflow: name("ramp"),
            boxes: vec![name("lab-1"), name("till-1")],
            issued: "2026-11-23T10:00:00Z".parse().expect("a time"),
            expires: "2026-11-23T11:00:00Z".parse().expect("a time"),
            reason: Some("it hangs\nreason null".into()),
        }
    }

    fn now() -> Timestamp {
        "2026-11-23T10:10:00Z".parse().expect("a time")
    }

    fn signed(request: &Request, seed: u8, namespace: &str) -> Signed {
        let statement = request.statement();
        let signature = signature::sign(&key(seed), namespace, statement.as_bytes());
        Signed {
            signature: signature.expect("a signature"),
            statement,
        }
    }

    #[test]
    fn a_statement_reads_back_and_any_other_spelling_is_none() {
        for action in ["kill", "kill hold", "start", "restart", "logs 100"] {
            let request = Request {
                action: action.parse().expect("an action"),
                ..request()
            };
            assert_eq!(
                Request::parse(&request.statement()),
                Ok(request),
                "{action}"
            );
        }
        let good = request().statement();
        for bad in [
            good.replace("action kill", "action  kill"),
            good.replace("action kill", "action stop"),
            good.replace("lab-1 till-1", ""),
            good.replace("lab-1 till-1", "lab-1,till-1"),
            good.replace("id 0123", "id ABCD"),
            good.replace("T10:00:00Z", "T10:00:00+00:00"),
            good.replace('\n', "\r\n"),
            good.clone() + "action kill hold\n",
            good.trim_end().to_owned(),
            good.replace("reason ", "reason  "),
            String::new(),
        ] {
            assert_eq!(
                Request::parse(&bad).map_err(|refusal| refusal.rule.id),
                Err("S-REQUEST-01"),
                "{bad}"
            );
        }
    }

    #[test]
    fn only_who_may_operate_this_workflow_on_this_box_is_followed() {
        let (policy, request) = (policy(), request());
        let (lab, till) = (name("lab-1"), name("till-1"));
        for (seed, boxes, rule) in [
            (1, vec![&lab, &till], None),
            (2, vec![&lab], None),
            (2, vec![&lab, &till], Some("S-REQUEST-02")),
            (3, vec![&lab], Some("S-REQUEST-01")),
            (4, vec![&lab], Some("S-REQUEST-02")),
            (9, vec![&lab], Some("S-REQUEST-01")),
        ] {
            let checked = request.check(&signed(&request, seed, NAMESPACE), &policy, &boxes, now());
            assert_eq!(
                checked.err().map(|refusal| refusal.rule.id),
                rule,
                "key {seed}"
            );
        }
    }

    #[test]
    fn what_was_signed_for_something_else_or_another_time_is_not_followed() {
        let (policy, lab) = (policy(), name("lab-1"));
        let other = |change: &dyn Fn(&mut Request)| {
            let mut request = request();
            change(&mut request);
            request
        };
        let hour = |text: &str| -> Timestamp { text.parse().expect("a time") };
        for (request, rule) in [
            (other(&|r| r.repository = "another".into()), "S-REQUEST-01"),
            (other(&|r| r.boxes = vec![name("lab-2")]), "S-REQUEST-01"),
            (
                other(&|r| r.expires = hour("2026-11-23T10:10:00Z")),
                "S-REQUEST-03",
            ),
            (
                other(&|r| r.expires = hour("2026-11-24T10:00:01Z")),
                "S-REQUEST-03",
            ),
            (
                other(&|r| r.expires = hour("2026-11-23T09:00:00Z")),
                "S-REQUEST-03",
            ),
            (
                other(&|r| {
                    r.issued = hour("2026-11-23T10:15:01Z");
                    r.expires = hour("2026-11-23T10:20:00Z");
                }),
                "S-REQUEST-03",
            ),
        ] {
            let checked = request.check(&signed(&request, 1, NAMESPACE), &policy, &[&lab], now());
            assert_eq!(
                checked.err().map(|refusal| refusal.rule.id),
                Some(rule),
                "{request:?}"
            );
        }
        let request = request();
        for namespace in ["git", "file", "swarm-session@v1"] {
            let signed = signed(&request, 1, namespace);
            let checked = request.check(&signed, &policy, &[&lab], now());
            assert_eq!(
                checked.err().map(|refusal| refusal.rule.id),
                Some("S-REQUEST-01")
            );
        }
        let mut changed = signed(&request, 1, NAMESPACE);
        changed.statement = changed.statement.replace("kill", "start");
        assert!(request.check(&changed, &policy, &[&lab], now()).is_err());
    }
}
