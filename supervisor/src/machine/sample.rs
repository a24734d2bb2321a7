//! Specs for tests.

use crate::protocol::{Origin, RunSpec};
use swarm_manifests::{
    bundle::{Limits, Sandbox, Stop, Workdir},
    id::Digest,
    manifest::{Mode, OnLimit, Restart},
};

/// A spec whose revision is `number`.
pub fn spec(workflow: &str, number: u8, mode: Mode) -> RunSpec {
    RunSpec {
        workflow: workflow.parse().expect("a name"),
        bundle: workflow.parse().expect("a name"),
        version: format!("1.0.{number}"),
        digest: Digest::of(&[number]),
        revision: Digest::of(&[number, 0]),
        origin: Origin {
            by: Some("alice".into()),
            ..Origin::default()
        },
        mode,
        time_limit: None,
        on_limit: OnLimit::Expire,
        instances: 1,
        restart: Restart::default(),
        command: vec!["/bin/true".into()],
        env: std::collections::BTreeMap::new(),
        workdir: Workdir::State(String::new()),
        user: None,
        ports: Vec::new(),
        install: None,
        ready: None,
        health: None,
        stop: Stop::default(),
        limits: Limits::default(),
        sandbox: Sandbox::default(),
        store: "/nowhere".into(),
    }
}
