//! What reads bytes from outside, a function each: any bytes come in, and what is asserted holds. Pure.
//!
//! A target that is given what nobody meant must not panic, hang or take much memory; where something is read, it says the same
//! again. `./dev fuzz` looks for bytes that break this; what it found lies in `corpus/`, and is an ordinary test for ever.

use swarm_manifests::{
    bundle, facts::Facts, lock::Lock, manifest, policy, request::Request, roster,
    selector::Selector, settings, signature::Signature,
};
use swarm_repository::commit::Commit;
use swarm_supervisor::{
    frame::{Decoder, encode},
    protocol::{FromAgent, Request as Asked, ToAgent},
};
use swarm_wire::{pkt, protocol};

/// A target: what it is called, and what is done with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("commit", commit),
    ("sshsig", sshsig),
    ("lock", lock),
    ("bundle", bundle),
    ("manifest", manifest),
    ("policy", policy),
    ("agent", agent),
    ("roster", roster),
    ("selector", selector),
    ("request", request),
    ("git", git),
    ("webhook", webhook),
    ("control", control),
    ("link", link),
];

/// The target of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.map(|(_, run)| *run)
}

/// A raw commit.
fn commit(bytes: &[u8]) {
    let _ = Commit::parse(bytes);
}

/// Armour and SSHSIG; one that is read is verified, too.
fn sshsig(bytes: &[u8]) {
    if let Ok(signature) = Signature::parse(bytes) {
        let verified = signature.verify("git", b"not what was signed");
        assert!(verified.is_err(), "a signature of anything");
        assert!(signature.fingerprint().starts_with("SHA256:"));
    }
}

/// bundle.lock has one spelling.
fn lock(bytes: &[u8]) {
    if let Ok(lock) = Lock::parse(bytes) {
        assert_eq!(lock.text().as_bytes(), bytes, "another spelling was taken");
    }
}

/// What gives no value says why.
fn decided<T, P>(read: &(Option<T>, Vec<P>)) {
    assert!(
        read.0.is_some() || !read.1.is_empty(),
        "nothing, and no word why"
    );
}

fn bundle(bytes: &[u8]) {
    decided(&bundle::read("bundle.toml", bytes));
}

fn manifest(bytes: &[u8]) {
    decided(&manifest::read("manifests/ramp.toml", bytes));
}

fn policy(bytes: &[u8]) {
    decided(&policy::read("policy.toml", bytes));
}

fn agent(bytes: &[u8]) {
    decided(&settings::read("agent.toml", bytes));
}

fn roster(bytes: &[u8]) {
    decided(&roster::read("boxes/lab-1.toml", bytes));
}

/// A selector that parses says of every box whether it chooses it; a mark lies within the text.
fn selector(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Selector::parse(text) {
        Ok(selector) => drop(selector.choose(&Facts::default())),
        Err(error) => assert!(text.get(error.span.clone()).is_some(), "{:?}", error.span),
    }
}

/// A signed request has one spelling.
fn request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(request) = Request::parse(text) {
        assert_eq!(request.statement(), text, "another spelling was taken");
    }
}

/// Packets of git's protocol, in whatever parts they come; capabilities and refs in them.
fn git(bytes: &[u8]) {
    let (first, rest) = bytes.split_first().unwrap_or((&1, &[]));
    let mut decoder = pkt::Decoder::default();
    let mut capabilities = protocol::Capabilities::default();
    for part in rest.chunks(usize::from(*first).max(1)) {
        decoder.push(part);
        loop {
            match decoder.take() {
                Ok(Some(pkt::Packet::Data(place))) => {
                    let line = decoder.data(place).to_vec();
                    let _ = capabilities.read(&line);
                    let _ = protocol::ref_line(&line, "refs/heads/main");
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// A webhook's body.
fn webhook(bytes: &[u8]) {
    if let Some(pushed) = swarm_agent::trigger::pushed::read(bytes) {
        let _ = protocol::is_branch(&pushed.branch);
    }
}

/// What the command line says to the supervisor.
fn control(bytes: &[u8]) {
    frames::<Asked>(bytes);
}

/// What the agent and the supervisor say to each other.
fn link(bytes: &[u8]) {
    frames::<FromAgent>(bytes);
    frames::<ToAgent>(bytes);
}

/// Frames in whatever parts they come; what is read says the same again.
fn frames<T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
) {
    let (first, rest) = bytes.split_first().unwrap_or((&1, &[]));
    let mut decoder = Decoder::new();
    for part in rest.chunks(usize::from(*first).max(1)) {
        decoder.push(part);
        loop {
            match decoder.next_frame::<T>() {
                Ok(Some(message)) => {
                    let mut again = Decoder::new();
                    again.push(&encode(&message));
                    let read = again.next_frame::<T>();
                    assert_eq!(read.ok().flatten().as_ref(), Some(&message));
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}
