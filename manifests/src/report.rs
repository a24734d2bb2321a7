//! What boxes and maps say to each other (SPEC §8). Pure: wire types only.

use crate::{
    facts::Facts,
    request::{Outcome, Signed},
    status::Row,
    witness::Witness,
};
use serde::{Deserialize, Serialize};

/// `POST /v1/enrol`: a box's public key, the token that lets it in, and the proof that the key is the box's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Enrol {
    #[serde(rename = "box")]
    pub box_name: String,
    /// OpenSSH public key, one line.
    pub key: String,
    pub token: String,
    /// Armoured SSHSIG over [`enrol_statement`] by that very key, namespace `swarm-enrol@v1`.
    #[serde(default)]
    pub signature: String,
}

/// The namespace of an enrolment's signature.
pub const ENROL_NAMESPACE: &str = "swarm-enrol@v1";

/// The bytes that are signed: the map's URL as the box reaches it (without a trailing slash), the box, the token, the key's
/// fingerprint. Without it, whoever has a token could enrol a key that is somebody else's.
pub fn enrol_statement(map_url: &str, box_name: &str, token: &str, fingerprint: &str) -> String {
    format!(
        "swarm-enrol-v1\nmap {}\nbox {box_name}\ntoken {token}\nkey {fingerprint}\n",
        map_url.trim_end_matches('/')
    )
}

/// `POST /v1/session`, first without `signature` (the answer is a [`Challenge`]), then with it (the answer is a [`Session`]).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SessionRequest {
    /// OpenSSH public key, one line.
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Armoured SSHSIG over [`session_statement`], namespace `swarm-session@v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What is to be signed for a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Challenge {
    pub nonce: String,
    pub expires_in_s: u64,
}

/// A short-lived session: `Authorization: Bearer TOKEN`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Session {
    pub session: String,
    pub expires_in_s: u64,
}

/// The namespace of a session's signature.
pub const SESSION_NAMESPACE: &str = "swarm-session@v1";

/// The bytes that are signed: the map's URL as the client reaches it (without a trailing slash), the nonce, the key's fingerprint.
/// The URL keeps a challenge from being relayed from one map to another.
pub fn session_statement(map_url: &str, nonce: &str, fingerprint: &str) -> String {
    format!(
        "swarm-session-v1\nmap {}\nnonce {nonce}\nkey {fingerprint}\n",
        map_url.trim_end_matches('/')
    )
}

/// `POST /v1/boxes/{box}/report`: heartbeat, and what changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Report {
    /// Random, new at each start of the agent.
    pub boot: String,
    /// Counts from 1 within `boot`; a repeated one is answered and not taken twice.
    pub sequence: u64,
    pub agent_version: String,
    /// The whole state, or none where nothing changed since the last report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<BoxStatus>,
    /// Every row where some changed; none where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Vec<Row>>,
    /// What instances use, where it moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<Measure>,
    /// What happened since, oldest first; each has the box's own sequence number, so that none counts twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
    /// Events that the bounded outbox had to drop, ever.
    #[serde(default)]
    pub dropped: u64,
    /// What became of requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
}

/// What the tree of one instance uses. It belongs to the row whose main process has this id, and to no later one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Measure {
    pub pid: i32,
    pub memory_bytes: u64,
    pub cpu_s: f64,
}

/// The map's answer to a report.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ReportAnswer {
    pub next_in_s: u64,
    /// The map does not know this box's whole state (it restarted): send it with the next report.
    #[serde(default)]
    pub resend: bool,
    /// Where the map saw the trunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// Requests of people that wait for this box.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Signed>,
}

/// The box itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct BoxStatus {
    pub facts: Facts,
    pub location: Option<(f64, f64)>,
    pub commit: Option<String>,
    pub position: Option<u64>,
    pub remote: Option<String>,
    /// What the remote's branch was at when last looked.
    pub remote_head: Option<String>,
    /// Why the trunk does not move, with its rule.
    pub trouble: Option<Trouble>,
    /// What the map's witness says against what this box trusts: its remote lags behind, or the trunk is forked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Trouble>,
    pub warnings: Vec<String>,
    pub protections: Vec<String>,
}

/// Something that keeps the trunk from moving.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Trouble {
    pub rule: String,
    pub reason: String,
    pub hint: Option<String>,
    pub commit: Option<String>,
}

/// One thing that happened on a box: a line of its journal and of the map's audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Event {
    /// The journal record's number on the box.
    pub sequence: u64,
    /// RFC 3339, by the box's wall clock.
    pub time: String,
    /// `deploy`, `refuse`, `start`, `ready`, `exit`, `stop`, `kill`, `remove`, `expire`, `trust`, `agent`, …
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The person (from the commit's signer), or the local user who acted (`uid 1000 (ann)`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The key's fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the signed request that this was done for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<crate::status::LastExit>,
}

impl Event {
    /// About the box itself, of nobody; number and time are the journal's to give.
    pub fn new(action: &str) -> Self {
        Self {
            sequence: 0,
            time: String::new(),
            action: action.into(),
            workflow: None,
            instance: None,
            version: None,
            digest: None,
            commit: None,
            by: None,
            key: None,
            rule: None,
            reason: None,
            request: None,
            exit: None,
        }
    }
}
